import NIOConcurrencyHelpers
import NIOCore
import PeerIdentity

/// One way out to a peer: a stream that is opened when there is something to send, and again after it was lost.
///
/// What we want of a peer and what we give it go on two ways, so that neither waits for the other. What is quickly done,
/// whoever finds it does at once; for everything else a task is started, which ends when nothing is left, so that a peer
/// that is idle has none. Whichever it is has the way to itself, between ``take()`` and ``release(lookAgain:)``.
final class Way: Sendable {
    private struct State {
        var outlet: (any ExchangeOutlet)?
        var outstandingBytes = 0
        var hasEnded = false
        var isTaken = false
        /// Somebody has found something to send since it was taken.
        var mustLookAgain = false
        var task = TaskState.none
        /// The way has ended, and this is to be called when nobody has it any more.
        var whenFree: (@Sendable () -> Void)?
    }

    private enum TaskState { case none, runs, looksAgain }

    let peer: PeerID
    private let startTask: @Sendable (Way) -> Void
    private let state = NIOLockedValueBox(State())

    /// - Parameter startTask: starts a task that sends what there is, and again while it ``looksAgain()``.
    init(to peer: PeerID, startTask: @escaping @Sendable (Way) -> Void) {
        self.peer = peer
        self.startTask = startTask
    }

    // MARK: The task

    /// Says that there may be something to send, which the task is to see to.
    func wake() {
        let isStarted = state.withLockedValue { state in
            guard !state.hasEnded else { return false }
            defer { state.task = state.task == .none ? .runs : .looksAgain }
            return state.task == .none
        }
        if isStarted { startTask(self) }
    }

    /// Whether the task is to look once more. If not it is over, and whoever wakes the way next starts another.
    func looksAgain() -> Bool {
        state.withLockedValue { state in
            let looksAgain = state.task == .looksAgain && !state.hasEnded
            state.task = looksAgain ? .runs : .none
            return looksAgain
        }
    }

    // MARK: Sending

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
        let (mustLookAgain, whenFree) = state.withLockedValue { state in
            let whenFree = state.whenFree.take()
            // For nobody, once that was called.
            state.isTaken = whenFree != nil
            defer { state.mustLookAgain = false }
            return (lookAgain || state.mustLookAgain, whenFree)
        }
        if let whenFree { whenFree() } else if mustLookAgain { wake() }
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
            if completion(error) { wake() }
        }
    }

    /// Ends the outlet, once what was written is gone, if there is a better one to be had: the next message opens it.
    func renew() {
        let superseded = state.withLockedValue { $0.outlet?.isSuperseded == true ? $0.outlet.take() : nil }
        superseded?.close()
    }

    /// Gives up what was written and not taken. The next message opens a new outlet.
    func reset() { state.withLockedValue { $0.outlet.take() }?.reset() }

    /// The peer is gone. `whenFree` is called when nobody has the way, at once or later, and nobody has it from then on.
    func end(whenFree: @escaping @Sendable () -> Void = {}) {
        let (outlet, isFree) = state.withLockedValue { state in
            state.hasEnded = true
            let isFree = !state.isTaken
            if isFree { state.isTaken = true } else { state.whenFree = whenFree }
            return (state.outlet.take(), isFree)
        }
        outlet?.close()
        if isFree { whenFree() }
    }
}
