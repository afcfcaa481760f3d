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
    /// A peer of which one question in so many was in vain is asked less and less.
    private static let doubtLimit = 16
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
    private func inOrder(_ released: [Want.ID]) -> [Want.ID] {
        guard released.count > 1 else { return released }
        let claims = released.compactMap { id in wants[id].map { claim(on: $0) } }.sorted()
        var last: Want.ID?
        return claims.compactMap { claim in
            defer { last = claim.want }
            return claim.want == last ? nil : claim.want
        }
    }

    private func claim(on want: Want) -> Claims.Claim {
        if let place = want.place { return Claims.Claim(rarity: 0, tie: place, want: want.id) }
        return Claims.Claim(rarity: 1 + want.holders.count, tie: want.tie, want: want.id)
    }

    // MARK: The audience

    mutating func invite(_ key: PeerKey, to id: Want.ID, in session: SessionState.ID, now: Duration) {
        guard wants[id]?[key] == nil else { return }
        wants[id]?.invite(key)
        sessions[session]?.asked(key, limit: limits.peersPerSession, now: now)
    }

    /// Whether a peer that keeps saying DONT_HAVE is tried once more: the longer it does, the more rarely.
    private mutating func isHopeful(_ standing: SessionState.Standing) -> Bool {
        standing.doubt < Self.doubtLimit || random.next(upperBound: UInt64(standing.doubt)) == 0
    }

    /// Finds peers to ask for a want of which nobody was asked yet.
    private mutating func gather(_ id: Want.ID, now: Duration) {
        guard let want = wants[id], want.phase == .open, want.audience.isEmpty else { return }
        for session in want.sessions { gather(id, for: session, now: now) }
    }

    mutating func gather(_ id: Want.ID, for session: SessionState.ID, now: Duration) {
        guard let state = sessions[session] else { return }
        let hasMembers = state.members.contains {
            peers[$0]?.isConnected == true && state.standing(of: $0).doubt < Self.doubtLimit
        }
        var (room, explorers, mustWait) = (limits.questionsPerWant, Int.max, false)
        var candidates = state.named
        if state.reach == .any {
            candidates += rotated(state.members, for: id)
            if hasMembers { explorers = Self.explorers }
        }
        let known = candidates.count
        if state.reach == .any { candidates += rotated(listed, for: id) }
        // As long as somebody may have it, who has had nothing so far is asked rarely, however quick it is to say so.
        let isAnybodyHopeful = candidates.contains {
            let standing = state.standing(of: $0)
            return peers[$0]?.isConnected == true && standing.doubt < Self.doubtLimit
                && (isFree(standing) || now - standing.quietSince < timing.routerDelay)
        }
        for (index, key) in candidates.enumerated() where room > 0 {
            guard index < known || explorers > 0 else { break }
            guard canInvite(key, to: id) else { continue }
            let standing = state.standing(of: key)
            guard isFree(standing) else {
                mustWait = true
                continue
            }
            guard !isAnybodyHopeful || isHopeful(standing) else { continue }
            invite(key, to: id, in: session, now: now)
            room -= 1
            if index >= known { explorers -= 1 }
        }
        let isWaiting = mustWait && wants[id]?.audience.isEmpty == true
        wants[id]?.isInBacklog = isWaiting
        if isWaiting { sessions[session]?.backlog.append(id) }
    }

    func canInvite(_ key: PeerKey, to id: Want.ID) -> Bool {
        guard let peer = peers[key], peer.isConnected, !peer.isUntrusted else { return false }
        return wants[id]?[key] == nil
    }

    /// Whether a peer that may be of no use to the session has few questions of it to answer.
    func isFree(_ standing: SessionState.Standing) -> Bool {
        standing.isMember || standing.unanswered < limits.unansweredQuestions
    }

    /// When there are more than one want is asked of, each want begins with another one.
    private func rotated(_ keys: [PeerKey], for id: Want.ID) -> [PeerKey] {
        guard keys.count > limits.questionsPerWant, let tie = wants[id]?.tie else { return keys }
        let start = Int(tie % UInt64(keys.count))
        return Array(keys[start...] + keys[..<start])
    }

    /// Somebody has answered: wants that waited for that are asked, or all of them.
    mutating func advanceBacklog(of session: SessionState.ID, whole: Bool = false) {
        while let next = sessions[session]?.backlog.popFirst() {
            release(next)
            if !whole { return }
        }
    }

    // MARK: The owner

    /// Whether a want may be asked of a peer.
    private func isUsable(_ key: PeerKey, for want: Want) -> Bool {
        guard let peer = peers[key], peer.isConnected, !peer.isUntrusted, let relation = want[key], !relation.isGone,
            !relation.hasStalled, !relation.hasLied, relation.answer != .dontHave
        else { return false }
        return want.sessions.contains { sessions[$0]?.allows(key) == true }
    }

    private func isHolder(_ key: PeerKey, of want: Want) -> Bool {
        want[key]?.answer == .have && isUsable(key, for: want)
    }

    func hasHolder(_ want: Want) -> Bool { want.holders.contains { isUsable($0, for: want) } }

    /// Whether a peer is tried for a block of which nobody is known to have it.
    private func isPromising(_ key: PeerKey, for want: Want) -> Bool {
        guard isUsable(key, for: want), let peer = peers[key] else { return false }
        // To a peer that knows no HAVE there is no other question.
        if peer.queue.answersHave == false { return true }
        // What was asked is answered soon, and by the block itself if that is small: it would come twice.
        if let relation = want[key], relation.asked == .have, relation.isSent, relation.answer == nil { return false }
        return hitRate(key, for: want) >= Self.leastHitRate
    }

    /// Whether a peer is to give a block, or will be when it has room, and very probably has it.
    private func isSure(_ key: PeerKey, of want: Want) -> Bool {
        guard want.owner == key || want[key]?.isClaimed == true else { return false }
        return isHolder(key, of: want) || hitRate(key, for: want) >= Self.sureHitRate && isUsable(key, for: want)
    }

    private func hitRate(_ key: PeerKey, for want: Want) -> Double {
        want.sessions.reduce(0) { max($0, sessions[$1]?.standing(of: key).hitRate ?? 0) }
    }

    private func expectedBytes(_ want: Want) -> Int {
        want.sessions.first.flatMap { sessions[$0]?.expectedBytes } ?? SessionState.presumedBlockBytes
    }

    private func hasRoom(_ key: PeerKey, for want: Want) -> Bool {
        guard let peer = peers[key] else { return false }
        return peer.debts[want.id] != nil || peer.hasRoom(limits)
    }

    /// Finds an owner for a want that has none, or lets all that could be lay claim to it.
    private mutating func place(_ id: Want.ID, now: Duration) {
        guard let want = wants[id], want.phase == .open, want.owner == nil else { return }
        var candidates = want.holders.filter { isUsable($0, for: want) }
        let isKnown = !candidates.isEmpty
        if !isKnown { candidates = want.audience.filter { isPromising($0, for: want) } }
        guard !candidates.isEmpty else { return }
        let size = expectedBytes(want)
        let free = candidates.filter { hasRoom($0, for: want) }
        let best = best(of: free, for: want, size, isKnown: isKnown)
        if let best, peers[best]?.claims.isEmpty == true { return assign(want, to: best, size, now: now) }
        for key in candidates { lay(claim(on: want), by: key) }
        if let best { fill(best, now: now) }
    }

    private mutating func best(of keys: [PeerKey], for want: Want, _ size: Int, isKnown: Bool) -> PeerKey? {
        guard keys.count > 1 else { return keys.first }
        if random.next(upperBound: Self.chanceForOthers) == 0 {
            return keys[Int(random.next(upperBound: UInt64(keys.count)))]
        }
        var best: (key: PeerKey, cost: Double)?
        for key in keys {
            guard let peer = peers[key] else { continue }
            var cost = peer.estimate.secondsToDeliver(size, ahead: peer.owedBytes) / peer.estimate.reliability
            if !isKnown { cost /= hitRate(key, for: want) }
            if best.map({ cost < $0.cost }) ?? true { best = (key, cost) }
        }
        return best?.key
    }

    private mutating func lay(_ claim: Claims.Claim, by key: PeerKey) {
        guard let want = wants[claim.want], want[key]?.isClaimed == false, let session = want.sessions.first else {
            return
        }
        wants[claim.want]?.update(key) { $0.isClaimed = true }
        peers[key]?.claims.insert(claim, of: session, at: sessions[session]?.virtualTime ?? 0)
        peers[key]?.estimate.becameFull()
        if let count = peers[key]?.claims.count, count > 2 * wants.count + 64 {
            peers[key]?.claims.compact { [wants] in wants[$0]?[key]?.isClaimed == true }
        }
    }

    /// Gives a peer that has room what it has claims to.
    private mutating func fill(_ key: PeerKey, now: Duration) {
        while var claims = peers[key]?.claims, !claims.isEmpty,
            peers[key]?.hasRoom(limits) == true
        {
            peers[key]?.claims.removeAll()
            var dropped: [Want.ID] = []
            let popped = claims.pop {
                sessions[$0]?.virtualTime
            } _: { claim in
                guard let want = wants[claim.want], want.phase == .open, want.owner == nil,
                    isHolder(key, of: want) || !hasHolder(want) && isPromising(key, for: want)
                else {
                    dropped.append(claim.want)
                    return .drop
                }
                let current = self.claim(on: want)
                return current.rarity > claim.rarity ? .rarity(current.rarity) : .take
            }
            peers[key]?.claims = claims
            for want in dropped { wants[want]?.update(key) { $0.isClaimed = false } }
            guard let (claim, _) = popped, let want = wants[claim.want] else { return }
            wants[claim.want]?.update(key) { $0.isClaimed = false }
            assign(want, to: key, expectedBytes(want), now: now)
        }
    }

    private mutating func assign(_ want: Want, to key: PeerKey, _ size: Int, now: Duration) {
        wants[want.id]?.owner = key
        wants[want.id]?.update(key) { $0.asked = .block }
        let due = now + Self.patienceBeforeSending
        peers[key]?.owe(want.id, size: size, due: due, now: now)
        deadlines.insert(.debt(want.id, key), at: due)
        peers[key]?.queue.want(want.cid, .block)
        wake(key)
        guard let session = want.sessions.first, let time = sessions[session]?.virtualTime else { return }
        // Start-time fair queueing: who asked for nothing for a while has nothing saved up.
        let start = max(time, virtualTime)
        virtualTime = start
        sessions[session]?.virtualTime = start + UInt64(size)
    }

    // MARK: The others

    /// Asks whether they have the block all those that were asked nothing yet.
    ///
    /// Not for a block so small that each would answer by giving it, while there is one that surely gives it.
    private mutating func askOthers(_ id: Want.ID) {
        guard let want = wants[id], want.phase == .open else { return }
        guard
            expectedBytes(want) > limits.haveReplacedByBlockBytes
                || !want.audience.contains(where: { isSure($0, of: want) })
        else { return }
        for key in want.audience where want[key]?.asked == nil && peers[key]?.isConnected == true {
            wants[id]?.update(key) { $0.asked = .have }
            peers[key]?.queue.want(want.cid, .have)
            wake(key)
        }
    }

    /// Ends what may ask nobody else. When all have said no: asks those that it seemed not worth asking.
    private mutating func giveUpIfExhausted(_ id: Want.ID, now: Duration) {
        guard let want = wants[id], want.phase == .open else { return }
        for session in want.sessions where sessions[session]?.reach == .only {
            guard sessions[session]?.named.allSatisfy({ isNegative($0, for: want) }) == true else { continue }
            for waiter in want.waiters where waiters[waiter]?.session == session {
                finish(waiter, .notFound, "no peer that may be asked has the block \(want.cid)")
            }
        }
        guard let want = wants[id], want.owner == nil, want.openQuestions == 0, !want.isInBacklog, !hasHolder(want)
        else { return }
        var isInvited = false
        for session in want.sessions {
            guard let state = sessions[session] else { continue }
            let others = state.reach == .only ? state.named : state.named + state.members + listed
            var room = limits.questionsPerWant
            for key in others where room > 0 {
                guard canInvite(key, to: id), isFree(state.standing(of: key)) else { continue }
                invite(key, to: id, in: session, now: now)
                room -= 1
                isInvited = true
            }
        }
        if isInvited { release(id) }
    }

    private func isNegative(_ key: PeerKey, for want: Want) -> Bool {
        peers[key]?.isUntrusted ?? true || isUnreachable(key) || want[key]?.isNegative == true
    }
}
