import DequeModule
import Multiformats

/// What one peer is to be told of our wants, and what it has been told. Pure.
struct PeerWants {
    struct Outstanding {
        var cid: CID
        var type: WantType
        var since: Duration
    }

    private enum Pending {
        case want(CID, WantType)
        case cancel(CID)
    }

    /// What is still to be said of each key. The queues hold the order; an element that no longer agrees with this is stale.
    private var pending: [Multihash: Pending] = [:]
    private var cancelQueue: Deque<Multihash> = []
    private var blockQueue: Deque<Multihash> = []
    private var haveQueue: Deque<Multihash> = []
    /// Wants that the peer knows of.
    private var sent: [Multihash: Outstanding] = [:]
    /// Wants that ended a moment ago: their block may be on its way all the same, and is no offence.
    private var grace: Set<Multihash> = []
    private var graceOrder: Deque<Multihash> = []
    private var needsFull = true
    /// Whether the peer's version of the protocol has HAVE; nil until the way to it is open.
    private(set) var answersHave: Bool?

    static let graceCount = 1_024

    /// Wants that the peer has or will have to answer.
    var load: Int { sent.count + blockQueue.count }
    /// The peer sent something that nobody had asked it for.
    var hasOffended = false
    var hasPending: Bool { !pending.isEmpty }
    var keys: Set<Multihash> { Set(sent.keys).union(pending.keys) }
    var awaitsAnything: Bool { !sent.isEmpty || !grace.isEmpty }

    func outstanding(_ key: Multihash) -> Outstanding? { sent[key] }

    mutating func want(_ cid: CID, _ type: WantType) {
        let key = cid.multihash
        switch (type, pending[key], sent[key]?.type) {
        case (_, .want(_, .block), _), (_, _, .block?), (.have, .want, _), (.have, _, .have?): return
        default: break
        }
        pending[key] = .want(cid, type)
        if type == .block { blockQueue.append(key) } else { haveQueue.append(key) }
        compact()
    }

    /// Drops stale elements of the queues: what callers want and cancel while the peer's way is shut costs no memory.
    private mutating func compact() {
        let bound = 2 * pending.count + 64
        guard blockQueue.count + haveQueue.count + cancelQueue.count > bound else { return }
        var seen: Set<Multihash> = []
        func isLive(_ key: Multihash, _ wanted: WantType?) -> Bool {
            switch pending[key] {
            case .want(_, let type): type == wanted && seen.insert(key).inserted
            case .cancel: wanted == nil && seen.insert(key).inserted
            case nil: false
            }
        }
        cancelQueue = Deque(cancelQueue.filter { isLive($0, nil) })
        blockQueue = Deque(blockQueue.filter { isLive($0, .block) })
        haveQueue = Deque(haveQueue.filter { isLive($0, .have) })
    }

    /// Returns whether there is a cancel to send.
    mutating func cancel(_ key: Multihash) -> Bool {
        pending[key] = nil
        guard let outstanding = sent.removeValue(forKey: key) else { return false }
        pending[key] = .cancel(outstanding.cid)
        cancelQueue.append(key)
        compact()
        forgive(key)
        return true
    }

    /// A block came: whether it was asked for here, now or until a moment ago. The peer forgets the want by itself.
    mutating func settle(_ key: Multihash) -> Bool {
        guard sent.removeValue(forKey: key) != nil else { return grace.contains(key) }
        pending[key] = nil
        forgive(key)
        return true
    }

    private mutating func forgive(_ key: Multihash) {
        guard grace.insert(key).inserted else { return }
        graceOrder.append(key)
        if graceOrder.count > Self.graceCount { grace.remove(graceOrder.removeFirst()) }
    }

    /// Everything that the peer was told is to be told again, as a full wantlist. Returns whether that is anything.
    mutating func restart() -> Bool {
        needsFull = true
        answersHave = nil
        for (key, state) in pending { if case .cancel = state { pending[key] = nil } }
        let told = sent
        sent = [:]
        for outstanding in told.values { want(outstanding.cid, outstanding.type) }
        return hasPending
    }

    struct Taken {
        var entries: [Message.Entry] = []
        /// Keys of the wants among the entries.
        var asked: [Multihash] = []
        var isFull = false
    }

    /// The next entries to send: cancels first, they cost nothing and free the peer's work; then wants of blocks.
    mutating func take(limit: Int, outstanding: Int, version: BitswapVersion, now: Duration) -> Taken {
        var taken = Taken()
        answersHave = version.hasPresences
        while taken.entries.count < limit, let key = cancelQueue.popFirst() {
            guard case .cancel(let cid) = pending[key] else { continue }
            pending[key] = nil
            taken.entries.append(Message.Entry(cid: cid, kind: .cancel))
        }
        while taken.entries.count < limit, let key = blockQueue.first {
            guard case .want(let cid, .block) = pending[key] else {
                blockQueue.removeFirst()
                continue
            }
            // A want that was sent as a question for HAVE, and is for the block now, takes no second place.
            guard sent.count < outstanding || sent[key] != nil else { break }
            blockQueue.removeFirst()
            append(cid, .block, &taken, now)
        }
        while taken.entries.count < limit, sent.count < outstanding, let key = haveQueue.popFirst() {
            guard case .want(let cid, .have) = pending[key] else { continue }
            // A peer of an older version would take the question for a want of the block.
            if version.hasPresences { append(cid, .have, &taken, now) } else { pending[key] = nil }
        }
        taken.isFull = needsFull && !taken.entries.isEmpty
        if taken.isFull { needsFull = false }
        return taken
    }

    private mutating func append(_ cid: CID, _ type: WantType, _ taken: inout Taken, _ now: Duration) {
        pending[cid.multihash] = nil
        sent[cid.multihash] = Outstanding(cid: cid, type: type, since: now)
        taken.asked.append(cid.multihash)
        taken.entries.append(Message.Entry(cid: cid, kind: .want(type, sendDontHave: true)))
    }
}
