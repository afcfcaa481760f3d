import Blockstore
import Logging
import Multiformats
import NIOCore
import NIOConcurrencyHelpers

/// What peers want, on its way into their ledgers, and what comes into the store, on its way to who waits for it.
///
/// A peer's ledger and the subscriptions of all peers change together: the lock of the subscriptions is taken within that
/// of the peer, never the other way round. So is that of the budget of all wants.
extension Exchange {
    func receive(wantlist message: Message, from peer: ExchangePeer) {
        let now = time.now()
        let entries = admitted(message.entries, of: peer)
        let bytes = entries.reduce(0) { $0 + $1.cid.wantBytes }
        let changes = changeWants(of: peer, addingAtMost: bytes) { state in
            guard !state.hasEnded else { return Ledger.Changes() }
            let changes = state.ledger.apply(entries, isFull: message.isFull, now: now)
            enter(changes, of: peer)
            return changes
        }
        count(changes)
        answerSoon(peer)
    }

    /// Changes a peer's ledger, with the budget of all wants kept in step: up to so many bytes of it are taken for what is to
    /// be added, and what was not needed or is gone is given back.
    func changeWants<Result>(
        of peer: ExchangePeer, addingAtMost bytes: Int = 0, _ body: (inout ExchangePeer.State) -> Result
    ) -> Result {
        peer.state.withLockedValue { state in
            let before = state.ledger.heldBytes
            let reserved = bytes == 0 ? 0 : wantBudget.withLockedValue { $0.reserve(bytes, for: before) }
            state.ledger.room = before + reserved
            let result = body(&state)
            let unused = before + reserved - state.ledger.heldBytes
            if unused != 0 { wantBudget.withLockedValue { $0.bytes -= unused } }
            return result
        }
    }

    /// Looks up what the peer wants, one batch. Returns whether there was anything.
    func lookUp(for peer: ExchangePeer) async -> Bool {
        let items = peer.state.withLockedValue { $0.ledger.takeLookups(limit: Self.lookupBatch) }
        guard !items.isEmpty else { return false }
        let arrivals = subscriptions.withLockedValue { $0.arrivals }
        let missed = enter(items, await sizes(of: items.map(\.cid), for: peer), since: arrivals, for: peer)
        if !missed.isEmpty { give(missed, await sizes(of: missed, for: peer), to: peer) }
        return true
    }

    /// The same on this thread, for a few wants, and in the same look-up `body`: which is called with the wants and the bytes
    /// of those that are here for the peer, after they were entered, and must not call the store.
    func lookUpNow<Result>(
        _ limit: Int, in store: any ImmediateBlockstore, for peer: ExchangePeer,
        _ body: ([Ledger.Item], [UnsafeRawBufferPointer?]) -> Result
    ) -> Result {
        let items = peer.state.withLockedValue { $0.ledger.takeLookups(limit: limit) }
        let arrivals = subscriptions.withLockedValue { $0.arrivals }
        var missed: [CID] = []
        func enterAll(_ found: [UnsafeRawBufferPointer?]) -> Result {
            var sizes = found.map { $0?.count }
            conceal(&sizes, of: items.lazy.map(\.cid), from: peer)
            missed = enter(items, sizes, since: arrivals, for: peer)
            return body(items, found)
        }
        defer { if !missed.isEmpty { give(missed, sizesNow(of: missed, in: store, for: peer), to: peer) } }
        guard configuration.servesBlocks, !items.isEmpty else { return enterAll(items.map { _ in nil }) }
        do {
            return try store.readNow(items.map(\.cid.multihash), enterAll)
        } catch {
            cannotRead(error, for: peer)
            return enterAll(items.map { _ in nil })
        }
    }

    private static let lookupBatch = 1_024

    /// Enters what was found into the peer's ledger. Returns what has to be looked up once more: blocks have come into the
    /// store during the look-up, and some of those that it missed may be among them, and were announced before they were
    /// waited for.
    private func enter(
        _ items: [Ledger.Item], _ sizes: [Int?], since arrivals: UInt64, for peer: ExchangePeer
    ) -> [CID] {
        let now = time.now()
        let (changes, isStale) = changeWants(of: peer) { state in
            // Only what is absent concerns the others.
            guard sizes.contains(nil) else {
                let changes = state.ledger.resolve(items, sizes: sizes, now: now, room: 0)
                enter(changes, of: peer)
                return (changes, false)
            }
            return subscriptions.withLockedValue { subscriptions in
                let room = subscriptions.room(for: state.ledger.subscriptionBytes)
                let changes = state.ledger.resolve(
                    items, sizes: sizes, now: now, room: configuration.servesBlocks ? room : nil)
                subscriptions.remove(changes.unsubscribed, of: peer)
                subscriptions.add(changes.subscribed, of: peer)
                return (changes, subscriptions.arrivals != arrivals)
            }
        }
        count(changes)
        return isStale ? changes.subscribed : []
    }

    /// Gives a peer what it had been entered as waiting for, and is here.
    private func give(_ cids: [CID], _ sizes: [Int?], to peer: ExchangePeer) {
        let here = zip(cids, sizes).compactMap { cid, size in size.map { (cid, $0) } }
        guard !here.isEmpty else { return }
        subscriptions.withLockedValue { $0.remove(here.map(\.0), of: peer) }
        for (cid, size) in here { give(cid, size: size, to: peer) }
    }

    /// The sizes of blocks that are here for the peer. A store that cannot be read has nothing for it: it had better ask
    /// somebody else.
    private func sizes(of cids: [CID], for peer: ExchangePeer) async -> [Int?] {
        guard configuration.servesBlocks else { return Array(repeating: nil, count: cids.count) }
        do {
            var sizes = try await store.sizes(of: cids.map(\.multihash))
            conceal(&sizes, of: cids, from: peer)
            return sizes
        } catch {
            cannotRead(error, for: peer)
            return Array(repeating: nil, count: cids.count)
        }
    }

    private func sizesNow(of cids: [CID], in store: any ImmediateBlockstore, for peer: ExchangePeer) -> [Int?] {
        guard configuration.servesBlocks else { return Array(repeating: nil, count: cids.count) }
        do {
            var sizes = try cids.map { try store.readNow($0.multihash) { $0?.count } }
            conceal(&sizes, of: cids, from: peer)
            return sizes
        } catch {
            cannotRead(error, for: peer)
            return Array(repeating: nil, count: cids.count)
        }
    }

    func cannotRead(_ error: any Error, for peer: ExchangePeer) {
        logger.info("the store could not be read", metadata: ["peer": "\(peer.id)", "error": "\(error)"])
    }

    /// Gives the blocks, which are in the store, to the peers that wait for them.
    func announce(_ blocks: [Block]) {
        for (subscriber, index) in takeSubscribers(of: blocks.map(\.cid.multihash)) {
            give(subscriber.cid, size: blocks[index].bytes.readableBytes, to: subscriber.peer)
        }
    }

    private func give(_ cid: CID, size: Int, to peer: ExchangePeer) {
        var changes = Ledger.Changes()
        let now = time.now()
        let isAwaited = changeWants(of: peer, addingAtMost: cid.wantBytes) {
            $0.ledger.available(cid, size: size, now: now, &changes)
        }
        count(changes)
        if isAwaited { peer.responses.wake() }
    }

    /// The blocks were gone when they were to be read into an answer.
    func vanish(_ items: [Ledger.Item], for peer: ExchangePeer) {
        let now = time.now()
        for item in items {
            let changes = changeWants(of: peer) { state in
                let room = subscriptions.withLockedValue { $0.room(for: state.ledger.subscriptionBytes) }
                let changes = state.ledger.vanished(item, now: now, room: room)
                enter(changes, of: peer)
                return changes
            }
            count(changes)
        }
    }

    /// Forgets what a peer wants: it is gone, or there is no way to it.
    func forgetWants(of peer: ExchangePeer, forGood: Bool) {
        changeWants(of: peer) { state in
            enter(state.ledger.clear(), of: peer)
            if forGood { state.hasEnded = true }
        }
    }

    /// Enters the changes of a peer's ledger into the subscriptions of all. Called with the peer's lock held.
    func enter(_ changes: Ledger.Changes, of peer: ExchangePeer) {
        guard !changes.unsubscribed.isEmpty || !changes.subscribed.isEmpty else { return }
        subscriptions.withLockedValue {
            $0.remove(changes.unsubscribed, of: peer)
            $0.add(changes.subscribed, of: peer)
        }
    }

    func count(_ changes: Ledger.Changes) {
        for (limit, count) in changes.dropped { account.wantsDropped(count, by: limit) }
        account.hit(.subscriptionLifetime, times: changes.expired)
    }
}
