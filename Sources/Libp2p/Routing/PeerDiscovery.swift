public import Multiformats
public import PeerIdentity

/// Who finds peers, whatever they have: the local network, a list, a directory.
///
///     struct Office: PeerDiscovery {
///         let method = DiscoveryMethod(name: "office")
///         func peers() -> any AsyncSequence<PeerDiscoveryEvent, any Error> { … }
///     }
public protocol PeerDiscovery: Sendable {
    /// How its peers are said to have been found.
    var method: DiscoveryMethod { get }

    /// Peers as they appear, change and go.
    ///
    /// The search lasts for as long as the sequence is read. It is read by one task at a time; when that is cancelled, the
    /// sequence ends once the search has ended in an orderly way. After an error or an end it may be begun again.
    func peers() -> any AsyncSequence<PeerDiscoveryEvent, any Error>
}

/// What a ``PeerDiscovery`` has found.
public enum PeerDiscoveryEvent: Sendable, Hashable {
    /// A peer is there, at these addresses, the best first, in place of those said before. Without `/p2p/` or with that of
    /// the peer.
    case found(PeerID, [Multiaddr])
    /// Nothing is known of the peer any more. A connection with it is not closed for that.
    case lost(PeerID)
}

/// How a peer was found.
public struct DiscoveryMethod: Sendable, Hashable, CustomStringConvertible {
    /// A word for it.
    public let name: String
    /// Whether somebody on this side named the peers: they are then dialled before others and however many there are.
    public let isChosen: Bool

    public init(name: String, isChosen: Bool = false) {
        self.name = name
        self.isChosen = isChosen
    }

    public var description: String { name }

    /// On the local network.
    public static let mdns = DiscoveryMethod(name: "mdns")
    /// Named in the configuration.
    public static let list = DiscoveryMethod(name: "list", isChosen: true)
    /// Connected to by an address that was named, and by whoever named it.
    public static let named = DiscoveryMethod(name: "named", isChosen: true)
    /// A node that knows many others.
    public static let bootstrap = DiscoveryMethod(name: "bootstrap", isChosen: true)
    /// Known from an earlier run.
    public static let remembered = DiscoveryMethod(name: "remembered")
}
