import Blockstore
import DequeModule
import Multiformats
import PeerIdentity

/// What peers say, and blocks that come.
extension Client {
    mutating func received(presences: [Message.Presence], from id: PeerID, now: Duration) -> Effects {
        guard let key = peerKeys[id], peers[key]?.isConnected == true else { return flush(now) }
        peers[key]?.estimate.progressed(now: now)
        for presence in presences {
            let multihash = presence.cid.multihash
            // Only what was asked of this peer counts: nobody fills our memory with answers to no question.
            guard let answer = peers[key]?.queue.answered(multihash, has: presence.has) else { continue }
            if let askedAt = answer.askedAt { peers[key]?.estimate.answered(after: now - askedAt) }
            guard let want = wantIDs[multihash] else { continue }
            answered(want, by: key, has: presence.has, now: now)
        }
        peers[key]?.dialing.failures = 0
        if peers[key]?.queue.hasPending == true { wake(key) }
        return flush(now)
    }

    private mutating func answered(_ id: Want.ID, by key: PeerKey, has: Bool, now: Duration) {
        guard let want = wants[id], let relation = want[key], want.phase == .open else { return }
        if let peer = peers[key]?.id { emit(id) { .answered($0, peer, has: has) } }
        wants[id]?.update(key) {
            $0.answer = has ? .have : .dontHave
            $0.hasStalled = false
        }
        note(key, has: has, isFirst: relation.answer == nil, in: want.sessions, now: now)
        if has {
            peers[key]?.isUseful = true
            list(key)
            if want.owner == nil { release(id) }
            return
        }
        if peers[key]?.forgive(id) == true {
            if peers[key]?.debts.isEmpty == true { peers[key]?.estimate.stoppedWaiting() }
            roomy.append(key)
        }
        if want.owner == key { wants[id]?.owner = nil }
        // Whoever may ask only this peer is done, whoever else is asked for others.
        let isLastHope = want.sessions.contains { sessions[$0]?.reach == .only }
        if wants[id]?.owner == nil || isLastHope { release(id) }
    }

    private mutating func note(
        _ key: PeerKey, has: Bool, isFirst: Bool, in found: [SessionState.ID], now: Duration
    ) {
        for session in found {
            guard sessions[session]?.allows(key) == true else { continue }
            let isNews = sessions[session]?.answered(
                key, has: has, isFirst: isFirst, limit: limits.peersPerSession, now: now)
            if isNews == true { greet(key, in: session, now: now) }
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
        guard let key = peerKeys[id], peers[key]?.isConnected == true else {
            return (blocks.map { _ in .unrequested }, flush(now))
        }
        let expectations = blocks.map { received(block: $0.key, size: $0.size, from: key, now: now) }
        if peers[key]?.queue.hasPending == true { wake(key) }
        return (expectations, flush(now))
    }

    private mutating func received(block: Multihash, size: Int, from key: PeerKey, now: Duration) -> Expectation {
        let settlement = peers[key]?.queue.settle(block) ?? .unasked
        guard settlement != .unasked else { return .unrequested }
        let id = wantIDs[block]
        if let id { peers[key]?.forgive(id) }
        let owesMore = peers[key]?.debts.isEmpty == false
        peers[key]?.estimate.received(size, now: now, owesMore: owesMore)
        peers[key]?.offence *= 0.9
        peers[key]?.dialing.failures = 0
        roomy.append(key)
        guard let id, let want = wants[id], want.phase != .storing else { return .alreadyHere }
        peers[key]?.isUseful = true
        list(key)
        wants[id]?.phase = .storing
        if let peer = peers[key]?.id { emit(id) { .received($0, peer, bytes: size) } }
        let isFirst = want[key].map { $0.answer == nil } ?? true
        for session in want.sessions {
            sessions[session]?.received(size)
        }
        note(key, has: true, isFirst: isFirst, in: want.sessions, now: now)
        withdraw(want, from: key)
        return .wanted(want.cid)
    }

    /// `peer` sent a block that was not asked of it, or whose bytes are not those of its CID: what it owes is asked of others.
    mutating func offended(_ id: PeerID, now: Duration) -> Effects {
        guard let key = peerKeys[id], let peer = peers[key], peer.isConnected else { return flush(now) }
        peers[key]?.offence += 1
        peers[key]?.estimate.offended()
        for want in peer.debts.keys.sorted() {
            guard wants[want]?.phase == .open else { continue }
            emit(want) { .refused($0, id) }
            wants[want]?.update(key) { $0.hasLied = true }
            if wants[want]?.owner == key { wants[want]?.owner = nil }
            release(want)
        }
        if peers[key]?.isUntrusted == true {
            peers[key]?.isListed = false
            listed.removeAll { $0 == key }
            for session in sessions.keys.sorted() {
                for want in sessions[session]?.wants ?? [] where wants[want]?[key] != nil { release(want) }
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
            guard let id = wantIDs[block.cid.multihash], let want = wants[id] else { continue }
            waits.append(now - want.since)
            if peer == nil { emit(id) { .foundLocally($0) } }
            end(want) { .success(Delivery(block: Block(unchecked: block.bytes, cid: want.cid), peer: peer)) }
            if want.phase != .storing { withdraw(want, from: nil) }
        }
        return (flush(now), waits)
    }

    mutating func storeFailed(_ key: Multihash, _ error: any Error, now: Duration) -> Effects {
        guard let id = wantIDs[key], let want = wants[id] else { return flush(now) }
        end(want) {
            .failure(
                ExchangeError(
                    .storeFailed, "the block \(want.cid) came but could not be stored", underlying: error))
        }
        return flush(now)
    }

    /// Ends all waiters of a want, and the want.
    private mutating func end(_ want: Want, _ result: () -> Result<Delivery, ExchangeError>) {
        remove(want.id)
        for id in want.waiters {
            guard let waiter = waiters.removeValue(forKey: id) else { continue }
            effects.finished.append((id, result()))
            endIfEphemeral(waiter.session)
        }
    }
}
