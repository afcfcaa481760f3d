public import NIOCore
public import PeerIdentity
import NIOConcurrencyHelpers

/// Where a network puts the bytes that come from one peer on one stream.
///
/// Not `Sendable`: confined to the stream's event loop. Bytes are given back to the sender's window, through `release`, when
/// they are dealt with; while blocks of this stream wait for the store past a limit, nothing is.
public final class ExchangeInlet {
    private let exchange: Exchange
    private let peer: PeerID
    private let credit: Credit
    private var frames: FrameReader
    private var decoder: MessageDecoder

    /// - Parameter release: called from any thread with the number of bytes that the sender may send again.
    public init(_ exchange: Exchange, peer: PeerID, release: @escaping @Sendable (Int) -> Void) {
        let limits = exchange.configuration.limits
        self.exchange = exchange
        self.peer = peer
        credit = Credit(limit: limits.unstoredBytesPerStream, release: release)
        frames = FrameReader(maximum: limits.messageBytes)
        decoder = MessageDecoder(limits: limits)
    }

    /// Takes bytes in order, cut anywhere.
    ///
    /// - Throws: `malformedMessage`: the stream is of no more use and should be reset.
    public func receive(_ bytes: ByteBuffer) throws(ExchangeError) {
        frames.append(bytes)
        credit.owe(bytes.readableBytes)
        do throws(ExchangeError) {
            while let frame = try frames.next() {
                let message = try decoder.decode(frame)
                let credit = credit
                let count = frame.readableBytes
                credit.hold(count)
                exchange.received(message, from: peer) { credit.settle(count) }
            }
        } catch {
            exchange.malformed(error, from: peer)
            throw error
        }
        credit.releaseOwed()
        if frames.pendingBytes > 0 { exchange.progressed(peer) }
    }

    /// The peer has ended the stream. Throws when that was in the middle of a message.
    public func finish() throws(ExchangeError) {
        guard frames.pendingBytes > 0 else { return }
        let error = ExchangeError(.malformedMessage, "the stream ended in the middle of a message")
        exchange.malformed(error, from: peer)
        throw error
    }

    /// What the sender's window is owed, and what stands against it.
    private final class Credit: Sendable {
        private let state = NIOLockedValueBox((owed: 0, held: 0))
        private let limit: Int
        private let release: @Sendable (Int) -> Void

        init(limit: Int, release: @escaping @Sendable (Int) -> Void) {
            self.limit = limit
            self.release = release
        }

        func owe(_ count: Int) { state.withLockedValue { $0.owed += count } }
        func hold(_ count: Int) { state.withLockedValue { $0.held += count } }

        func settle(_ count: Int) {
            state.withLockedValue { $0.held -= count }
            releaseOwed()
        }

        func releaseOwed() {
            let count = state.withLockedValue { state in
                guard state.held <= limit else { return 0 }
                defer { state.owed = 0 }
                return state.owed
            }
            if count > 0 { release(count) }
        }
    }
}
