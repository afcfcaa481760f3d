import DequeModule
import Multiformats

/// What one peer is to be told of our wants, and what it has been told. Pure.
///
/// A peer forgets a WANT-BLOCK when it sends the block, and a WANT-HAVE when it says HAVE. What it has said DONT_HAVE to it
/// keeps, to answer when the block comes; such a WANT-BLOCK is turned into a WANT-HAVE, lest the block be sent when it
/// was got elsewhere.
struct PeerWants {
    private struct Told {
        var cid: CID
        var type: WantType
        var since: Duration
        var serial: UInt64
        /// The peer has said DONT_HAVE.
        var isDenied = false
        /// It was told the same before, so that its answer says nothing of the round trip.
        var isRepeated = false
    }

    private enum Pending {
        /// A quiet want asks for no DONT_HAVE: the peer has said it already.
        case want(CID, WantType, isQuiet: Bool)
        /// `isOwed`: the block may be on its way, so that it takes a cancel by name. `thenAsk`: a quiet question follows.
        case cancel(CID, isOwed: Bool, thenAsk: Bool)
    }

    /// What is still to be said of each key. The queues hold the order; an element that no longer agrees with this is stale.
    private var pending: [Multihash: Pending] = [:]
    private var cancelQueue: Deque<Multihash> = []
    private var blockQueue: Deque<Multihash> = []
    private var haveQueue: Deque<Multihash> = []
    /// Wants that the peer knows of.
    private var told: [Multihash: Told] = [:]
    private var lastSerial: UInt64 = 0
    private var deniedOrder: Deque<Multihash> = []
    /// Wants that ended a moment ago: their block may be on its way all the same, and is no offence.
    private var grace: Set<Multihash> = []
    private var graceOrder: Deque<Multihash> = []
    private var needsFull = true
    /// Whether the peer's version of the protocol has HAVE; nil until the way to it is open.
    private(set) var answersHave: Bool?

    static let graceCount = 4_096
    /// Below so many cancels a full wantlist is not thought of.
    private static let fewCancels = 16

    var hasPending: Bool { !pending.isEmpty }
    var awaitsAnything: Bool { !told.isEmpty || !grace.isEmpty }

    mutating func want(_ cid: CID, _ type: WantType) {
        let key = cid.multihash
        switch (type, pending[key], told[key]?.type) {
        case (_, .want(_, .block, _), _), (.have, .want, _): return
        case (.block, nil, .block?), (.have, nil, _?): return
        default: break
        }
        enqueue(cid, type, isQuiet: false)
    }

    private mutating func enqueue(_ cid: CID, _ type: WantType, isQuiet: Bool) {
        pending[cid.multihash] = .want(cid, type, isQuiet: isQuiet)
        if type == .block { blockQueue.append(cid.multihash) } else { haveQueue.append(cid.multihash) }
        compact()
    }

    /// Drops stale elements of the queues: what callers want and cancel while the peer's way is shut costs no memory.
    private mutating func compact() {
        let bound = 2 * pending.count + 64
        if deniedOrder.count > 2 * told.count + 64 {
            var seen: Set<Multihash> = []
            deniedOrder = Deque(deniedOrder.filter { told[$0]?.isDenied == true && seen.insert($0).inserted })
        }
        guard blockQueue.count + haveQueue.count + cancelQueue.count > bound else { return }
        var seen: Set<Multihash> = []
        func isLive(_ key: Multihash, _ wanted: WantType?) -> Bool {
            switch pending[key] {
            case .want(_, let type, _): type == wanted && seen.insert(key).inserted
            case .cancel: wanted == nil && seen.insert(key).inserted
            case nil: false
            }
        }
        cancelQueue = Deque(cancelQueue.filter { isLive($0, nil) })
        blockQueue = Deque(blockQueue.filter { isLive($0, .block) })
        haveQueue = Deque(haveQueue.filter { isLive($0, .have) })
    }

    /// Returns whether there is a cancel to send.
    @discardableResult
    mutating func cancel(_ key: Multihash) -> Bool {
        if case .cancel(let cid, let isOwed, _) = pending[key] {
            pending[key] = .cancel(cid, isOwed: isOwed, thenAsk: false)
            return true
        }
        pending[key] = nil
        guard let known = told.removeValue(forKey: key) else { return false }
        take(back: known, isOwed: known.type == .block && !known.isDenied, thenAsk: false)
        return true
    }

    private mutating func take(back known: Told, isOwed: Bool, thenAsk: Bool) {
        let key = known.cid.multihash
        pending[key] = .cancel(known.cid, isOwed: isOwed, thenAsk: thenAsk)
        cancelQueue.append(key)
        compact()
        forgive(key)
    }

    /// The want of the block is not to be sent any more; returns false when it was already.
    mutating func retract(_ key: Multihash) -> Bool {
        guard case .want(let cid, .block, _) = pending[key], told[key]?.type != .block else { return false }
        pending[key] = nil
        if told[key] == nil { enqueue(cid, .have, isQuiet: false) }
        return true
    }

    /// The peer is to be told once more of a want that it may have forgotten.
    mutating func remind(_ key: Multihash) {
        guard let known = told[key], pending[key] == nil else { return }
        told[key]?.isRepeated = true
        enqueue(known.cid, known.type, isQuiet: false)
    }

    /// A want that the peer has denied is to be known to it again, if others have taken its place.
    mutating func restore(_ cid: CID) {
        guard told[cid.multihash] == nil, pending[cid.multihash] == nil else { return }
        enqueue(cid, .have, isQuiet: true)
    }

    // MARK: Answers

    /// A block came: whether it was asked for here, now or until a moment ago. The peer forgets the want by itself, and is
    /// not asked for the block again.
    mutating func settle(_ key: Multihash) -> Bool {
        guard told.removeValue(forKey: key) != nil else {
            guard grace.contains(key) else { return false }
            switch pending[key] {
            case .want: pending[key] = nil
            case .cancel(let cid, let isOwed, _): pending[key] = .cancel(cid, isOwed: isOwed, thenAsk: false)
            case nil: break
            }
            return true
        }
        pending[key] = nil
        forgive(key)
        return true
    }

    /// An answer that says something about the round trip says since when it was due.
    struct Answer {
        var askedAt: Duration?
    }

    /// The peer said HAVE or DONT_HAVE. Nil: to no question of ours.
    mutating func answered(_ key: Multihash, has: Bool) -> Answer? {
        guard let known = told[key] else { return nil }
        let answer = Answer(askedAt: known.isDenied || known.isRepeated ? nil : known.since)
        if has {
            if known.type == .have { told[key] = nil }
        } else {
            if known.type == .block, pending[key] == nil {
                // Else it would send the block as soon as it has it, whoever has given it to us by then. A want of the
                // block is never lessened to a question; so it is taken back, and the question follows.
                told[key] = nil
                take(back: known, isOwed: false, thenAsk: true)
                return answer
            }
            if !known.isDenied { deniedOrder.append(key) }
            told[key]?.isDenied = true
        }
        return answer
    }

    private mutating func forgive(_ key: Multihash) {
        guard grace.insert(key).inserted else { return }
        graceOrder.append(key)
        if graceOrder.count > Self.graceCount { grace.remove(graceOrder.removeFirst()) }
    }

    // MARK: What is sent

    /// Nothing more is to be said to the peer for now, and it may have forgotten all it was told; but what it was asked for
    /// may still come.
    mutating func forget() {
        var fresh = PeerWants()
        (fresh.grace, fresh.graceOrder) = (grace, graceOrder)
        for want in told.values.sorted(by: { $0.serial < $1.serial }) { fresh.forgive(want.cid.multihash) }
        self = fresh
    }

    /// Everything that the peer was told is to be told again, as a full wantlist, though what it was asked for may still come.
    /// Returns whether that is anything.
    mutating func restart() -> Bool {
        needsFull = true
        answersHave = nil
        var asked: [CID] = []
        for key in cancelQueue {
            guard case .cancel(let cid, _, let thenAsk) = pending[key] else { continue }
            pending[key] = nil
            if thenAsk { asked.append(cid) }
        }
        let known = told.values.sorted { $0.serial < $1.serial }
        told = [:]
        deniedOrder = []
        for want in known {
            forgive(want.cid.multihash)
            self.want(want.cid, want.isDenied ? .have : want.type)
        }
        for cid in asked { want(cid, .have) }
        return hasPending
    }

    struct Taken {
        var entries: [Message.Entry] = []
        /// Keys of the wants among the entries.
        var asked: [(key: Multihash, type: WantType)] = []
        var isFull = false
        /// A want stays where it is because the peer knows of as many as it may.
        var keepsWantsBack = false
        var isEmpty: Bool { entries.isEmpty && !isFull }
    }

    /// The next entries to send: cancels first, they cost nothing and free the peer's work; then wants of blocks.
    ///
    /// At most `outstanding` wants are known to the peer at a time, of which those for blocks may take all, and questions
    /// three quarters.
    mutating func take(limit: Int, outstanding: Int, version: BitswapVersion, now: Duration) -> Taken {
        var taken = Taken()
        var lessened: [CID] = []
        answersHave = version.hasPresences
        let questions = outstanding * 3 / 4
        makeRoom(for: questions)
        if forgetsByFullList(limit: limit) {
            taken.isFull = true
            for want in told.values.sorted(by: { $0.serial < $1.serial }) {
                taken.entries.append(
                    Message.Entry(cid: want.cid, kind: .want(want.type, sendDontHave: !want.isDenied)))
            }
        }
        while taken.entries.count < limit, let key = cancelQueue.popFirst() {
            guard case .cancel(let cid, _, let thenAsk) = pending[key] else { continue }
            pending[key] = nil
            taken.entries.append(Message.Entry(cid: cid, kind: .cancel))
            if thenAsk { lessened.append(cid) }
        }
        while taken.entries.count < limit, let key = blockQueue.first {
            guard case .want(let cid, .block, let isQuiet) = pending[key] else {
                blockQueue.removeFirst()
                continue
            }
            // A want that was sent as a question for HAVE, and is for the block now, takes no second place.
            guard told.count < outstanding || told[key] != nil else {
                taken.keepsWantsBack = true
                break
            }
            blockQueue.removeFirst()
            append(cid, .block, isQuiet: isQuiet, &taken, now)
        }
        while taken.entries.count < limit, let key = haveQueue.first {
            guard case .want(let cid, .have, let isQuiet) = pending[key] else {
                haveQueue.removeFirst()
                continue
            }
            guard told.count < questions || told[key] != nil else {
                taken.keepsWantsBack = true
                break
            }
            haveQueue.removeFirst()
            // A peer of an older version would take the question for a want of the block.
            if version.hasPresences {
                append(cid, .have, isQuiet: isQuiet, &taken, now)
            } else {
                pending[key] = nil
            }
        }
        if needsFull, !taken.entries.isEmpty { taken.isFull = true }
        if taken.isFull { needsFull = false }
        // In a message of their own: what a message both cancels and wants is not well defined.
        for cid in lessened { enqueue(cid, .have, isQuiet: true) }
        return taken
    }

    /// Lets go of the oldest wants that the peer has denied, where new questions need their place.
    private mutating func makeRoom(for questions: Int) {
        var excess = told.count + haveQueue.count - questions
        while excess > 0, !haveQueue.isEmpty, let key = deniedOrder.popFirst() {
            guard told[key]?.isDenied == true else { continue }
            cancel(key)
            excess -= 1
        }
    }

    /// Whether the cancels are left out because a full wantlist says the same in fewer words; they are forgotten then.
    ///
    /// Not while blocks may be on their way: a peer that starts its list anew may send them again.
    private mutating func forgetsByFullList(limit: Int) -> Bool {
        guard cancelQueue.count >= Self.fewCancels, told.count < min(limit, cancelQueue.count) else { return false }
        let cancels = cancelQueue.filter { key in
            if case .cancel = pending[key] { return true }
            return false
        }
        guard cancels.count >= Self.fewCancels, told.count < cancels.count,
            told.values.allSatisfy({ $0.type == .have }),
            cancels.allSatisfy({ key in
                if case .cancel(_, let isOwed, let thenAsk) = pending[key] { return !isOwed && !thenAsk }
                return false
            })
        else { return false }
        for key in cancels { pending[key] = nil }
        cancelQueue = []
        return true
    }

    private mutating func append(
        _ cid: CID, _ type: WantType, isQuiet: Bool, _ taken: inout Taken, _ now: Duration
    ) {
        let key = cid.multihash
        lastSerial += 1
        let known = told[key]
        pending[key] = nil
        told[key] = Told(
            cid: cid, type: type, since: now, serial: lastSerial, isDenied: isQuiet,
            isRepeated: known != nil)
        if isQuiet { deniedOrder.append(key) }
        taken.asked.append((key, type))
        taken.entries.append(Message.Entry(cid: cid, kind: .want(type, sendDontHave: !isQuiet)))
    }
}
