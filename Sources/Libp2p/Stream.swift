public import NIOCore
public import PeerIdentity

/// One stream of a connection: bytes in order, both ways, each way ended by itself.
///
/// Not `Sendable`: everything happens on ``eventLoop``, which is the connection's. What arrives goes to the
/// ``StreamHandler``.
public final class Stream {
    /// Which side opened it.
    public enum Direction: Hashable, Sendable {
        case inbound
        case outbound
    }

    /// When ``Stream/isWritable`` turns, in bytes.
    public struct WaterMarks: Hashable, Sendable {
        /// At so many pending bytes the stream stops being writable.
        public var high: Int
        /// At so few pending bytes it becomes writable again.
        public var low: Int

        public init(high: Int, low: Int) {
            self.high = max(1, high)
            self.low = max(0, min(low, high))
        }
    }

    /// The number of the stream on its connection.
    public let id: UInt32
    /// Who is at the other end.
    public let peer: PeerID
    /// The protocol that was chosen.
    public package(set) var protocolID: ProtocolID
    /// Which side opened it.
    public let direction: Direction
    /// The connection's event loop.
    public let eventLoop: any EventLoop
    /// Whether less than the high-water mark is waiting to be sent. A writer that goes on regardless costs only memory.
    public private(set) var isWritable = true

    /// What carries the stream out; `nil` once it is closed.
    private var owner: (any StreamOwner)?
    private let waterMarks: WaterMarks
    var outbound = StreamOutboundQueue()
    /// ``finish()`` was called: the queue is sent to its end and nothing is added.
    private(set) var isFinishing = false

    package init(
        id: UInt32, peer: PeerID, protocolID: ProtocolID, direction: Direction, eventLoop: any EventLoop,
        waterMarks: WaterMarks
    ) {
        self.id = id
        self.peer = peer
        self.protocolID = protocolID
        self.direction = direction
        self.eventLoop = eventLoop
        self.waterMarks = waterMarks
    }

    /// Gives the stream what carries it. Until then, and after ``close()``, it is closed.
    package func attach(to owner: any StreamOwner) {
        self.owner = owner
    }

    /// Queues bytes. They go out after the next ``flush()``.
    ///
    /// - Parameter promise: succeeds when the last byte was written to the socket; fails with a ``Libp2pError`` if the
    ///   stream ends before, or with an error of NIO's if the connection breaks while they are written.
    public func write(_ bytes: ByteBuffer, promise: EventLoopPromise<Void>? = nil) {
        eventLoop.assertInEventLoop()
        guard owner != nil, !isFinishing else {
            promise?.fail(Libp2pError(.streamClosed, "The stream is closed for writing; nothing more can be sent."))
            return
        }
        outbound.append(bytes, promise: promise)
        if outbound.pendingBytes >= waterMarks.high {
            isWritable = false
        }
    }

    /// Lets go of everything that was written. The bytes of one turn of the event loop leave together.
    public func flush() {
        eventLoop.assertInEventLoop()
        guard let owner else { return }
        outbound.flush()
        owner.streamHasBytes(self)
    }

    /// Writes and flushes.
    public func writeAndFlush(_ bytes: ByteBuffer, promise: EventLoopPromise<Void>? = nil) {
        write(bytes, promise: promise)
        flush()
    }

    /// Says that so many received bytes are dealt with: the peer may send as many more.
    public func consume(_ byteCount: Int) {
        eventLoop.assertInEventLoop()
        guard byteCount > 0 else { return }
        owner?.streamConsumed(self, byteCount: byteCount)
    }

    /// Half-closes: what was written is sent, and after it the end. Calling it again does nothing.
    public func finish() {
        eventLoop.assertInEventLoop()
        guard let owner, !isFinishing else { return }
        isFinishing = true
        outbound.flush()
        owner.streamHasBytes(self)
    }

    /// Ends both ways at once; what was not sent is dropped.
    ///
    /// The handler's `streamClosed` is called with ``Libp2pError/Code/streamResetLocally`` before this returns. On a
    /// closed stream it does nothing.
    public func reset() {
        eventLoop.assertInEventLoop()
        owner?.streamReset(self)
    }

    /// Takes the stream from its owner. The promises of what was not sent are for the caller to fail.
    package func close() -> [EventLoopPromise<Void>] {
        owner = nil
        isWritable = false
        return outbound.removeAll()
    }

    /// Called after bytes were taken from the queue. Says whether the stream became writable by it.
    func becameWritable() -> Bool {
        guard !isWritable, owner != nil, !isFinishing, outbound.pendingBytes <= waterMarks.low else { return false }
        isWritable = true
        return true
    }
}

/// What carries a stream: the multiplexer, or a test.
package protocol StreamOwner: AnyObject {
    /// Flushed bytes, or the end, wait in the stream's queue.
    func streamHasBytes(_ stream: Stream)
    /// Received bytes were dealt with.
    func streamConsumed(_ stream: Stream, byteCount: Int)
    /// The stream is to be reset.
    func streamReset(_ stream: Stream)
}
