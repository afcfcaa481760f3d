public import Libp2p
public import PeerIdentity

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
