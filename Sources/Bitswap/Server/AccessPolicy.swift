public import Multiformats
public import PeerIdentity

/// Which blocks are given to whom.
///
/// The lists and the filter combine: the strictest decision holds. A want that is denied looks to its peer like one for a
/// block that is not here, in all that it is told and in what it is counted against, now and when the block is put; so a
/// peer does not learn what exists. As made, a policy serves everybody.
///
///     var access = AccessPolicy { peer, cid in isSubscriber(peer) ? .serve : .ignore }
///     access.deny([secret])
public struct AccessPolicy: Sendable {
    /// What becomes of a want.
    public enum Decision: Sendable, Hashable, CaseIterable {
        /// It is answered.
        case serve
        /// It is treated as if the block were not here: DONT_HAVE if the peer asked to be told, and a place among the wants
        /// that are kept for blocks to come.
        case denyAsAbsent
        /// It is treated as if it had never come: no answer of any kind, and it is not kept.
        case ignore
    }

    /// Decides about one want: the peer's ID, and the CID as the peer wrote it.
    ///
    /// Called when a want comes, when its block has been looked up, and when a block comes that is waited for; for several
    /// peers at once, from any thread, event loops among them: it must be quick, must not block, and must not call the
    /// exchange. A want that was let in once and is to be ignored later is denied as absent.
    public typealias Filter = @Sendable (PeerID, CID) -> Decision

    /// Peers that are served; all others are denied as absent. Nil: everybody is served.
    public var allowedPeers: Set<PeerID>?
    /// Peers that are denied as absent, even if they are among the ``allowedPeers``.
    public var deniedPeers: Set<PeerID> = []
    /// Multihashes of blocks that are denied to everybody as absent: thereby under every CID that the same bytes have.
    public var deniedBlocks: Set<Multihash> = []
    private let filter: Filter?

    /// Serves everybody, or whom the filter lets.
    public init(_ filter: Filter? = nil) { self.filter = filter }

    /// Denies the blocks of these CIDs to everybody.
    public mutating func deny(_ cids: some Sequence<CID>) { for cid in cids { deniedBlocks.insert(cid.multihash) } }

    /// What becomes of this peer's want of this CID.
    public func decision(on cid: CID, for peer: PeerID) -> Decision {
        let filtered = filter?(peer, cid) ?? .serve
        guard filtered == .serve else { return filtered }
        let isDenied =
            allowedPeers?.contains(peer) == false || deniedPeers.contains(peer) || deniedBlocks.contains(cid.multihash)
        return isDenied ? .denyAsAbsent : .serve
    }

    /// Nothing has to be decided.
    var servesEverybody: Bool {
        filter == nil && allowedPeers == nil && deniedPeers.isEmpty && deniedBlocks.isEmpty
    }

    /// Lists deny; only a filter ignores.
    var mayIgnore: Bool { filter != nil }
}
