import Multiformats
import PeerIdentity

/// Who waits for blocks that we do not hold, across all peers. Each peer's ledger bounds how many it can have here.
struct Subscriptions {
    struct Subscriber: Hashable {
        var peer: PeerID
        /// The CID as that peer wrote it: its answer must carry the same.
        var cid: CID
    }

    private var subscribers: [Multihash: Set<Subscriber>] = [:]

    var count: Int { subscribers.values.reduce(0) { $0 + $1.count } }

    func contains(_ key: Multihash) -> Bool { subscribers[key] != nil }

    mutating func add(_ cids: [CID], of peer: PeerID) {
        for cid in cids { subscribers[cid.multihash, default: []].insert(Subscriber(peer: peer, cid: cid)) }
    }

    mutating func remove(_ cids: [CID], of peer: PeerID) {
        for cid in cids {
            subscribers[cid.multihash]?.remove(Subscriber(peer: peer, cid: cid))
            if subscribers[cid.multihash]?.isEmpty == true { subscribers[cid.multihash] = nil }
        }
    }

    mutating func removeAll(of peer: PeerID) {
        subscribers = subscribers.compactMapValues { waiting in
            let left = waiting.filter { $0.peer != peer }
            return left.isEmpty ? nil : left
        }
    }

    mutating func take(_ key: Multihash) -> Set<Subscriber> { subscribers.removeValue(forKey: key) ?? [] }
}
