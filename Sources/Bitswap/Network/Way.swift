import NIOConcurrencyHelpers
import NIOCore
import PeerIdentity

/// One way out to a peer: a stream that is opened when there is something to send, and again after it was lost.
///
/// What we want of a peer and what we give it go on two ways, so that neither waits for the other. Each has a task, which
/// ``wake`` wakes; what is quickly done, whoever finds it does at once, instead of waking the task. Whichever it is has the
/// way to itself, between ``take()`` and ``release(lookAgain:)``.
final class Way: Sendable {
    private struct State {
        var outlet: (any ExchangeOutlet)?
        var outstandingBytes = 0
        var hasEnded = false
        var isTaken = false
        /// Somebody has found something to send since it was taken.
        var mustLookAgain = false
    }

    /// Raised when there may be something to send.
    let wake = Signal()
    private let peer: PeerID
    private let state = NIOLockedValueBox(State())

    init(to peer: PeerID) { self.peer = peer }

    /// Bytes written that the transport has not taken yet.
    var outstandingBytes: Int { state.withLockedValue { $0.outstandingBytes } }
    var hasEnded: Bool { state.withLockedValue { $0.hasEnded } }

    /// The outlet that is open, if it has nothing to do.
    var idleOutlet: (any ExchangeOutlet)? {
        state.withLockedValue { $0.outstandingBytes == 0 && !$0.hasEnded ? $0.outlet : nil }
    }

    /// Whether the way is the caller's now; if not, whoever has it sees to it that somebody looks once more.
    func take() -> Bool {
        state.withLockedValue { state in
            guard !state.isTaken else {
                state.mustLookAgain = true
                return false
            }
            state.isTaken = true
            return true
        }
    }

    /// - Parameter lookAgain: whether there is something left, for the task.
    func release(lookAgain: Bool = false) {
        let mustLookAgain = state.withLockedValue { state in
            defer { (state.isTaken, state.mustLookAgain) = (false, false) }
            return lookAgain || state.mustLookAgain
        }
        if mustLookAgain { wake.raise() }
    }

    /// The outlet that is open, or a new one.
    func outlet(in network: any ExchangeNetwork) async throws -> any ExchangeOutlet {
        if let outlet = state.withLockedValue({ $0.outlet }) { return outlet }
        let outlet = try await network.open(to: peer)
        let isOurs = state.withLockedValue { state in
            guard !state.hasEnded else { return false }
            state.outlet = outlet
            return true
        }
        guard isOurs else {
            outlet.close()
            throw ExchangeError(.stopped, "the peer \(peer) is gone")
        }
        return outlet
    }

    /// Writes a message. `completion` is called once, from any thread: with nil when the transport has taken it, else with
    /// the error; the next message then opens a new outlet. It returns whether there is more to send, for which the task is
    /// woken.
    func write(
        _ frame: ByteBuffer, on outlet: any ExchangeOutlet, completion: @escaping @Sendable ((any Error)?) -> Bool
    ) {
        let count = frame.readableBytes
        state.withLockedValue { $0.outstandingBytes += count }
        outlet.write(frame) { [self] error in
            state.withLockedValue { state in
                state.outstandingBytes -= count
                if error != nil, state.outlet === outlet { state.outlet = nil }
            }
            if completion(error) { wake.raise() }
        }
    }

    /// Ends the outlet, once what was written is gone, if there is a better one to be had: the next message opens it.
    func renew() {
        let superseded = state.withLockedValue { $0.outlet?.isSuperseded == true ? $0.outlet.take() : nil }
        superseded?.close()
    }

    /// Gives up what was written and not taken. The next message opens a new outlet.
    func reset() { state.withLockedValue { $0.outlet.take() }?.reset() }

    func end() {
        let outlet = state.withLockedValue { state in
            state.hasEnded = true
            return state.outlet.take()
        }
        wake.end()
        outlet?.close()
    }
}
