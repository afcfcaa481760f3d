import PeerIdentity
import NIOConcurrencyHelpers

/// One connected peer: its ledger, the way to it, and how much is under way on it.
final class ExchangePeer: Sendable {
    struct State {
        var ledger: Ledger
        var connections = 1
        var outlet: (any ExchangeOutlet)?
        /// Bytes written to the outlet that the transport has not taken yet.
        var outstandingBytes = 0
        var hasEnded = false
    }

    let id: PeerID
    /// Raised when there may be something to look up or to send.
    let signal = Signal()
    let state: NIOLockedValueBox<State>

    init(_ id: PeerID, limits: BitswapLimits) {
        self.id = id
        state = NIOLockedValueBox(State(ledger: Ledger(limits: limits)))
    }

    func end() {
        let outlet = state.withLockedValue { state in
            state.hasEnded = true
            return state.outlet.take()
        }
        signal.end()
        outlet?.close()
    }
}
