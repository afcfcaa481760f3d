public import NIOCore

/// A peer whose messages a test writes itself, and which keeps what it is sent.
public final class ScriptedPeer: SimulatedPeer, @unchecked Sendable {
    /// A message that came, with its length prefix.
    public struct Received: Sendable {
        public let frame: ByteBuffer
        public let sender: SimulatedPeer

        /// What it says; nil when it is not well-formed.
        public var message: WireMessage? { WireMessage(frame: frame) }
    }

    private let incoming = AsyncStream.makeStream(of: Received.self)
    private var streams: [Int: SimulatedStream] = [:]

    /// What it is sent, in the order in which it comes. To be iterated once.
    public var received: AsyncStream<Received> { incoming.stream }

    /// Sends bytes on the one stream to `peer` that all it sends goes on. They are meant to be one message with its length
    /// in front, but may be anything.
    ///
    /// - Parameter completion: called when the last byte has left, or with an error when it never will.
    /// - Throws: ``SimulatedNetworkError/notConnected``.
    public func send(
        _ frame: ByteBuffer, to peer: SimulatedPeer,
        completion: @escaping @Sendable ((any Error)?) -> Void = { _ in }
    ) throws(SimulatedNetworkError) {
        let stream: SimulatedStream
        if let open = streams[peer.number], open.isOpen { stream = open } else { stream = try openStream(to: peer) }
        streams[peer.number] = stream
        stream.write(frame, completion: completion)
    }

    public func send(_ message: WireMessage, to peer: SimulatedPeer) throws(SimulatedNetworkError) {
        try send(message.frame, to: peer)
    }

    /// Ends the stream to `peer` when all that was written to it has left. What is sent later goes on a new one.
    public func closeStream(to peer: SimulatedPeer) {
        streams.removeValue(forKey: peer.number)?.close()
    }

    override func makeInbox(from peer: SimulatedPeer, on stream: SimulatedStream) -> any Inbox {
        ScriptedInbox(incoming.continuation, sender: peer)
    }

    override func stop() async { incoming.continuation.finish() }

    private final class ScriptedInbox: Inbox {
        private let incoming: AsyncStream<Received>.Continuation
        private let sender: SimulatedPeer

        init(_ incoming: AsyncStream<Received>.Continuation, sender: SimulatedPeer) {
            self.incoming = incoming
            self.sender = sender
        }

        var takesPieces: Bool { false }
        func receive(piece: ByteBuffer) -> Bool { false }
        func receive(message: ByteBuffer) -> Bool {
            incoming.yield(Received(frame: message, sender: sender))
            return true
        }
        func finish() {}
    }
}
