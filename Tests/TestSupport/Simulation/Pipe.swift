import DequeModule

/// One direction of a link: bytes go through it piece by piece, in order on each stream, taken in turn from the streams
/// that have something to send and room in their window.
///
/// A piece leaves at the lowest of the rates of the sender's connection and the link, is under way for the latency, and
/// goes through the receiver's connection while it comes in, so that an idle path takes size / lowest rate + latency.
final class Pipe {
    struct Piece {
        let stream: SimulatedStream
        let bytes: Int
        /// When its last byte comes to the receiver's connection.
        var arrival: Int64
    }

    unowned let sender: SimulatedPeer
    unowned let receiver: SimulatedPeer
    let latency: Int64
    let bandwidth: Int?
    let window: Int
    /// The link is up. What was under way when it went down belongs to an earlier number.
    private(set) var generation = 0
    private(set) var isUp = false
    private var streams: [SimulatedStream] = []
    private var nextStream = 0
    private var isSending = false
    var sendShare = FairPort.Share()
    var receiveShare = FairPort.Share()
    /// What has come to the receiver's connection and waits for its turn.
    var arrived: Deque<Piece> = []
    /// The receiver does not read what comes this way.
    private(set) var isUnread = false
    private(set) var bytesSent = 0

    private var simulation: Simulation { sender.simulation }

    init(from sender: SimulatedPeer, to receiver: SimulatedPeer, _ properties: LinkProperties) {
        self.sender = sender
        self.receiver = receiver
        latency = properties.latency.nanoseconds
        bandwidth = properties.bandwidth
        window = properties.window
    }

    func open(_ version: SimulatedStream.Version) -> SimulatedStream {
        let stream = SimulatedStream(pipe: self, version: version)
        streams.append(stream)
        return stream
    }

    func comeUp() {
        generation += 1
        isUp = true
    }

    /// Everything on it is lost.
    func goDown() {
        isUp = false
        isSending = false
        arrived = []
        let lost = streams
        streams = []
        for stream in lost { stream.fail(with: SimulatedNetworkError.disconnected) }
    }

    /// The simulation is over: what is under way and its streams hold each other no longer.
    func forgetStreams() {
        for stream in streams { stream.forget() }
        streams = []
        arrived = []
    }

    func remove(_ stream: SimulatedStream) { streams.removeAll { $0 === stream } }

    func setUnread(_ isUnread: Bool) {
        guard isUnread != self.isUnread else { return }
        self.isUnread = isUnread
        if !isUnread { for stream in streams { stream.read() } }
    }

    // MARK: The sender's end

    /// Something may be sent now that could not before.
    func kick() {
        guard isUp, !isSending, !sendShare.isQueued, streams.contains(where: \.canSend) else { return }
        sender.uplink.enqueue(self, &sendShare)
        sender.visitUplink()
    }

    /// Sends the next piece, if there is one after all.
    func send() {
        guard isUp, let stream = takeStream() else { return sender.uplink.giveTurnBack(&sendShare) }
        let now = simulation.clock
        let bytes = stream.takePiece(atMost: pieceBytes)
        let uplinkTime = sender.uplink.serve(bytes, &sendShare, now: now)
        let linkTime = bandwidth.map { transmissionTime(bytes, rate: $0) } ?? 0
        let left = now + max(uplinkTime, linkTime)
        let piece = Piece(stream: stream, bytes: bytes, arrival: left + latency)
        isSending = true
        let generation = generation
        simulation.schedule(at: left) { [self] in
            guard generation == self.generation, isUp else { return }
            isSending = false
            bytesSent += bytes
            sender.traffic.bytesSent += bytes
            stream.pieceLeft(bytes)
            kick()
        }
        // A connection without limit is passed at once; else the piece takes its turn from its first byte on.
        let first = receiver.downlink.rate == nil ? piece.arrival : now + latency
        simulation.schedule(at: first) { [self] in
            guard generation == self.generation, isUp else { return }
            if receiver.downlink.rate == nil { return deliver(piece) }
            arrived.append(piece)
            if !receiveShare.isQueued { receiver.downlink.enqueue(self, &receiveShare) }
            receiver.visitDownlink()
        }
    }

    private func takeStream() -> SimulatedStream? {
        for offset in streams.indices {
            let index = (nextStream + offset) % streams.count
            if streams[index].canSend {
                nextStream = index + 1
                return streams[index]
            }
        }
        return nil
    }

    /// What the slowest part of the way sends in one slice of time: others on it wait no longer than that.
    private var pieceBytes: Int {
        let rates = [sender.uplink.rate, bandwidth, receiver.downlink.rate].compactMap(\.self)
        guard let slowest = rates.min() else { return .max }
        return max(1_024, Int(Double(slowest) * simulation.sliceSeconds))
    }

    // MARK: The receiver's end

    /// Takes the next piece through the receiver's connection.
    func receive() {
        guard let piece = arrived.popFirst() else { return receiver.downlink.giveTurnBack(&receiveShare) }
        let now = simulation.clock
        let duration = receiver.downlink.serve(piece.bytes, &receiveShare, now: now)
        if !arrived.isEmpty { receiver.downlink.enqueue(self, &receiveShare) }
        let generation = generation
        simulation.schedule(at: max(now + duration, piece.arrival)) { [self] in
            guard generation == self.generation, isUp else { return }
            deliver(piece)
        }
    }

    private func deliver(_ piece: Piece) {
        receiver.traffic.bytesReceived += piece.bytes
        piece.stream.arrived(piece.bytes)
    }
}
