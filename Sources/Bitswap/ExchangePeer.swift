import NIOConcurrencyHelpers
import PeerIdentity

/// One connected peer: the ways to it, and the ledger of what it wants.
final class ExchangePeer: Sendable {
    struct State {
        var ledger: Ledger
        /// Its number in the schedule.
        var turn: Scheduler.ID?
        var connections = 1
        /// The last connection is gone: nothing is entered into the ledger any more.
        var hasEnded = false
        /// What it did that is told in the log.
        var offences = 0
    }

    let id: PeerID
    /// Where our wantlists go.
    let requests: Way
    /// Where our blocks and presences go.
    let responses: Way
    let state: NIOLockedValueBox<State>

    /// When its first connection was made.
    let since: Duration

    /// - Parameters:
    ///   - ask: starts the task of ``requests``.
    ///   - answer: starts the task of ``responses``.
    init(
        _ id: PeerID, limits: BitswapLimits, since: Duration = .zero, ask: @escaping @Sendable (Way) -> Void = { _ in },
        answer: @escaping @Sendable (Way) -> Void = { _ in }
    ) {
        self.id = id
        self.since = since
        requests = Way(to: id, startTask: ask)
        responses = Way(to: id, startTask: answer)
        state = NIOLockedValueBox(State(ledger: Ledger(limits: limits)))
    }

    /// Counts an offence. Returns how many there were when this one is to be told in the log: the first, and each that
    /// doubles their number, so that a peer cannot fill a disk.
    func offended() -> Int? {
        let offences = state.withLockedValue { state in
            state.offences += 1
            return state.offences
        }
        return offences & (offences - 1) == 0 ? offences : nil
    }
}
