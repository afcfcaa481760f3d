import NIOConcurrencyHelpers
import PeerIdentity

/// One connected peer: the ways to it, and the ledger of what it wants.
final class ExchangePeer: Sendable {
    struct State {
        var ledger: Ledger
        /// Its number in the schedule, while it is there.
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

    init(_ id: PeerID, limits: BitswapLimits, since: Duration = .zero) {
        self.id = id
        self.since = since
        requests = Way(to: id)
        responses = Way(to: id)
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

    func end() {
        requests.end()
        responses.end()
    }
}
