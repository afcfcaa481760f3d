public import Multiformats
public import PeerIdentity
import NIOConcurrencyHelpers

/// What the exchange says of itself.
extension Exchange {
    /// What the exchange has done since it was made.
    public var statistics: ExchangeStatistics { account.statistics }

    /// The CIDs that are wanted now, in no order.
    public var wantlist: [CID] { client.withLockedValue { $0.wantlist } }

    /// What a connected peer wants of us and was not given yet, the highest priority first; nil when it is not connected.
    public func wantlist(of peer: PeerID) -> [PeerWant]? {
        guard let peer = peers.withLockedValue({ $0[peer] }) else { return nil }
        let (access, servesBlocks) = (configuration.access, configuration.servesBlocks)
        return peer.state.withLockedValue { $0.ledger.table.slots }
            .filter { $0.state != .none }
            .map { entry in
                let isDenied = !servesBlocks || access.decision(on: entry.cid, for: peer.id) != .serve
                return PeerWant(
                    cid: entry.cid, type: entry.type, priority: entry.priority,
                    isHeld: isDenied ? nil : entry.isKnownToBeHeld, isDenied: isDenied)
            }
            .sorted { ($1.priority, $0.cid.description) < ($0.priority, $1.cid.description) }
    }

    /// What a connected peer and we have given each other; nil when it is not connected.
    public func ledger(of peer: PeerID) -> LedgerStatus? {
        guard let peer = peers.withLockedValue({ $0[peer] }) else { return nil }
        let outstandingBytes = peer.responses.outstandingBytes
        return peer.state.withLockedValue { state in
            LedgerStatus(
                age: time.now() - peer.since, wants: state.ledger.heldCount,
                subscriptions: state.ledger.subscriptionCount, queuedBytes: state.ledger.queuedBytes,
                outstandingBytes: outstandingBytes, blocksSent: state.ledger.sentBlocks,
                bytesSent: state.ledger.sentBytes, blocksReceived: state.ledger.receivedBlocks,
                bytesReceived: state.ledger.receivedBytes)
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

/// A block that a peer wants of us.
public struct PeerWant: Sendable, Hashable, Codable {
    /// As the peer wrote it.
    public var cid: CID
    /// Whether it wants the block or only to know who has it.
    public var type: WantType
    /// What is greater is answered first.
    public var priority: Int32
    /// Whether we hold the block; nil when it was not looked up yet, or is denied. One that we do not hold the peer gets when
    /// it comes.
    public var isHeld: Bool?
    /// Whether the peer is not to have the block: it is told that we do not hold it, and never gets it.
    public var isDenied = false
}

extension WantTable.Entry {
    fileprivate var isKnownToBeHeld: Bool? {
        switch state {
        case .none, .new, .lookingUp: nil
        case .ready, .answering: true
        case .absent, .denied: false
        }
    }
}

/// What a peer and we have given each other since it connected. Bytes are those of blocks, without framing.
public struct LedgerStatus: Sendable, Hashable, Codable {
    /// How long the peer has been connected.
    public var age: Duration
    /// How many of its wants wait for an answer.
    public var wants: Int
    /// How many of its wants wait for blocks that we do not hold.
    public var subscriptions: Int
    /// Bytes of blocks that wait for their turn to be sent.
    public var queuedBytes: Int
    /// Bytes of messages written to it that its transport has not taken yet.
    public var outstandingBytes: Int
    /// Blocks sent to it.
    public var blocksSent: Int
    /// Their bytes.
    public var bytesSent: Int
    /// Blocks that came from it and that we had asked it for, those that had come from others already among them.
    public var blocksReceived: Int
    /// Bytes of the blocks received.
    public var bytesReceived: Int
}
