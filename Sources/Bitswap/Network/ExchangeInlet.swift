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
    private let stream: Intake.StreamID
    private let reset: @Sendable () -> Void
    private var frames: FrameReader
    private var decoder: MessageDecoder
    /// What the intake was last told that this holds.
    private var heldBytes = 0

    /// - Parameters:
    ///   - release: called from any thread with the number of bytes that the sender may send again.
    ///   - reset: called from any thread when the stream is to be ended at once, for want of memory. What comes after it is
    ///     passed over.
    public init(
        _ exchange: Exchange, peer: PeerID, release: @escaping @Sendable (Int) -> Void,
        reset: @escaping @Sendable () -> Void
    ) {
        let limits = exchange.configuration.limits
        self.exchange = exchange
        self.peer = peer
        self.reset = reset
        stream = exchange.intake.join()
        credit = Credit(
            peer, intake: exchange.intake, limit: limits.unstoredBytesPerStream, account: exchange.account,
            release: release)
        frames = FrameReader(maximum: limits.messageBytes)
        decoder = MessageDecoder(limits: limits)
    }

    deinit { exchange.intake.leave(stream) }

    /// Takes bytes in order, cut anywhere.
    ///
    /// - Throws: `malformedMessage`: the stream is of no more use and should be reset.
    public func receive(_ bytes: ByteBuffer) throws(ExchangeError) {
        frames.append(bytes)
        credit.owe(bytes.readableBytes)
        exchange.arrived(bytes.readableBytes, from: peer)
        defer { holdPart() }
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
        credit.release()
        if frames.pendingBytes > 0 { exchange.progressed(peer) }
    }

    private func holdPart() {
        let held = frames.heldBytes
        guard held != heldBytes else { return }
        heldBytes = held
        exchange.intake.holds(held, of: stream, reset: reset)
    }

    /// The peer has ended the stream. Throws when that was in the middle of a message.
    public func finish() throws(ExchangeError) {
        guard frames.pendingBytes > 0 else { return }
        let error = ExchangeError(.malformedMessage, "the stream ended in the middle of a message")
        exchange.malformed(error, from: peer)
        throw error
    }

    /// What the sender's window is owed, and what stands against it.
    private final class Credit: Intake.Window {
        private struct State {
            var owed = 0
            var held = 0
            /// The limit keeps the window shut.
            var isStopped = false
        }

        private let state = NIOLockedValueBox(State())
        private let peer: PeerID
        private let intake: Intake
        private let limit: Int
        private let account: Account
        private let open: @Sendable (Int) -> Void

        init(
            _ peer: PeerID, intake: Intake, limit: Int, account: Account, release: @escaping @Sendable (Int) -> Void
        ) {
            self.peer = peer
            self.intake = intake
            self.limit = limit
            self.account = account
            open = release
        }

        func owe(_ count: Int) { state.withLockedValue { $0.owed += count } }
        func hold(_ count: Int) { state.withLockedValue { $0.held += count } }

        func settle(_ count: Int) {
            state.withLockedValue { $0.held -= count }
            release()
        }

        func release() {
            guard intake.admits(self, of: peer) else { return }
            let (count, stops) = state.withLockedValue { state in
                let wasStopped = state.isStopped
                state.isStopped = state.held > limit
                guard !state.isStopped else { return (0, !wasStopped) }
                defer { state.owed = 0 }
                return (state.owed, false)
            }
            if stops { account.hit(.unstoredBytesPerStream) }
            if count > 0 { open(count) }
        }
    }
}
