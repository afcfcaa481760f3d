import Blockstore
import DequeModule
import Multiformats
import PeerIdentity

/// What peers say, and blocks that come.
extension Client {
    mutating func received(presences: [Message.Presence], from id: PeerID, now: Duration) -> Effects {
        guard let peer = connectedPeer(id) else { return flush(now) }
        peer.estimate.progressed(now: now)
        for presence in presences {
            let multihash = presence.cid.multihash
            // Only what was asked of this peer counts: nobody fills our memory with answers to no question.
            guard let answer = peer.queue.answered(multihash, has: presence.has) else { continue }
            if let askedAt = answer.askedAt { peer.estimate.answered(after: now - askedAt) }
            guard let want = wants[multihash] else { continue }
            answered(want, by: peer, has: presence.has, now: now)
        }
        peer.dialing.failures = 0
        if peer.queue.hasPending { wake(peer) }
        return flush(now)
    }

    private func connectedPeer(_ id: PeerID) -> ClientPeer? {
        guard let peer = peerKeys[id].flatMap({ peers[$0] }), peer.isConnected else { return nil }
        return peer
    }

    private mutating func answered(_ want: Want, by peer: ClientPeer, has: Bool, now: Duration) {
        guard let relation = want[peer.key], want.isOpen else { return }
        emit(want) { .answered($0, peer.id, has: has) }
        want.update(peer.key) {
            $0.answer = has ? .have : .dontHave
            $0.hasStalled = false
        }
        note(peer.key, has: has, isFirst: relation.answer == nil, in: want.sessions, now: now)
        if has {
            peer.isUseful = true
            list(peer)
            if want.owner == nil { release(want) }
            return
        }
        if peer.forgive(want.id) {
            if peer.debts.isEmpty { peer.estimate.stoppedWaiting() }
            roomy.append(peer.key)
        }
        if want.owner == peer.key { want.owner = nil }
        // Whoever may ask only this peer is done, whoever else is asked for others.
        if want.owner == nil || want.sessions.contains(where: { $0.reach == .only }) { release(want) }
    }

    private mutating func note(
        _ key: PeerKey, has: Bool, isFirst: Bool, in found: [SessionState], now: Duration
    ) {
        for session in found {
            guard session.allows(key) else { continue }
            let isNews = session.answered(key, has: has, isFirst: isFirst, limit: limits.peersPerSession, now: now)
            if isNews { greet(key, in: session, now: now) }
            advanceBacklog(of: session)
        }
    }

    /// What the sender says that it has queued for us.
    mutating func told(pendingBytes: Int, by id: PeerID) {
        guard let key = peerKeys[id] else { return }
        peers[key]?.estimate.told(pendingBytes: pendingBytes)
    }

    /// Bytes of a message came whose rest is still to come.
    mutating func progressed(_ id: PeerID, now: Duration) {
        guard let key = peerKeys[id] else { return }
        peers[key]?.estimate.progressed(now: now)
    }

    /// Whether anything is outstanding at `peer`: if nothing is, what it sends is not worth a hash.
    func awaitsBlock(from id: PeerID) -> Bool {
        peerKeys[id].map { peers[$0]?.queue.awaitsAnything ?? false } ?? false
    }

    /// Whether `peer` was asked for this block, and the block is still to come.
    enum Expectation: Hashable {
        case wanted(CID)
        case alreadyHere, unrequested
    }

    /// Blocks with these multihashes and sizes came from `peer`. What is wanted counts as here from now on: the caller
    /// stores it and calls ``stored(_:from:now:)`` or ``storeFailed(_:_:now:)``; everybody else who was asked is told to
    /// forget it.
    mutating func received(
        blocks: [(key: Multihash, size: Int)], from id: PeerID, now: Duration
    ) -> (expectations: [Expectation], effects: Effects) {
        guard let peer = connectedPeer(id) else { return (blocks.map { _ in .unrequested }, flush(now)) }
        let expectations = blocks.map { received(block: $0.key, size: $0.size, from: peer, now: now) }
        if peer.queue.hasPending { wake(peer) }
        return (expectations, flush(now))
    }

    private mutating func received(
        block: Multihash, size: Int, from peer: ClientPeer, now: Duration
    ) -> Expectation {
        guard peer.queue.settle(block) else { return .unrequested }
        let want = wants[block]
        if let want { peer.forgive(want.id) }
        peer.estimate.received(size, now: now, owesMore: !peer.debts.isEmpty)
        peer.offence *= 0.9
        peer.dialing.failures = 0
        if roomy.last != peer.key { roomy.append(peer.key) }
        guard let want, want.phase != .storing else { return .alreadyHere }
        peer.isUseful = true
        list(peer)
        want.phase = .storing
        emit(want) { .received($0, peer.id, bytes: size) }
        let isFirst = want[peer.key].map { $0.answer == nil } ?? true
        for session in want.sessions { session.received(size) }
        note(peer.key, has: true, isFirst: isFirst, in: want.sessions, now: now)
        withdraw(want, from: peer.key)
        return .wanted(want.cid)
    }

    /// `peer` sent a block that was not asked of it, or whose bytes are not those of its CID: what it owes is asked of others.
    mutating func offended(_ id: PeerID, now: Duration) -> Effects {
        guard let peer = connectedPeer(id) else { return flush(now) }
        peer.offence += 1
        peer.estimate.offended()
        for want in peer.debts.values.map(\.want).sorted(by: { $0.id < $1.id }) where want.isOpen {
            emit(want) { .refused($0, id) }
            want.update(peer.key) { $0.hasLied = true }
            if want.owner == peer.key { want.owner = nil }
            release(want)
        }
        if peer.isUntrusted {
            peer.isListed = false
            listed.removeAll { $0 == peer.key }
            for session in sessions.keys.sorted() {
                for want in sessions[session]?.wants ?? [] where !want.isOver && want[peer.key] != nil { release(want) }
            }
        }
        return flush(now)
    }

    /// The blocks are in the store, fetched from `peer` or put by the application (nil): all their waiters are done.
    ///
    /// - Returns: besides the effects, how long each block was waited for.
    mutating func stored(_ blocks: [Block], from peer: PeerID?, now: Duration) -> (effects: Effects, waits: [Duration])
    {
        var waits: [Duration] = []
        for block in blocks {
            guard let want = wants[block.cid.multihash] else { continue }
            waits.append(now - want.since)
            if peer == nil { emit(want) { .foundLocally($0) } }
            end(want) { .success(Delivery(block: Block(unchecked: block.bytes, cid: want.cid), peer: peer)) }
            if want.phase != .storing { withdraw(want, from: nil) }
        }
        return (flush(now), waits)
    }

    mutating func storeFailed(_ key: Multihash, _ error: any Error, now: Duration) -> Effects {
        guard let want = wants[key] else { return flush(now) }
        end(want) {
            .failure(
                ExchangeError(
                    .storeFailed, "the block \(want.cid) came but could not be stored", underlying: error))
        }
        return flush(now)
    }

    /// Ends all waiters of a want, and the want.
    private mutating func end(_ want: Want, _ result: () -> Result<Delivery, ExchangeError>) {
        remove(want)
        for id in want.waiters {
            guard let waiter = waiters.removeValue(forKey: id) else { continue }
            effects.finished.append((id, result()))
            endIfEphemeral(waiter.session)
        }
    }
}
