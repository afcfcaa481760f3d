import Multiformats

/// Who waits for blocks that we do not hold, across all peers, in the order of their asking. Pure.
///
/// Each peer's ledger bounds how many it has here; their sum is bounded by what ``room(for:)`` allows.
struct Subscriptions {
    struct Subscriber {
        let peer: ExchangePeer
        /// The CID as that peer wrote it: its answer must carry the same.
        var cid: CID
    }

    private var subscribers: [Multihash: [Subscriber]] = [:]
    private(set) var count = 0
    private var budget: SharedBudget
    /// How often blocks have come. A look-up that missed a block which came meanwhile is known by it.
    private(set) var arrivals: UInt64 = 0

    /// - Parameter bytes: what all subscriptions may take.
    init(bytes: Int) { budget = SharedBudget(limit: bytes) }

    func contains(_ key: Multihash) -> Bool { subscribers[key] != nil }

    /// How many bytes the subscriptions of a peer may take in all, of which its own take so many.
    func room(for own: Int) -> Int { budget.room(for: own) }

    mutating func add(_ cids: [CID], of peer: ExchangePeer) {
        for cid in cids {
            subscribers[cid.multihash, default: []].append(Subscriber(peer: peer, cid: cid))
            budget.bytes += cid.subscriptionBytes
        }
        count += cids.count
    }

    mutating func remove(_ cids: [CID], of peer: ExchangePeer) {
        for cid in cids { removeOne(cid, of: peer) }
        shrink()
    }

    mutating func remove(_ gone: [Subscriber]) {
        for subscriber in gone { removeOne(subscriber.cid, of: subscriber.peer) }
        shrink()
    }

    private mutating func removeOne(_ cid: CID, of peer: ExchangePeer) {
        guard let index = subscribers[cid.multihash]?.firstIndex(where: { $0.peer === peer && $0.cid == cid }) else {
            return
        }
        subscribers[cid.multihash]?.remove(at: index)
        if subscribers[cid.multihash]?.isEmpty == true { subscribers[cid.multihash] = nil }
        count -= 1
        budget.bytes -= cid.subscriptionBytes
    }

    /// Blocks have come: who waits for them, with the place of each one's block among them. They wait on.
    mutating func arrived(_ keys: [Multihash]) -> [(subscriber: Subscriber, index: Int)] {
        arrivals += 1
        guard !subscribers.isEmpty else { return [] }
        return keys.enumerated().flatMap { index, key in (subscribers[key] ?? []).map { ($0, index) } }
    }

    /// Blocks have come: who waited for them, with the place of each one's block among them.
    mutating func take(_ keys: [Multihash]) -> [(subscriber: Subscriber, index: Int)] {
        arrivals += 1
        guard !subscribers.isEmpty else { return [] }
        var taken: [(Subscriber, Int)] = []
        for (index, key) in keys.enumerated() {
            for subscriber in subscribers.removeValue(forKey: key) ?? [] {
                taken.append((subscriber, index))
                budget.bytes -= subscriber.cid.subscriptionBytes
            }
        }
        count -= taken.count
        shrink()
        return taken
    }

    /// Gives back the memory of what is gone, once it is most of it.
    private mutating func shrink() {
        guard subscribers.capacity > 4 * subscribers.count + 64 else { return }
        var smaller: [Multihash: [Subscriber]] = Dictionary(minimumCapacity: subscribers.count)
        for (key, waiting) in subscribers { smaller[key] = waiting }
        subscribers = smaller
    }
}
