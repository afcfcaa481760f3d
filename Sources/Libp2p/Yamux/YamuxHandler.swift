import DequeModule
import NIOCore
import PeerIdentity

/// What happens to a protocol that a peer proposes on a stream.
enum InboundStreamPolicy {
    /// Speak it.
    case accept(any StreamHandler)
    /// Answer `na`; the peer may propose another.
    case unknown
    /// Reset the stream: the protocol is known, but not now.
    case refuse
}

/// The last handler of a connection: performs what ``YamuxStateMachine`` says and hosts the streams.
///
/// Everything happens on the channel's event loop. What streams send leaves once per turn of the loop or per read,
/// cut into frames and taken from the streams in turn, and only while the channel is writable: the rest waits in the
/// streams, whose writers see it there.
final class YamuxHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase {
        case idle
        case active
        /// The go-away is on its way out, the streams are gone.
        case closing
        case closed
    }

    let peer: PeerID
    let configuration: YamuxConfiguration
    /// The protocols that a peer is told when it asks for the list.
    let supported: () -> [ProtocolID]
    /// Decides on a protocol that the peer proposes.
    let accept: (ProtocolID) -> InboundStreamPolicy
    /// Called after a stream that was opened is gone, and after its handler was told.
    var onStreamClosed: ((Stream) -> Void)?
    /// Called when something was refused, or the connection ended, because of a limit.
    var onLimit: ((YamuxLimit) -> Void)?
    /// Called when the peer says that it takes no more streams; the open ones go on.
    var onGoAway: (() -> Void)?
    /// Called once, when the multiplexer ends and every stream is gone. Nil: closed from this side.
    var onClosed: ((Libp2pError?) -> Void)?

    var machine: YamuxStateMachine
    var decoder = YamuxFrameDecoder()
    var streams: [UInt32: YamuxStream] = [:]
    var waitingOpens: Deque<WaitingOpen> = []
    var phase = Phase.idle
    var context: ChannelHandlerContext?

    // Writing; see YamuxHandler+Write.swift.
    var ready: Deque<YamuxStream> = []
    var batch = ByteBuffer()
    var batchPromises: [EventLoopPromise<Void>] = []
    var bytesSinceFlush = 0
    var unwritableControlBytes = 0
    var isPumping = false
    var isPumpScheduled = false
    var isReading = false
    /// Whom the payload that is arriving belongs to; nil to drop it.
    private var payloadOwner: YamuxStream?

    // Time; see YamuxHandler+Time.swift.
    var lastReceived = NIODeadline.uptimeNanoseconds(0)
    var keepAliveTask: Scheduled<Void>?
    var keepAliveCheck: Scheduled<Void>?
    var negotiationSweep: Scheduled<Void>?
    var negotiatingCount = 0

    let eventLoop: any EventLoop

    init(
        role: YamuxStateMachine.Role, peer: PeerID, eventLoop: any EventLoop,
        configuration: YamuxConfiguration = .init(), supported: @escaping () -> [ProtocolID],
        accept: @escaping (ProtocolID) -> InboundStreamPolicy
    ) {
        self.machine = YamuxStateMachine(role: role, limits: configuration.limits)
        self.peer = peer
        self.eventLoop = eventLoop
        self.configuration = configuration
        self.supported = supported
        self.accept = accept
    }

    /// The smoothed round trip of the connection, once measured.
    var roundTrip: TimeAmount? { machine.roundTrip }

    /// Streams that are open or opening.
    var streamCount: Int { streams.count }

    // MARK: - Closing

    /// Ends the connection from this side: every stream is closed with an error, the peer is told, the channel closes when
    /// that and all before it is written, or when the time is over.
    func close(within limit: TimeAmount = .seconds(1)) {
        end(error: nil, goAway: .normal, within: limit)
    }

    /// Says to the peer that no more streams are taken; the open ones go on.
    func stopAccepting() {
        guard phase == .active, !machine.goAwaySent else { return }
        sendControl(machine.sendGoAway(.normal))
    }

    func fail(_ failure: YamuxFailure) {
        if let limit = failure.limit { hit(limit) }
        end(
            error: Libp2pError(.protocolViolation, "The peer broke the rules of Yamux: \(failure)."),
            goAway: failure.goAway)
    }

    /// Ends the connection, saying why to the peer if it can still be reached.
    func end(error: Libp2pError?, goAway: YamuxGoAway?, within limit: TimeAmount = .seconds(1)) {
        guard phase == .active || phase == .idle else { return }
        let wasActive = phase == .active
        phase = .closing
        guard wasActive, let goAway, let context else {
            closeStreams(error: error)
            context?.close(promise: nil)
            return
        }
        let channel = context.channel
        let sent = eventLoop.makePromise(of: Void.self)
        let deadline = eventLoop.scheduleTask(in: limit) { channel.close(promise: nil) }
        sent.futureResult.whenComplete { _ in
            deadline.cancel()
            channel.close(promise: nil)
        }
        machine.sendGoAway(goAway).write(to: &batch)
        batchPromises.append(sent)
        writeBatch(context)
        context.flush()
        closeStreams(error: error)
    }

    private func closeStreams(error: Libp2pError?) {
        stopTimers()
        let reason = error ?? Libp2pError(.connectionClosed, "The connection was closed from this side.")
        let hosted = streams.values.sorted { $0.id < $1.id }
        streams.removeAll()
        payloadOwner = nil
        ready.removeAll()
        let waiting = waitingOpens
        waitingOpens.removeAll()
        for stream in hosted {
            stream.close(error: reason)
        }
        for wish in waiting {
            wish.promise.fail(reason)
        }
        let promises = batchPromises
        batchPromises.removeAll()
        batch.clear()
        for promise in promises {
            promise.fail(reason)
        }
        let callback = onClosed
        onClosed = nil
        onStreamClosed = nil
        onGoAway = nil
        callback?(error)
    }

    // MARK: - Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { activate() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end(error: Libp2pError(.connectionClosed, "The connection was taken down."), goAway: nil)
        phase = .closed
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        activate()
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(error: Libp2pError(.connectionClosed, "The peer closed the connection, or it broke."), goAway: nil)
        phase = .closed
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let reason =
            (error as? Libp2pError) ?? Libp2pError(.transport, "The connection failed.", underlying: error)
        end(error: reason, goAway: nil)
        context.fireErrorCaught(error)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            end(error: Libp2pError(.connectionClosed, "The peer closed the connection."), goAway: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func activate() {
        guard phase == .idle else { return }
        phase = .active
        startTimers()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard phase == .active else { return }
        isReading = true
        let now = eventLoop.now
        lastReceived = now
        var bytes = unwrapInboundIn(data)
        while phase == .active, let part = decoder.next(from: &bytes) {
            switch part {
            case .header(let header):
                let action = machine.receive(header, now: now)
                perform(action)
                if header.kind == .data {
                    if case .stream(let streamID, _) = action {
                        payloadOwner = streams[streamID]
                    } else {
                        payloadOwner = nil
                    }
                }
            case .payload(let payload, let isLast):
                payloadOwner?.receive(payload)
                if isLast {
                    payloadOwner = nil
                    perform(machine.payloadEnded())
                }
            case .failure(let failure):
                fail(failure)
            }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        pump()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            unwritableControlBytes = 0
            pump()
        }
        context.fireChannelWritabilityChanged()
    }

    private func perform(_ action: YamuxStateMachine.Action) {
        guard phase == .active else { return }
        switch action {
        case .none, .measured:
            break
        case .reply(let header, let limit):
            if let limit { hit(limit) }
            sendControl(header)
        case .stream(let streamID, let changes):
            perform(changes, streamID: streamID)
        case .abort(let streamID, let header, let failure):
            if let limit = failure.limit { hit(limit) }
            sendControl(header)
            let code: Libp2pError.Code = failure.limit == nil ? .protocolViolation : .limitReached
            streams.removeValue(forKey: streamID)?.close(
                error: Libp2pError(code, "The stream was reset: \(failure)."))
            openWaiting()
        case .goAway(let code):
            if code != .normal {
                end(
                    error: Libp2pError(
                        .goAway, "The peer ended the connection with Yamux code \(code.rawValue)."), goAway: nil)
            } else {
                onGoAway?()
                openWaiting()
            }
        case .fail(let failure):
            fail(failure)
        }
    }

    private func perform(_ changes: YamuxStateMachine.Changes, streamID: UInt32) {
        guard !changes.isEmpty else { return }
        if changes.contains(.opened) {
            streams[streamID] = YamuxStream(
                id: streamID, direction: .inbound, muxer: self, negotiation: MultistreamSelect(respondingWith: .init()),
                deadline: eventLoop.now + configuration.inboundNegotiationTimeout)
            negotiationBegan()
        }
        guard let hosted = streams[streamID] else { return }
        if changes.contains(.windowOpened) {
            makeReady(hosted)
        }
        if changes.contains(.ended) {
            hosted.receiveEnd()
        }
        if changes.contains(.closed) {
            streams.removeValue(forKey: streamID)
            hosted.close(error: nil)
        } else if changes.contains(.reset) {
            streams.removeValue(forKey: streamID)
            hosted.close(error: Libp2pError(.streamReset, "The peer reset the stream."))
        }
        if !changes.isDisjoint(with: [.acknowledged, .closed, .reset]) {
            openWaiting()
        }
    }

    // MARK: - What streams ask for

    func consumed(_ streamID: UInt32, byteCount: Int) {
        guard phase == .active else { return }
        // Asking for the time is a system call on some machines; within a read it was just asked.
        let now = isReading ? lastReceived : eventLoop.now
        if let update = machine.consume(streamID, byteCount: byteCount, now: now) {
            sendControl(update)
        }
    }

    /// Resets a stream from this side and tells its handler.
    func reset(_ hosted: YamuxStream, error: Libp2pError) {
        guard phase == .active, streams[hosted.id] === hosted else { return }
        if let header = machine.reset(hosted.id) { sendControl(header) }
        streams.removeValue(forKey: hosted.id)
        hosted.close(error: error)
        openWaiting()
    }

    /// A stream of the peer came to nothing. Making us do that over and over is charged.
    func resetFruitless(_ hosted: YamuxStream, error: Libp2pError) {
        reset(hosted, error: error)
        if hosted.stream.direction == .inbound, phase == .active, let failure = machine.glitch(now: eventLoop.now) {
            fail(failure)
        }
    }

    func hit(_ limit: YamuxLimit) { onLimit?(limit) }
}

@available(*, unavailable)
extension YamuxHandler: Sendable {}
