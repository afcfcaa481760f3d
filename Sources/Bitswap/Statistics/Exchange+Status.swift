public import Multiformats
public import PeerIdentity
import NIOConcurrencyHelpers

/// What the exchange says of itself.
extension Exchange {
    public var statistics: ExchangeStatistics { account.statistics }

    /// The CIDs that are wanted now, in no order.
    public var wantlist: [CID] { client.withLockedValue { $0.wantlist } }

    /// What a connected peer wants of us and was given; nil when it is not connected.
    public func ledger(of peer: PeerID) -> LedgerStatus? {
        guard let peer = peers.withLockedValue({ $0[peer] }) else { return nil }
        return peer.state.withLockedValue { state in
            LedgerStatus(
                wants: state.ledger.wants.map(\.cid), blocksSent: state.ledger.sentBlocks,
                bytesSent: state.ledger.sentBytes)
        }
    }

    /// Whether a caller or a peer waits for the block, so that it is worth an ``offer(_:)``.
    package func isAwaited(_ key: Multihash) -> Bool {
        client.withLockedValue { $0.isWanted(key) } || subscriptions.withLockedValue { $0.contains(key) }
    }

    /// Bytes written to a peer that its transport has not taken yet.
    func outstandingBytes(to peer: PeerID) -> Int {
        peers.withLockedValue { $0[peer] }?.responses.outstandingBytes ?? 0
    }

    var waiterCount: Int { client.withLockedValue { $0.waiterCount } }
}

/// The account of one peer, as a server sees it.
public struct LedgerStatus: Sendable, Hashable {
    /// CIDs that it wants and has not been given, in no order; those we do not hold among them.
    public var wants: [CID]
    public var blocksSent: Int
    /// Bytes of blocks, without framing.
    public var bytesSent: Int
}
