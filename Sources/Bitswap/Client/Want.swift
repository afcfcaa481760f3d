import Multiformats

/// One block that somebody waits for, and how each peer stands to it.
///
/// An object, so that a change is one look-up and no copy.
// Sendable: part of one Client, and reached through it alone. Not checked for exclusive access at run time, which took a
// quarter of the client's decisions.
final class Want: @unchecked Sendable {
    typealias ID = UInt64

    enum Phase {
        /// The own store is being looked into; nobody is asked yet.
        case looking
        /// Peers are asked.
        case open
        /// The block is here and on its way into the store; nothing is to be asked any more.
        case storing
    }

    let id: ID
    let cid: CID
    let since: Duration
    /// Decides between wants that are equal otherwise.
    let tie: UInt64
    /// Wants that are to come in order have their place in it, and go before those that are not.
    var place: UInt64?
    @exclusivity(unchecked) var phase = Phase.looking
    /// In the order of their coming.
    @exclusivity(unchecked) var waiters: [Client.WaiterID] = []
    @exclusivity(unchecked) var sessions: [SessionState] = []
    /// Peers that are asked, or will be, and how each stands to the want.
    @exclusivity(unchecked) private(set) var audience: [PeerKey] = []
    @exclusivity(unchecked) private var relations: [Relation] = []
    /// Peers that have said HAVE, in the order in which they did.
    @exclusivity(unchecked) private(set) var holders: [PeerKey] = []
    /// Questions that are still to be answered.
    @exclusivity(unchecked) private(set) var openQuestions = 0
    /// The peer that is to give the block, unless it has stalled.
    @exclusivity(unchecked) var owner: PeerKey?
    /// It waits for somebody's answer to another want before anybody is asked.
    @exclusivity(unchecked) var isInBacklog = false
    /// Nobody waits for it any more.
    @exclusivity(unchecked) var isOver = false

    /// Peers may be asked for it.
    var isOpen: Bool { phase == .open && !isOver }

    init(id: ID, cid: CID, since: Duration, tie: UInt64) {
        self.id = id
        self.cid = cid
        self.since = since
        self.tie = tie
    }

    subscript(peer: PeerKey) -> Relation? { audience.firstIndex(of: peer).map { relations[$0] } }

    func invite(_ peer: PeerKey) {
        guard !audience.contains(peer) else { return }
        isInBacklog = false
        audience.append(peer)
        relations.append(Relation())
    }

    func update(_ peer: PeerKey, _ change: (inout Relation) -> Void) {
        guard let index = audience.firstIndex(of: peer) else { return }
        let (wasOpen, held) = (relations[index].isOpenQuestion, relations[index].answer == .have)
        change(&relations[index])
        let (isOpen, holds) = (relations[index].isOpenQuestion, relations[index].answer == .have)
        openQuestions += (isOpen ? 1 : 0) - (wasOpen ? 1 : 0)
        if holds, !held { holders.append(peer) }
        if held, !holds { holders.removeAll { $0 == peer } }
    }
}

/// How one peer stands to one want.
struct Relation {
    enum Answer { case have, dontHave }

    /// What it is asked for, or will be when its turn comes.
    var asked: WantType?
    var isSent = false
    /// When it was last told of the want.
    var sentAt: Duration = .zero
    var answer: Answer?
    /// It was to give the block and let the time pass.
    var hasStalled = false
    /// It sent other bytes while it was to give the block.
    var hasLied = false
    /// It went away.
    var isGone = false
    /// It has a claim to the want in its queue.
    var isClaimed = false

    var isOpenQuestion: Bool { asked != nil && answer == nil && !hasStalled && !hasLied && !isGone }
    /// Nothing is to be hoped for from it.
    var isNegative: Bool { answer == .dontHave || hasLied }

    var inWords: PeerAnswer {
        if hasLied { return .sentOtherBytes }
        if isGone { return .disconnected }
        switch answer {
        case .have: return .have
        case .dontHave: return .dontHave
        case nil: return isSent ? .silent : .notYetAsked
        }
    }
}
