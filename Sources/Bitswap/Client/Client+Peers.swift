import DequeModule
import Libp2p
import Multiformats
import PeerIdentity

/// Peers that come and go, and what they are sent.
extension Client {
    mutating func connected(_ id: PeerID, as standing: PeerStanding, now: Duration) -> Effects {
        let key = key(of: id)
        guard let peer = peers[key] else { return flush(now) }
        guard !peer.isConnected else {
            peer.standing.formUnion(standing)
            list(peer)
            return flush(now)
        }
        peer.standing = standing
        peer.isConnected = true
        peer.isThrottled = isThrottled
        peer.dialing.due = nil
        connected.append(key)
        list(peer)
        for session in sessions.keys.sorted() { welcome(key, to: session, now: now) }
        return flush(now)
    }

    func isConnected(_ id: PeerID) -> Bool { peerKeys[id].map { peers[$0]?.isConnected == true } ?? false }

    /// There is a way to the peer again, or it has spoken although there was none.
    mutating func revived(_ id: PeerID, now: Duration) -> Effects {
        connected(id, as: peers[key(of: id)]?.standing ?? [], now: now)
    }

    /// The peer is gone, or, if not, there is no way to ask it; what it was asked for before may still come then.
    mutating func disconnected(_ id: PeerID, isGone: Bool = true, now: Duration) -> Effects {
        guard let key = peerKeys[id] else { return flush(now) }
        guard peers[key]?.isConnected == true else {
            if isGone { peers[key]?.queue = PeerWants() }
            return flush(now)
        }
        peers[key]?.disconnected(isGone: isGone)
        peers[key]?.isListed = false
        connected.removeAll { $0 == key }
        listed.removeAll { $0 == key }
        becameStranger(key)
        // A peer that is gone as soon as it has come is not to be dialled without end.
        peers[key]?.dialing.failures += 1
        for session in sessions.keys.sorted() {
            guard let state = sessions[session], state.wantCount > 0 else { continue }
            state.disconnected(key)
            for want in state.wants where !want.isOver { lose(want, key) }
            advanceBacklog(of: state, whole: true)
            if isDialed(key, by: state) { scheduleDial(key, now: now) }
        }
        return flush(now)
    }

    private mutating func lose(_ want: Want, _ key: PeerKey) {
        guard want[key]?.isGone == false else { return }
        want.update(key) { relation in
            relation.isGone = true
            relation.answer = nil
            relation.isClaimed = false
        }
        if want.owner == key { want.owner = nil }
        release(want)
    }

    /// The way to `peer` was lost while it is still connected: what it was told, it may not know.
    mutating func outletLost(_ id: PeerID, now: Duration) -> Effects {
        guard let key = peerKeys[id], peers[key]?.isConnected == true else { return flush(now) }
        if let peer = peers[key], peer.queue.restart() { wake(peer) }
        return flush(now)
    }

    /// Puts a peer among those that are asked for what nobody is known to have.
    mutating func list(_ peer: ClientPeer) {
        guard peer.isConnected, !peer.isListed, !peer.isUntrusted, peer.isUseful || !peer.standing.isEmpty
        else { return }
        peer.isListed = true
        listed.append(peer.key)
    }

    /// A peer has come: what a session wants is asked of it, if it is one of those that the session asks.
    private mutating func welcome(_ key: PeerKey, to session: SessionState.ID, now: Duration) {
        guard let state = sessions[session], state.wantCount > 0, state.allows(key) else { return }
        let isOwn = state.named.contains(key) || state.standing(of: key).isMember
        guard isOwn || peers[key]?.isListed == true else { return }
        for want in state.wants where want.isOpen && state.isLive(want) {
            if let relation = want[key] {
                guard relation.isGone else { continue }
                want.update(key) { $0 = Relation(hasLied: $0.hasLied) }
                release(want)
            } else if isFree(state.standing(of: key)) {
                invite(key, to: want, in: state, now: now)
                release(want)
            } else if want.audience.isEmpty, !want.isInBacklog {
                // Until it has answered: if it has anything, it is asked about everything then.
                want.isInBacklog = true
                state.backlog.append(want)
            }
        }
    }

    /// A peer has turned out to be of use to a session: all that it wants is asked of it.
    mutating func greet(_ key: PeerKey, in session: SessionState, now: Duration) {
        session.backlog = []
        for want in session.wants where want.isOpen && want[key] == nil && session.isLive(want) {
            invite(key, to: want, in: session, now: now)
            release(want)
        }
    }

    /// Asks for no further blocks for now, of anybody or of these peers, because what was asked for is more than may come in;
    /// or asks again.
    mutating func throttle(everybody: Bool, peers shut: Set<PeerID>, now: Duration) -> Effects {
        for key in connected {
            let isThrottled = everybody || peers[key].map { shut.contains($0.id) } == true
            guard peers[key]?.isThrottled != isThrottled else { continue }
            peers[key]?.isThrottled = isThrottled
            if !isThrottled { roomy.append(key) }
        }
        isThrottled = everybody
        return flush(now)
    }

    // MARK: What is sent

    func hasEntries(for id: PeerID) -> Bool {
        peerKeys[id].map { peers[$0]?.queue.hasPending ?? false } ?? false
    }

    /// What to send to a peer now: at most `limit` entries, which replace all it knows of ours when `isFull`.
    mutating func takeEntries(
        for id: PeerID, limit: Int, version: BitswapVersion, now: Duration
    ) -> (taken: PeerWants.Taken, effects: Effects) {
        guard let peer = peerKeys[id].flatMap({ peers[$0] }), peer.isConnected else {
            return (PeerWants.Taken(), flush(now))
        }
        let taken = peer.queue.take(
            limit: limit, outstanding: limits.outstandingWantsPerPeer, version: version, now: now)
        if taken.keepsWantsBack { effects.keepsWantsBack = true }
        for (multihash, type) in taken.asked {
            guard let want = wants[multihash] else { continue }
            want.update(peer.key) {
                $0.isSent = true
                $0.sentAt = now
            }
            emit(want) { .asked($0, id, type) }
            if type == .block { asked(want, of: peer, now: now) }
        }
        return (taken, flush(now))
    }

    /// A want of a block goes out.
    private mutating func asked(_ want: Want, of peer: ClientPeer, now: Duration) {
        var due = now
        let isOwed = peer.update(want.id) { debt in
            debt.ahead = max(0, peer.owedBytes - debt.size)
            debt.sentAt = now
            debt.deliveredBefore = peer.estimate.delivered
            debt.due = now + peer.estimate.patience(debt.size, ahead: debt.ahead, within: timing.patience)
            due = debt.due
        }
        guard isOwed else { return }
        peer.estimate.beganWaiting(now: now)
        deadlines.insert(.debt(want.id, peer.key), at: due)
    }

    // MARK: Connecting

    /// Failures after which a peer counts as out of reach.
    private static let enoughFailures = 5
    private static let shortestDialDelay = Duration.milliseconds(500)
    private static let longestDialDelay = Duration.seconds(30)

    func isUnreachable(_ key: PeerKey) -> Bool {
        guard let peer = peers[key] else { return true }
        return !peer.isConnected && peer.dialing.failures >= Self.enoughFailures
    }

    private func isDialed(_ key: PeerKey, by session: SessionState) -> Bool {
        guard session.wantCount > 0, peers[key]?.isConnected == false else { return false }
        if session.named.contains(key) { return session.reach == .any || !isUnreachable(key) }
        return session.standing(of: key).isMember && !isUnreachable(key)
    }

    /// Connects to the peers that a session names and to those that were of use to it.
    mutating func startDials(of session: SessionState) {
        for key in session.named where isDialed(key, by: session) && peers[key]?.dialing.due == nil { dial(key) }
    }

    mutating func dial(_ key: PeerKey) {
        guard let peer = peers[key], !peer.isConnected, !peer.dialing.isUnderWay else { return }
        peers[key]?.dialing.isUnderWay = true
        peers[key]?.dialing.due = nil
        effects.dials.append(Provider(peer.id, addresses: peer.dialing.addresses))
    }

    private mutating func scheduleDial(_ key: PeerKey, now: Duration) {
        guard let dialing = peers[key]?.dialing, !dialing.isUnderWay, dialing.due == nil else { return }
        let exponent = min(max(0, dialing.failures - 1), 10)
        let delay = jittered(min(Self.shortestDialDelay * (1 << exponent), Self.longestDialDelay))
        peers[key]?.dialing.due = now + delay
        deadlines.insert(.dial(key), at: now + delay)
    }

    mutating func dialIsDue(_ key: PeerKey) {
        peers[key]?.dialing.due = nil
        if sessions.values.contains(where: { isDialed(key, by: $0) }) { dial(key) }
    }

    /// An attempt to connect is over. Its success shows by ``connected(_:as:now:)``.
    mutating func dialEnded(_ id: PeerID, isConnected: Bool, now: Duration) -> Effects {
        guard let key = peerKeys[id], peers[key]?.dialing.isUnderWay == true else { return flush(now) }
        peers[key]?.dialing.isUnderWay = false
        guard !isConnected, peers[key]?.isConnected == false else { return flush(now) }
        peers[key]?.dialing.failures += 1
        if isUnreachable(key) {
            for session in sessions.keys.sorted() where sessions[session]?.named.contains(key) == true {
                for want in sessions[session]?.wants ?? [] where want.isOpen { release(want) }
            }
        }
        settle(now)
        if sessions.values.contains(where: { isDialed(key, by: $0) }) { scheduleDial(key, now: now) }
        return flush(now)
    }

    /// Peers that may have what a session wants were found by the content router.
    mutating func found(_ provider: Provider, for session: SessionState.ID, now: Duration) -> Effects {
        guard let state = sessions[session], state.reach == .any, state.wantCount > 0 else { return flush(now) }
        let key = key(of: provider.peer)
        hint(key, provider.addresses)
        sessions[session]?.found(key, limit: limits.peersPerSession)
        if state.isObserved { effects.events.append((session, .found(provider.peer))) }
        if peers[key]?.isConnected == true {
            greet(key, in: state, now: now)
        } else {
            dial(key)
        }
        return flush(now)
    }
}
