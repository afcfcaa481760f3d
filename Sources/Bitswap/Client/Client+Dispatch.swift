import DequeModule
import Multiformats
import PeerIdentity

/// Who is asked for what.
///
/// A want has an *audience*, the peers that it may be asked of. One of them at a time is its *owner*, which is asked for
/// the block itself; the others are asked whether they have it. Those that are known to have it come first; while none
/// is, one that probably has it is tried. A peer owns as much as its window takes; what no peer has room for is claimed by
/// all that could give it, and goes to the first that has room again. So each peer gets work in proportion to what it
/// delivers.
extension Client {
    /// Peers beside the members of a session that are tried for each new want.
    private static let explorers = 2
    /// A peer is tried for a block, not knowing whether it has it, if it had this part of those before.
    private static let leastHitRate = 0.25
    /// Nobody else is asked for a small block meanwhile if it had this part.
    private static let sureHitRate = 0.75
    /// One choice in so many falls on any peer, for those that did badly once.
    private static let chanceForOthers: UInt64 = 32
    /// How long a want may wait to be sent to the peer that was chosen for it.
    private static let patienceBeforeSending = Duration.seconds(1)

    // MARK: Settling

    mutating func settle(_ now: Duration) {
        while true {
            if !roomy.isEmpty {
                let keys = roomy
                roomy = []
                var seen: Set<PeerKey> = []
                for key in keys where seen.insert(key).inserted { fill(key, now: now) }
            } else if !released.isEmpty {
                let wants = inOrder(released)
                released = []
                for want in wants { gather(want, now: now) }
                for want in wants { place(want, now: now) }
                for want in wants { askOthers(want) }
                for want in wants { giveUpIfExhausted(want, now: now) }
            } else {
                return
            }
        }
    }

    /// Each once: those that have to come in order in that order, then the rarest, then as chance will have it.
    private func inOrder(_ released: [Want]) -> [Want] {
        guard released.count > 1 else { return released }
        let claims = released.filter { !$0.isOver }.map { claim(on: $0) }.sorted()
        var last: Want.ID?
        return claims.compactMap { claim in
            defer { last = claim.want.id }
            return claim.want.id == last ? nil : claim.want
        }
    }

    private func claim(on want: Want) -> Claims.Claim {
        if let place = want.place { return Claims.Claim(rarity: 0, tie: place, want: want) }
        return Claims.Claim(rarity: 1 + want.holders.count, tie: want.tie, want: want)
    }

    // MARK: The audience

    mutating func invite(_ key: PeerKey, to want: Want, in session: SessionState, now: Duration) {
        guard want[key] == nil else { return }
        want.invite(key)
        session.asked(key, limit: limits.peersPerSession, now: now)
    }

    /// Whether a peer that keeps saying DONT_HAVE is tried once more: the longer it does, the more rarely.
    private mutating func isHopeful(_ standing: SessionState.Standing) -> Bool {
        standing.doubt < SessionState.doubtLimit || random.next(upperBound: UInt64(standing.doubt)) == 0
    }

    /// Finds peers to ask for a want of which nobody was asked yet.
    private mutating func gather(_ want: Want, now: Duration) {
        guard want.isOpen, want.audience.isEmpty else { return }
        for session in want.sessions { gather(want, for: session, now: now) }
    }

    mutating func gather(_ want: Want, for session: SessionState, now: Duration) {
        let hasMembers = session.members.contains {
            peers[$0]?.isConnected == true && session.standing(of: $0).doubt < SessionState.doubtLimit
        }
        var (room, explorers, mustWait) = (limits.questionsPerWant, Int.max, false)
        var candidates = session.named
        if session.reach == .any {
            candidates += rotated(session.members, for: want)
            if hasMembers { explorers = Self.explorers }
        }
        let known = candidates.count
        if session.reach == .any { candidates += rotated(listed, for: want) }
        // As long as somebody may have it, who has had nothing so far is asked rarely, however quick it is to say so.
        let isAnybodyHopeful = candidates.contains {
            let standing = session.standing(of: $0)
            return peers[$0]?.isConnected == true && standing.doubt < SessionState.doubtLimit
                && (isFree(standing) || now - standing.quietSince < timing.routerDelay)
        }
        for (index, key) in candidates.enumerated() where room > 0 {
            guard index < known || explorers > 0 else { break }
            guard canInvite(key, to: want) else { continue }
            let standing = session.standing(of: key)
            guard isFree(standing) else {
                mustWait = true
                continue
            }
            guard !isAnybodyHopeful || isHopeful(standing) else { continue }
            invite(key, to: want, in: session, now: now)
            room -= 1
            if index >= known { explorers -= 1 }
        }
        want.isInBacklog = mustWait && want.audience.isEmpty
        if want.isInBacklog { session.backlog.append(want) }
    }

    func canInvite(_ key: PeerKey, to want: Want) -> Bool {
        guard let peer = peers[key], peer.isConnected, !peer.isUntrusted else { return false }
        return want[key] == nil
    }

    /// Whether a peer that may be of no use to the session has few questions of it to answer.
    func isFree(_ standing: SessionState.Standing) -> Bool {
        standing.isMember || standing.unanswered < limits.unansweredQuestions
    }

    /// When there are more than one want is asked of, each want begins with another one.
    private func rotated(_ keys: [PeerKey], for want: Want) -> [PeerKey] {
        guard keys.count > limits.questionsPerWant else { return keys }
        let start = Int(want.tie % UInt64(keys.count))
        return Array(keys[start...] + keys[..<start])
    }

    /// Somebody has answered: wants that waited for that are asked, or all of them.
    mutating func advanceBacklog(of session: SessionState, whole: Bool = false) {
        while let next = session.backlog.popFirst() {
            release(next)
            if !whole { return }
        }
    }

    // MARK: The owner

    /// Whether a want may be asked of a peer.
    private func isUsable(_ peer: ClientPeer, _ relation: Relation, for want: Want) -> Bool {
        guard peer.isConnected, !peer.isUntrusted, !relation.isGone, !relation.hasStalled, !relation.hasLied,
            relation.answer != .dontHave
        else { return false }
        return want.sessions.contains { $0.allows(peer.key) }
    }

    private func isHolder(_ peer: ClientPeer, of want: Want) -> Bool {
        guard let relation = want[peer.key], relation.answer == .have else { return false }
        return isUsable(peer, relation, for: want)
    }

    func hasHolder(_ want: Want) -> Bool {
        want.holders.contains { key in peers[key].map { isHolder($0, of: want) } ?? false }
    }

    /// Whether a peer is tried for a block of which nobody is known to have it.
    private func isPromising(_ peer: ClientPeer, for want: Want) -> Bool {
        guard let relation = want[peer.key], isUsable(peer, relation, for: want) else { return false }
        // To a peer that knows no HAVE there is no other question.
        if peer.queue.answersHave == false { return true }
        // What was asked is answered soon, and by the block itself if that is small: it would come twice.
        if relation.asked == .have, relation.isSent, relation.answer == nil { return false }
        return hitRate(peer.key, for: want) >= Self.leastHitRate
    }

    /// Whether a peer is to give a block, or will be when it has room, and very probably has it.
    private func isSure(_ key: PeerKey, of want: Want) -> Bool {
        guard let relation = want[key], want.owner == key || relation.isClaimed, let peer = peers[key],
            isUsable(peer, relation, for: want)
        else { return false }
        return relation.answer == .have || hitRate(key, for: want) >= Self.sureHitRate
    }

    private func hitRate(_ key: PeerKey, for want: Want) -> Double {
        want.sessions.reduce(0) { max($0, $1.standing(of: key).hitRate) }
    }

    private func expectedBytes(_ want: Want) -> Int {
        want.sessions.first?.expectedBytes ?? SessionState.presumedBlockBytes
    }

    private func hasRoom(_ peer: ClientPeer, for want: Want) -> Bool {
        peer.debts[want.id] != nil || peer.hasRoom(limits)
    }

    /// Finds an owner for a want that has none, or lets all that could be lay claim to it.
    private mutating func place(_ want: Want, now: Duration) {
        guard want.isOpen, want.owner == nil else { return }
        var candidates: [ClientPeer] = []
        for key in want.holders { if let peer = peers[key], isHolder(peer, of: want) { candidates.append(peer) } }
        let isKnown = !candidates.isEmpty
        if !isKnown {
            for key in want.audience {
                if let peer = peers[key], isPromising(peer, for: want) { candidates.append(peer) }
            }
        }
        guard !candidates.isEmpty else { return }
        let size = expectedBytes(want)
        let free = candidates.filter { hasRoom($0, for: want) }
        let best = best(of: free, for: want, size, isKnown: isKnown)
        if let best, best.claims.isEmpty { return assign(want, to: best, size, now: now) }
        for peer in candidates { lay(claim(on: want), by: peer) }
        if let best { fill(best.key, now: now) }
    }

    private mutating func best(of peers: [ClientPeer], for want: Want, _ size: Int, isKnown: Bool) -> ClientPeer? {
        guard peers.count > 1 else { return peers.first }
        if random.next(upperBound: Self.chanceForOthers) == 0 {
            return peers[Int(random.next(upperBound: UInt64(peers.count)))]
        }
        var best: (peer: ClientPeer, cost: Double)?
        for peer in peers {
            var cost = peer.estimate.secondsToDeliver(size, ahead: peer.owedBytes) / peer.estimate.reliability
            if !isKnown { cost /= hitRate(peer.key, for: want) }
            if best.map({ cost < $0.cost }) ?? true { best = (peer, cost) }
        }
        return best?.peer
    }

    private mutating func lay(_ claim: Claims.Claim, by peer: ClientPeer) {
        let want = claim.want
        guard want[peer.key]?.isClaimed == false, let session = want.sessions.first else { return }
        want.update(peer.key) { $0.isClaimed = true }
        if peer.hasAllWants(limits) { effects.keepsWantsBack = true }
        peer.claims.insert(claim, of: session.id, at: session.virtualTime)
        peer.estimate.becameFull()
        if peer.claims.count > 2 * wants.count + 64 {
            peer.claims.compact { !$0.isOver && $0[peer.key]?.isClaimed == true }
        }
    }

    /// Gives a peer that has room what it has claims to.
    private mutating func fill(_ key: PeerKey, now: Duration) {
        guard let peer = peers[key] else { return }
        while !peer.claims.isEmpty, peer.hasRoom(limits) {
            var claims = peer.claims
            peer.claims.removeAll()
            let popped = claims.pop {
                sessions[$0]?.virtualTime
            } _: { claim in
                let want = claim.want
                guard want.isOpen, want.owner == nil,
                    isHolder(peer, of: want) || !hasHolder(want) && isPromising(peer, for: want)
                else {
                    want.update(key) { $0.isClaimed = false }
                    return .drop
                }
                let current = self.claim(on: want)
                return current.rarity > claim.rarity ? .rarity(current.rarity) : .take
            }
            peer.claims = claims
            guard let (claim, _) = popped else { return }
            claim.want.update(key) { $0.isClaimed = false }
            assign(claim.want, to: peer, expectedBytes(claim.want), now: now)
        }
    }

    private mutating func assign(_ want: Want, to peer: ClientPeer, _ size: Int, now: Duration) {
        want.owner = peer.key
        want.update(peer.key) { $0.asked = .block }
        let due = now + Self.patienceBeforeSending
        peer.owe(want, size: size, due: due, now: now)
        deadlines.insert(.debt(want.id, peer.key), at: due)
        peer.queue.want(want.cid, .block)
        wake(peer)
        guard let session = want.sessions.first else { return }
        // Start-time fair queueing: who asked for nothing for a while has nothing saved up.
        virtualTime = max(session.virtualTime, virtualTime)
        session.virtualTime = virtualTime + UInt64(size)
    }

    // MARK: The others

    /// Asks whether they have the block all those that were asked nothing yet.
    ///
    /// Not for a block so small that each would answer by giving it, while there is one that surely gives it.
    private mutating func askOthers(_ want: Want) {
        guard want.isOpen else { return }
        guard
            expectedBytes(want) > limits.haveReplacedByBlockBytes
                || !want.audience.contains(where: { isSure($0, of: want) })
        else { return }
        for key in want.audience where want[key]?.asked == nil {
            guard let peer = peers[key], peer.isConnected else { continue }
            want.update(key) { $0.asked = .have }
            peer.queue.want(want.cid, .have)
            wake(peer)
        }
    }

    /// Ends what may ask nobody else. When all have said no: asks those that it seemed not worth asking.
    private mutating func giveUpIfExhausted(_ want: Want, now: Duration) {
        guard want.isOpen else { return }
        for session in want.sessions where session.reach == .only {
            guard session.named.allSatisfy({ isNegative($0, for: want) }) else { continue }
            for waiter in want.waiters where waiters[waiter]?.session == session.id {
                finish(waiter, .notFound, "no peer that may be asked has the block \(want.cid)")
            }
        }
        guard want.isOpen, want.owner == nil, want.openQuestions == 0, !want.isInBacklog, !hasHolder(want)
        else { return }
        var isInvited = false
        for session in want.sessions {
            let others = session.reach == .only ? session.named : session.named + session.members + listed
            var room = limits.questionsPerWant
            for key in others where room > 0 {
                guard canInvite(key, to: want), isFree(session.standing(of: key)) else { continue }
                invite(key, to: want, in: session, now: now)
                room -= 1
                isInvited = true
            }
        }
        if isInvited { release(want) }
    }

    private func isNegative(_ key: PeerKey, for want: Want) -> Bool {
        peers[key]?.isUntrusted ?? true || isUnreachable(key) || want[key]?.isNegative == true
    }
}
