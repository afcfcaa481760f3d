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
}

/// Which peers may be asked for blocks.
public struct Providers: Sendable, Hashable {
    enum Reach: Sendable { case any, only }

    let reach: Reach
    let named: [Provider]

    /// Peers that were of use before, that are near or that were dialled; then those that a ``ContentRouting`` finds.
    public static let any = Providers(reach: .any, named: [])

    /// These first, then as ``any``.
    public static func preferring(_ providers: [Provider]) -> Providers { Providers(reach: .any, named: providers) }
    /// These first, then as ``any``.
    public static func preferring(_ peers: [PeerID]) -> Providers { .preferring(peers.map { Provider($0) }) }

    /// These and nobody else. A want ends as `notFound` when each of them has said that it lacks the block, has sent
    /// something else, or cannot be reached.
    public static func only(_ providers: [Provider]) -> Providers { Providers(reach: .only, named: providers) }
    /// These and nobody else: see ``only(_:)-([Provider])``.
    public static func only(_ peers: [PeerID]) -> Providers { .only(peers.map { Provider($0) }) }
}

/// What a network knows of a peer besides its name.
public struct PeerStanding: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// It is on this machine or in this network.
    public static let local = PeerStanding(rawValue: 1)
    /// Somebody on this side chose it: it was dialled.
    public static let named = PeerStanding(rawValue: 2)
}
