import DequeModule
import Multiformats
import PeerIdentity

/// What is due at its time.
extension Client {
    /// Wants of a session that are looked for in one round.
    private static let wantsPerSearch = 16
    /// Connected peers that are asked in a round beside those that may be useful.
    private static let strangersPerSearch = 4
    /// A debt is not waited for longer, whatever else comes.
    private static let longestDebt = Duration.seconds(30)

    /// Does what is due; to be called when ``Effects/alarm`` has said.
    mutating func tick(now: Duration) -> Effects {
        deadlines.alarmRang(now: now)
        while let due = deadlines.popDue(now: now) {
            switch due {
            case .waiter(let id):
                guard let waiter = waiters[id], let cid = wants[waiter.want]?.cid else { continue }
                finish(id, .timedOut, "no peer gave the block \(cid) in time")
            case .debt(let want, let key): debtIsDue(want, key, now: now)
            case .search(let session):
                guard let due = sessions[session]?.searchDue, due <= now else { continue }
                search(for: session, now: now)
            case .dial(let key):
                guard let due = peers[key]?.dialing.due, due <= now else { continue }
                dialIsDue(key, now: now)
            }
        }
        compactDeadlines()
        return flush(now)
    }

    /// Drops deadlines of what has ended, when there are many.
    private mutating func compactDeadlines() {
        let live = waiters.count + sessions.count + peers.values.reduce(0) { $0 + $1.debts.count + 1 }
        guard deadlines.count > 2 * live + 1_024 else { return }
        deadlines.compact { [waiters, sessions, peers] due, time in
            switch due {
            case .waiter(let id): waiters[id] != nil
            case .debt(let want, let key): peers[key]?.debts[want]?.due == time
            case .search(let session): sessions[session]?.searchDue == time
            case .dial(let key): peers[key]?.dialing.due == time
            }
        }
    }

    // MARK: Blocks that do not come

    private mutating func debtIsDue(_ id: Want.ID, _ key: PeerKey, now: Duration) {
        guard let peer = peers[key], let debt = peer.debts[id], debt.due <= now, let want = wants[id] else { return }
        guard let sentAt = debt.sentAt else {
            // The way to the peer is shut. What it was not told of yet, another one may be.
            guard want.owner == key, peers[key]?.queue.retract(want.cid.multihash) == true else { return }
            peers[key]?.forgive(id)
            roomy.append(key)
            return stall(id, key)
        }
        let patience = peer.estimate.patience(debt.size, ahead: debt.ahead, within: timing.patience)
        let delivered = peer.estimate.delivered - debt.deliveredBefore
        // Bytes that come are those ahead of it, as long as there are not too many of them.
        let isInTurn = delivered <= 2 * (debt.ahead + debt.size) + (1 << 20) && now - sentAt < Self.longestDebt
        let next = peer.estimate.lastProgress + patience
        if isInTurn, next > now {
            peers[key]?.update(id) { $0.due = next }
            deadlines.insert(.debt(id, key), at: next)
            return
        }
        guard want.owner == key else { return }
        peers[key]?.estimate.stalled()
        for session in want.sessions { sessions[session]?.stalled(key) }
        emit(id) { .stalled($0, peer.id) }
        stall(id, key)
    }

    private mutating func stall(_ id: Want.ID, _ key: PeerKey) {
        wants[id]?.update(key) { $0.hasStalled = true }
        wants[id]?.owner = nil
        release(id)
    }

    // MARK: Blocks that nobody has

    mutating func scheduleSearch(of session: SessionState.ID, after delay: Duration, now: Duration) {
        guard let state = sessions[session], state.searchDue == nil, state.wantCount > 0 else { return }
        sessions[session]?.searchDue = now + delay
        deadlines.insert(.search(session), at: now + delay)
    }

    private mutating func search(for id: SessionState.ID, now: Duration) {
        sessions[id]?.searchDue = nil
        guard let session = sessions[id] else { return }
        let needy = needyWants(of: session, now: now)
        guard let first = needy.first, let cid = wants[first]?.cid else {
            return scheduleSearch(of: id, after: timing.routerDelay, now: now)
        }
        // The first round is the router's: everybody else was asked a moment ago.
        if session.searches > 0 {
            sessions[id]?.searchCursor += needy.count
            for want in needy { broadcast(want, for: session, now: now) }
        }
        for _ in needy { advanceBacklog(of: id) }
        if session.reach == .any {
            emit(first) { .askedRouter($0) }
            effects.searches.append(Search(cid: cid, session: id))
        }
        let interval = min(
            timing.searchInterval * (1 << min(session.searches / 2, 10)), timing.longestSearchInterval)
        session.searches += 1
        scheduleSearch(of: id, after: jittered(interval), now: now)
    }

    /// Wants that nobody is known to have, or only who has stalled; from another place in each round.
    private func needyWants(of session: SessionState, now: Duration) -> [Want.ID] {
        var needy: [Want.ID] = []
        let start = session.wants.isEmpty ? 0 : session.searchCursor % session.wants.count
        for offset in 0..<session.wants.count where needy.count < Self.wantsPerSearch {
            let id = session.wants[(start + offset) % session.wants.count]
            guard let want = wants[id], want.phase == .open, want.sessions.contains(session.id),
                now - want.since >= timing.routerDelay, !hasHolder(want)
            else { continue }
            if let owner = want.owner, let peer = peers[owner], now - peer.estimate.lastProgress < timing.routerDelay,
                peer.debts[id]?.sentAt != nil
            {
                continue
            }
            needy.append(id)
        }
        return needy
    }

    /// Asks for a want again whoever may have forgotten it, and others for the first time.
    private mutating func broadcast(_ id: Want.ID, for session: SessionState, now: Duration) {
        guard let want = wants[id] else { return }
        var count = 0
        for key in want.audience {
            guard let relation = want[key], peers[key]?.isConnected == true, relation.isSent else { continue }
            if relation.hasStalled { wants[id]?.update(key) { $0.hasStalled = false } }
            guard now - relation.sentAt >= timing.searchInterval / 2 else { continue }
            peers[key]?.queue.remind(want.cid.multihash)
            wake(key)
            count += 1
        }
        var room = limits.questionsPerWant
        var others = session.named
        if session.reach == .any {
            others += session.members + listed.prefix(limits.questionsPerWant)
            if !connected.isEmpty {
                for _ in 0..<Self.strangersPerSearch {
                    others.append(connected[Int(random.next(upperBound: UInt64(connected.count)))])
                }
            }
        }
        for key in others where room > 0 && canInvite(key, to: id) {
            invite(key, to: id, in: session.id, now: now)
            room -= 1
            count += 1
        }
        if count > 0 { emit(id) { .broadcast($0, peers: count) } }
        release(id)
    }

    /// Spread by a fifth to either side, so that many nodes do not keep step.
    mutating func jittered(_ duration: Duration) -> Duration {
        let chance = Int(random.next(upperBound: UInt64(401)))
        return duration / 1_000 * (800 + chance)
    }
}
