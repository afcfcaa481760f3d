import NIOConcurrencyHelpers
import PeerIdentity

/// One connected peer: the ways to it, and the ledger of what it wants.
final class ExchangePeer: Sendable {
    struct State {
        var ledger: Ledger
        var connections = 1
        /// The last connection is gone: nothing is entered into the ledger any more.
        var hasEnded = false
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

    func end() {
        requests.end()
        responses.end()
    }
}
