import DequeModule
import PeerIdentity

/// A session as the client knows it: which peers have proved useful for its blocks, and what it still wants. Pure.
// Sendable: part of one Client, and reached through it alone. Not checked for exclusive access at run time, which took a
// quarter of the client's decisions.
final class SessionState: @unchecked Sendable {
    typealias ID = UInt64

    /// How a peer has done in this session.
    struct Standing {
        /// It has had a block of the session's.
        var isMember = false
        /// Questions that were in vain, since the last time one was not.
        var doubt = 0
        /// The part of the blocks that it had when it was first asked, lately.
        var hitRate = 0.5
        /// Questions that it has not answered yet, as long as it is no member.
        var unanswered = 0
        /// When it answered last, or was first asked what it has not answered.
        var quietSince: Duration = .zero

        mutating func answered(has: Bool, isFirst: Bool, now: Duration) {
            quietSince = now
            if has {
                doubt = 0
            } else if isFirst {
                doubt += 1
            }
            if isFirst {
                hitRate += ((has ? 1 : 0) - hitRate) / 8
                unanswered = max(0, unanswered - 1)
            }
        }
    }

    /// Which peers may be asked.
    enum Reach {
        case any
        /// Only those that are named.
        case only
    }

    let id: ID
    let reach: Reach
    let named: [PeerKey]
    /// It ends with its last waiter.
    let isEphemeral: Bool
    var isObserved = false
    @exclusivity(unchecked) private(set) var standings: [PeerKey: Standing] = [:]
    /// Peers that have had blocks of the session's, in the order in which they did first.
    @exclusivity(unchecked) private(set) var members: [PeerKey] = []
    /// Wants in the order of their opening, those that ended since among them.
    @exclusivity(unchecked) private(set) var wants: Deque<Want> = []
    @exclusivity(unchecked) private(set) var wantCount = 0
    /// Wants of which nobody could be asked yet.
    @exclusivity(unchecked) var backlog: Deque<Want> = []
    /// Bytes of a block of the session's, lately; nil before the first.
    @exclusivity(unchecked) private(set) var blockBytes: Double?
    /// What it was given, for fairness between sessions.
    @exclusivity(unchecked) var virtualTime: UInt64 = 0
    /// When those that nobody has are looked for next.
    var searchDue: Duration?
    var searches = 0
    /// Where the next round of ``searches`` begins.
    var searchCursor = 0

    static let presumedBlockBytes = 256 << 10
    /// A peer of which so many questions in a row were in vain is asked less and less.
    static let doubtLimit = 16

    init(id: ID, reach: Reach, named: [PeerKey], isEphemeral: Bool) {
        self.id = id
        self.reach = reach
        self.named = named
        self.isEphemeral = isEphemeral
    }

    /// What a block of the session's is taken for before it is here.
    var expectedBytes: Int { max(1, Int(blockBytes ?? Double(Self.presumedBlockBytes))) }

    func allows(_ peer: PeerKey) -> Bool { reach == .any || named.contains(peer) }

    func standing(of peer: PeerKey) -> Standing { standings[peer] ?? Standing() }

    func opened(_ want: Want) {
        wants.append(want)
        wantCount += 1
    }

    func ended(_ want: Want) {
        wantCount -= 1
        if wants.first === want { wants.removeFirst() }
        if wants.count > 2 * wantCount + 64 { wants = Deque(wants.filter(isLive)) }
        if backlog.count > 2 * wantCount + 64 { backlog = Deque(backlog.filter(isLive)) }
    }

    /// The session is over.
    func forgetWants() {
        wants = []
        backlog = []
    }

    /// Whether a want is still one of this session's.
    func isLive(_ want: Want) -> Bool { !want.isOver && want.sessions.contains { $0 === self } }

    func received(_ bytes: Int) {
        searches = min(searches, 1)
        blockBytes = blockBytes.map { $0 + (Double(bytes) - $0) / 8 } ?? Double(bytes)
    }

    func asked(_ peer: PeerKey, limit: Int, now: Duration) {
        guard makeRoom(for: peer, limit: limit), standings[peer]?.isMember != true else { return }
        var standing = standing(of: peer)
        if standing.unanswered == 0 { standing.quietSince = now }
        standing.unanswered += 1
        standings[peer] = standing
    }

    /// Returns whether the peer is a member from now on, or hoped for again after it was asked less.
    func answered(_ peer: PeerKey, has: Bool, isFirst: Bool, limit: Int, now: Duration) -> Bool {
        guard makeRoom(for: peer, limit: limit) else { return false }
        let before = standing(of: peer)
        var standing = before
        standing.answered(has: has, isFirst: isFirst, now: now)
        if has, !before.isMember {
            standing.isMember = true
            members.append(peer)
        }
        standings[peer] = standing
        return has && (!before.isMember || before.doubt >= Self.doubtLimit)
    }

    /// The content router says that the peer has a block of the session's: it is hoped for as much as if it had said so.
    func found(_ peer: PeerKey, limit: Int) {
        guard makeRoom(for: peer, limit: limit), standings[peer]?.isMember != true else { return }
        standings[peer, default: Standing()].isMember = true
        members.append(peer)
    }

    /// It was to give a block and did not.
    func stalled(_ peer: PeerKey) {
        standings[peer]?.doubt += 2
        standings[peer]?.hitRate *= 0.75
    }

    func disconnected(_ peer: PeerKey) { standings[peer]?.unanswered = 0 }

    /// A question to it was taken back before it was answered.
    func withdrew(_ peer: PeerKey) {
        if let count = standings[peer]?.unanswered, count > 0 { standings[peer]?.unanswered = count - 1 }
    }

    /// Peers that are known to no purpose make room for others.
    private func makeRoom(for peer: PeerKey, limit: Int) -> Bool {
        guard standings[peer] == nil, standings.count >= limit else { return true }
        let worst = standings.max { a, b in
            (a.value.isMember ? 0 : 1, a.value.doubt, a.key) < (b.value.isMember ? 0 : 1, b.value.doubt, b.key)
        }
        guard let worst, !worst.value.isMember || worst.value.doubt > 0 else { return false }
        standings[worst.key] = nil
        members.removeAll { $0 == worst.key }
        return true
    }
}
