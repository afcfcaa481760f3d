import DequeModule
import NIOCore

/// The rules of Yamux for one connection (hashicorp/yamux spec.md, libp2p/specs yamux): who may open what, who may send
/// how much, and what a frame means. It has no channel, no clock and no payloads: the time is passed in, and payload is
/// only counted.
///
/// Streams are opened, acknowledged, half-closed and reset with window updates that carry the flag, as go-yamux does;
/// flags are understood on data frames too.
struct YamuxStateMachine {
    enum Role: Hashable, Sendable {
        /// Opens odd streams: the side that dialled.
        case client
        /// Opens even streams.
        case server
    }

    /// What a frame changed on a stream; to be told to the stream in the order of declaration.
    struct Changes: OptionSet, Hashable, Sendable {
        var rawValue: UInt8

        /// The peer opened it.
        static let opened = Changes(rawValue: 1)
        /// The peer acknowledged it.
        static let acknowledged = Changes(rawValue: 2)
        /// The peer granted more to send.
        static let windowOpened = Changes(rawValue: 4)
        /// The peer half-closed.
        static let ended = Changes(rawValue: 8)
        /// Both sides have closed: the stream is gone.
        static let closed = Changes(rawValue: 16)
        /// The peer reset it: the stream is gone.
        static let reset = Changes(rawValue: 32)
    }

    /// What to do about a frame.
    enum Action: Equatable {
        case none
        /// Send this, and nothing else. A limit is named if one was hit.
        case reply(YamuxHeader, limit: YamuxLimit?)
        case stream(UInt32, Changes)
        /// This side resets the stream, which is gone: send the header, tell the stream.
        case abort(UInt32, YamuxHeader, YamuxFailure)
        /// The peer answered a ping after so long.
        case measured(TimeAmount)
        /// The peer takes no more streams, or ends the connection.
        case goAway(YamuxGoAway)
        /// End the connection.
        case fail(YamuxFailure)
    }

    /// What became of the wish to open a stream.
    enum Opening: Equatable {
        case opened(YamuxHeader)
        /// Too many are unacknowledged: ask again when one was acknowledged or closed.
        case wait
        case refused(YamuxFailure)
    }

    struct StreamState {
        /// Bytes that may be sent.
        var sendWindow = YamuxHeader.initialWindow
        /// Bytes that the peer may send.
        var receiveCredit = YamuxHeader.initialWindow
        /// What the receive window should be when everything is consumed.
        var receiveWindow: Int
        /// Bytes received and not consumed.
        var unconsumed = 0
        /// When the last window update went out.
        var epochStart: NIODeadline
        /// Our stream without an acknowledgement, or the peer's that we have not acknowledged.
        var unacknowledged = true
        var finSent = false
        var finReceived = false
        /// Window updates that the bytes sent entitle the peer to.
        var updatesEarned = 8
    }

    /// What the peer may still send on a stream that is gone here.
    struct ClosedStream {
        var credit: Int
        var frames: Int
    }

    let role: Role
    let limits: YamuxLimits
    var streams: [UInt32: StreamState] = [:]
    private(set) var closedStreams: [UInt32: ClosedStream] = [:]
    private var closedOrder: Deque<UInt32> = []
    private var nextID: UInt64
    private(set) var inboundCount = 0
    private(set) var outboundCount = 0
    private(set) var pendingInboundCount = 0
    private(set) var unacknowledgedCount = 0
    /// Received and unconsumed bytes of all streams.
    private(set) var unconsumedBytes = 0
    /// The receive windows of all streams together.
    private(set) var windowBytes = 0
    private(set) var goAwaySent = false
    private(set) var goAwayReceived = false
    /// The smoothed round trip, once measured.
    private(set) var roundTrip: TimeAmount?
    private var ping: (value: UInt32, sentAt: NIODeadline)?
    private var nextPing: UInt32 = 0
    private var glitches: GlitchBudget
    /// The data frame whose payload is arriving. The stream is nil when the payload is dropped.
    private var payload: (streamID: UInt32?, fin: Bool) = (nil, false)

    init(role: Role, limits: YamuxLimits = YamuxLimits()) {
        self.role = role
        self.limits = limits
        self.nextID = role == .client ? 1 : 2
        self.glitches = GlitchBudget(capacity: limits.glitches, forgivenPerSecond: limits.glitchesPerSecond)
    }

    func isOurs(_ streamID: UInt32) -> Bool {
        (streamID % 2 == 1) == (role == .client)
    }

    /// When the unanswered ping went out.
    var pingSentAt: NIODeadline? { ping?.sentAt }

    // MARK: - What this side does

    /// Opens a stream. The header must go out before anything else on the stream, and in the order of the calls.
    mutating func open(now: NIODeadline) -> Opening {
        guard !goAwaySent, !goAwayReceived else {
            return .refused(YamuxFailure(.normal, "the connection takes no more streams"))
        }
        guard nextID <= UInt64(UInt32.max) else {
            return .refused(YamuxFailure(.normal, "the connection has used up its stream numbers; open a new one"))
        }
        guard outboundCount < limits.outboundStreams else {
            return .refused(
                YamuxFailure(
                    .normal, "\(limits.outboundStreams) streams are open from this side already",
                    limit: .outboundStreams))
        }
        guard unacknowledgedCount < limits.unacknowledgedOutboundStreams else { return .wait }
        let streamID = UInt32(nextID)
        nextID += 2
        var state = newStream(now: now)
        let header = openingHeader(.syn, streamID: streamID, state: &state)
        streams[streamID] = state
        outboundCount += 1
        unacknowledgedCount += 1
        return .opened(header)
    }

    /// Acknowledges a stream of the peer, once. To be called before anything is sent on it.
    mutating func acknowledge(_ streamID: UInt32) -> YamuxHeader? {
        guard !isOurs(streamID), var state = streams[streamID], state.unacknowledged else { return nil }
        state.unacknowledged = false
        pendingInboundCount -= 1
        let header = openingHeader(.ack, streamID: streamID, state: &state)
        streams[streamID] = state
        return header
    }

    /// The header for the next data frame of a stream that has `available` bytes to send, or nil when it may not send.
    mutating func data(_ streamID: UInt32, available: Int) -> YamuxHeader? {
        guard let index = streams.index(forKey: streamID) else { return nil }
        let length = min(available, streams.values[index].sendWindow, limits.framePayload)
        guard length > 0, !streams.values[index].finSent else { return nil }
        streams.values[index].sendWindow -= length
        streams.values[index].updatesEarned = min(
            streams.values[index].updatesEarned + 4 + length / 1024, 1 << 20)
        return YamuxHeader(.data, streamID: streamID, value: UInt32(length))
    }

    /// How much the peer lets the stream send.
    func sendWindow(of streamID: UInt32) -> Int {
        guard let state = streams[streamID], !state.finSent else { return 0 }
        return state.sendWindow
    }

    /// Says that received bytes were dealt with. Returns the window update to send, if one is due: when half the window
    /// can be given back. A window that was used up within four round trips doubles.
    mutating func consume(_ streamID: UInt32, byteCount: Int, now: NIODeadline) -> YamuxHeader? {
        guard let index = streams.index(forKey: streamID) else { return nil }
        var state = streams.values[index]
        let byteCount = min(max(0, byteCount), state.unconsumed)
        state.unconsumed -= byteCount
        unconsumedBytes -= byteCount
        defer { streams.values[index] = state }
        guard !state.finReceived else { return nil }
        var delta = state.receiveWindow - state.receiveCredit - state.unconsumed
        guard delta > 0, delta >= state.receiveWindow / 2 else { return nil }
        if let roundTrip, (now - state.epochStart).nanoseconds < 4 * min(roundTrip.nanoseconds, 1 << 40) {
            let grown = min(state.receiveWindow * 2, max(limits.maximumReceiveWindow, state.receiveWindow))
            let growth = grown - state.receiveWindow
            if growth > 0, windowBytes + growth <= limits.receiveBuffer {
                state.receiveWindow = grown
                windowBytes += growth
                delta += growth
            }
        }
        state.epochStart = now
        state.receiveCredit += delta
        return YamuxHeader(.windowUpdate, streamID: streamID, value: UInt32(delta))
    }

    /// Half-closes. Returns the header to send and whether the stream is gone by it.
    mutating func finish(_ streamID: UInt32) -> (header: YamuxHeader, isClosed: Bool)? {
        guard var state = streams[streamID], !state.finSent else { return nil }
        state.finSent = true
        streams[streamID] = state
        if state.finReceived {
            forget(streamID)
        }
        return (YamuxHeader(.windowUpdate, .fin, streamID: streamID), state.finReceived)
    }

    /// Resets. Returns the header to send, or nil when the stream is gone already.
    mutating func reset(_ streamID: UInt32) -> YamuxHeader? {
        guard streams[streamID] != nil else { return nil }
        forget(streamID)
        return YamuxHeader(.windowUpdate, .rst, streamID: streamID)
    }

    /// Asks for a sign of life, unless an answer is still awaited.
    mutating func sendPing(now: NIODeadline) -> YamuxHeader? {
        guard ping == nil else { return nil }
        let value = nextPing
        nextPing &+= 1
        ping = (value, now)
        return YamuxHeader(.ping, .syn, value: value)
    }

    /// Says that no more streams are taken, or why the connection ends.
    mutating func sendGoAway(_ code: YamuxGoAway) -> YamuxHeader {
        goAwaySent = true
        return YamuxHeader(.goAway, value: code.rawValue)
    }

    /// Counts something the peer did that cost work and brought nothing.
    mutating func glitch(now: NIODeadline) -> YamuxFailure? {
        guard glitches.charge(now: now) else {
            return YamuxFailure(
                .protocolError, "too many frames without progress (more than \(limits.glitches))", limit: .glitches)
        }
        return nil
    }

    // MARK: - Payload

    /// The payload of the last data frame is delivered to its end.
    mutating func payloadEnded() -> Action {
        let (streamID, fin) = payload
        payload = (nil, false)
        guard let streamID, fin, streams[streamID] != nil else { return .none }
        return .stream(streamID, end(streamID))
    }

    // MARK: - Book-keeping

    private func newStream(now: NIODeadline) -> StreamState {
        StreamState(receiveWindow: max(limits.initialReceiveWindow, YamuxHeader.initialWindow), epochStart: now)
    }

    /// SYN and ACK may grant more than the window that both sides assume.
    private mutating func openingHeader(
        _ flag: YamuxHeader.Flags, streamID: UInt32, state: inout StreamState
    ) -> YamuxHeader {
        let grant: Int
        if flag == .syn {
            windowBytes += state.receiveWindow
            grant = state.receiveWindow - YamuxHeader.initialWindow
        } else {
            grant = max(0, state.receiveWindow - state.receiveCredit - state.unconsumed)
        }
        // A stream that was only half used yet gets its plain acknowledgement: credit comes back as it is consumed.
        let extra = flag == .syn || grant >= state.receiveWindow / 2 ? grant : 0
        state.receiveCredit += extra
        return YamuxHeader(.windowUpdate, flag, streamID: streamID, value: UInt32(extra))
    }

    /// A stream of the peer is accepted as far as Yamux goes.
    mutating func add(inbound streamID: UInt32, now: NIODeadline) {
        let state = newStream(now: now)
        streams[streamID] = state
        windowBytes += state.receiveWindow
        inboundCount += 1
        pendingInboundCount += 1
        closedStreams[streamID] = nil
    }

    /// Removes a stream and remembers what may still come for it.
    mutating func forget(_ streamID: UInt32) {
        guard let state = streams.removeValue(forKey: streamID) else { return }
        unconsumedBytes -= state.unconsumed
        windowBytes -= state.receiveWindow
        if isOurs(streamID) {
            outboundCount -= 1
            if state.unacknowledged { unacknowledgedCount -= 1 }
        } else {
            inboundCount -= 1
            if state.unacknowledged { pendingInboundCount -= 1 }
        }
        remember(
            streamID,
            ClosedStream(credit: state.finReceived ? 0 : state.receiveCredit, frames: state.updatesEarned + 8))
    }

    mutating func remember(_ streamID: UInt32, _ closed: ClosedStream) {
        guard limits.rememberedStreams > 0 else { return }
        if closedStreams.updateValue(closed, forKey: streamID) == nil {
            closedOrder.append(streamID)
        }
        while closedOrder.count > limits.rememberedStreams {
            closedStreams[closedOrder.removeFirst()] = nil
        }
    }

    mutating func useClosed(_ streamID: UInt32, _ body: (inout ClosedStream) -> Bool) -> Bool {
        guard var closed = closedStreams[streamID] else { return false }
        let isCovered = body(&closed)
        closedStreams[streamID] = closed
        return isCovered
    }

    mutating func acknowledged() {
        unacknowledgedCount -= 1
    }

    /// Notes the peer's FIN.
    mutating func end(_ streamID: UInt32) -> Changes {
        guard var state = streams[streamID], !state.finReceived else { return [] }
        state.finReceived = true
        streams[streamID] = state
        guard state.finSent else { return .ended }
        forget(streamID)
        return [.ended, .closed]
    }

    mutating func expectPayload(of streamID: UInt32?, byteCount: Int, fin: Bool) {
        payload = (streamID, fin)
        if streamID != nil { unconsumedBytes += byteCount }
    }

    mutating func receivedGoAway() {
        goAwayReceived = true
    }

    /// The round trip, if `value` answers the outstanding ping.
    mutating func answered(_ value: UInt32, now: NIODeadline) -> TimeAmount? {
        guard let ping, ping.value == value else { return nil }
        self.ping = nil
        let sample = max(.nanoseconds(1), now - ping.sentAt)
        if let previous = roundTrip {
            roundTrip = .nanoseconds(previous.nanoseconds / 2 + sample.nanoseconds / 2 + 1)
        } else {
            roundTrip = sample
        }
        return sample
    }
}
