public import Multiformats
public import PeerIdentity

/// A peer that may have a block, and where it can be reached.
public struct Provider: Sendable, Hashable {
    public var peer: PeerID
    /// Without `/p2p/` or with that of ``peer``. Empty: where it was reached before.
    public var addresses: [Multiaddr]

    public init(_ peer: PeerID, addresses: [Multiaddr] = []) {
        self.peer = peer
        self.addresses = addresses
    }
}

/// Who knows which peers have a block: a DHT, an index, a list. Asked when no connected peer is known to have it.
public protocol ContentRouting: Sendable {
    /// Peers that may have the block under `cid`, as they are found, each with addresses if they are known.
    ///
    /// The search ends with the sequence, or when the task that reads it is cancelled.
    func providers(of cid: CID) -> any AsyncSequence<Provider, any Error>

    /// Makes known that this node has the block under `cid`, for as long as the router's records last; who wants it known
    /// for longer calls again. Returns when at least one other node has taken note. The exchange does not call it: it
    /// is for applications.
    ///
    /// - Throws: when nobody has; `CancellationError`.
    func provide(_ cid: CID) async throws
}
