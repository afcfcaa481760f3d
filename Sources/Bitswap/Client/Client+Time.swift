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
                guard let waiter = waiters[id] else { continue }
                finish(id, .timedOut, "no peer gave the block \(waiter.want.cid) in time")
            case .debt(let want, let key): debtIsDue(want, key, now: now)
            case .search(let session):
                guard let due = sessions[session]?.searchDue, due <= now else { continue }
                search(for: session, now: now)
            case .dial(let key):
                guard let due = peers[key]?.dialing.due, due <= now else { continue }
                dialIsDue(key)
            }
        }
        compactDeadlines()
        return flush(now)
    }

    /// Whether what is due at a time is of interest still.
    func isLive(_ due: Due, _ time: Duration) -> Bool {
        switch due {
        case .waiter(let id): waiters[id] != nil
        case .debt(let want, let key): peers[key]?.debts[want]?.due == time
        case .search(let session): sessions[session]?.searchDue == time
        case .dial(let key): peers[key]?.dialing.due == time
        }
    }

    /// When the driver has to come back, if it does not know of that yet. It does not come for what has ended.
    mutating func takeAlarm() -> Duration? {
        while let first = deadlines.unannounced {
            guard !isLive(first.event, first.time) else {
                deadlines.announce(first.time)
                return first.time
            }
            deadlines.removeFirst()
        }
        return nil
    }

    /// Drops deadlines of what has ended, when there are many.
    private mutating func compactDeadlines() {
        guard deadlines.count > 1_024 else { return }
        let live = waiters.count + sessions.count + peers.values.reduce(0) { $0 + $1.debts.count + 1 }
        guard deadlines.count > 2 * live + 1_024 else { return }
        var kept = DeadlineQueue<Due>()
        swap(&kept, &deadlines)
        kept.compact { isLive($0, $1) }
        deadlines = kept
    }

    // MARK: Blocks that do not come

    private mutating func debtIsDue(_ id: Want.ID, _ key: PeerKey, now: Duration) {
        guard let peer = peers[key], let debt = peer.debts[id], debt.due <= now else { return }
        let want = debt.want
        guard !want.isOver else { return }
        guard let sentAt = debt.sentAt else {
            // The way to the peer is shut. What it was not told of yet, another one may be.
            guard want.owner == key, peer.queue.retract(want.cid.multihash) else { return }
            peer.forgive(id)
            roomy.append(key)
            return stall(want, key)
        }
        let patience = peer.estimate.patience(debt.size, ahead: debt.ahead, within: timing.patience)
        let delivered = peer.estimate.delivered - debt.deliveredBefore
        // Bytes that come are those ahead of it, as long as there are not too many of them.
        let isInTurn = delivered <= 2 * (debt.ahead + debt.size) + (1 << 20) && now - sentAt < Self.longestDebt
        let next = peer.estimate.lastProgress + patience
        if isInTurn, next > now {
            peer.update(id) { $0.due = next }
            deadlines.insert(.debt(id, key), at: next)
            return
        }
        guard want.owner == key else { return }
        peer.estimate.stalled()
        for session in want.sessions { session.stalled(key) }
        emit(want) { .stalled($0, peer.id) }
        stall(want, key)
    }

    private mutating func stall(_ want: Want, _ key: PeerKey) {
        want.update(key) { $0.hasStalled = true }
        want.owner = nil
        release(want)
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
        guard let first = needy.first else {
            return scheduleSearch(of: id, after: timing.routerDelay, now: now)
        }
        // The first round is the router's: everybody else was asked a moment ago.
        if session.searches > 0 {
            session.searchCursor += needy.count
            for want in needy { broadcast(want, for: session, now: now) }
        }
        for _ in needy { advanceBacklog(of: session) }
        if session.reach == .any {
            emit(first) { .askedRouter($0) }
            effects.searches.append(Search(cid: first.cid, session: id))
        }
        let interval = min(
            timing.searchInterval * (1 << min(session.searches / 2, 10)), timing.longestSearchInterval)
        session.searches += 1
        scheduleSearch(of: id, after: jittered(interval), now: now)
    }

    /// Wants that nobody is known to have, or only who has stalled; from another place in each round.
    private func needyWants(of session: SessionState, now: Duration) -> [Want] {
        var needy: [Want] = []
        let start = session.wants.isEmpty ? 0 : session.searchCursor % session.wants.count
        for offset in 0..<session.wants.count where needy.count < Self.wantsPerSearch {
            let want = session.wants[(start + offset) % session.wants.count]
            guard want.isOpen, session.isLive(want), now - want.since >= timing.routerDelay, !hasHolder(want)
            else { continue }
            if let owner = want.owner, let peer = peers[owner], now - peer.estimate.lastProgress < timing.routerDelay,
                peer.debts[want.id]?.sentAt != nil
            {
                continue
            }
            needy.append(want)
        }
        return needy
    }

    /// Asks for a want again whoever may have forgotten it, and others for the first time.
    private mutating func broadcast(_ want: Want, for session: SessionState, now: Duration) {
        var count = 0
        for key in want.audience {
            guard let relation = want[key], let peer = peers[key], peer.isConnected else { continue }
            if relation.hasStalled { want.update(key) { $0.hasStalled = false } }
            guard relation.isSent, now - relation.sentAt >= timing.searchInterval / 2 else { continue }
            peer.queue.remind(want.cid.multihash)
            if relation.answer == .dontHave { peer.queue.restore(want.cid) }
            wake(peer)
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
        for key in others where room > 0 && canInvite(key, to: want) {
            invite(key, to: want, in: session, now: now)
            room -= 1
            count += 1
        }
        if count > 0 { emit(want) { .broadcast($0, peers: count) } }
        release(want)
    }

    /// Spread by a fifth to either side, so that many nodes do not keep step.
    mutating func jittered(_ duration: Duration) -> Duration {
        let chance = Int(random.next(upperBound: UInt64(401)))
        return duration / 1_000 * (800 + chance)
    }
}
