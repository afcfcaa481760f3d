import DequeModule
import HeapModule
import Multiformats

/// What one peer wants of us, and what it has been given: the server's side for one peer, as a pure state machine.
///
/// A want comes in (``apply(_:isFull:now:)``), its CID is looked up in the store by the caller
/// (``takeLookups(limit:)``, then ``resolve(_:sizes:now:room:)``), and it is answered (``next(budget:version:)``) or, when
/// we do not hold the block, kept as a subscription until the block comes (``available(_:size:now:)``) or its time is
/// over (``expire(now:)``). It leaves the ledger when its bytes were written (``sent(_:)``); when they never will be
/// (``lost(_:)``) it is in the queue again.
///
/// Wants and subscriptions have a budget each. When one is full, the want with the lowest priority goes, the latest first;
/// a want whose answer is under way never does.
struct Ledger {
    /// A want as its peer put it.
    struct Want: Hashable {
        var cid: CID
        var type: WantType
        var priority: Int32
        var sendDontHave: Bool
    }

    /// One want on its way through a look-up or a message.
    struct Item {
        let cid: CID
        var size = 0
        /// When the want came, or the block, whichever was later.
        let since: Duration
        let slot: Int32
        let serial: UInt64
    }

    /// A place in a queue. It is stale when the want has another serial number or is in another state by now.
    struct Place {
        var slot: Int32
        var serial: UInt64
    }

    /// A place among others by priority: the greatest goes first.
    struct Turn: Comparable {
        var priority: Int32
        var slot: Int32
        var serial: UInt64

        static func < (a: Turn, b: Turn) -> Bool {
            a.priority == b.priority ? a.serial > b.serial : a.priority < b.priority
        }
        static func == (a: Turn, b: Turn) -> Bool { a.serial == b.serial && a.priority == b.priority }
    }

    private enum Budget: Int {
        case wants, subscriptions

        func bytes(_ cid: CID) -> Int {
            switch self {
            case .wants: cid.wantBytes
            case .subscriptions: cid.subscriptionBytes
            }
        }

        func limit(isPerPeer: Bool) -> BitswapLimit {
            switch self {
            case .wants: isPerPeer ? .wantsPerPeer : .wantBytes
            case .subscriptions: isPerPeer ? .subscriptionsPerPeer : .subscriptionBytes
            }
        }
    }

    let limits: BitswapLimits
    var table = WantTable()
    /// Wants of each state in the order of their coming; only blocks are ordered by priority.
    private var lookups: Deque<Place> = []
    var blocks: Heap<Turn> = []
    var haves: Deque<Place> = []
    var dontHaves: Deque<Place> = []
    private var subscriptions: Deque<Place> = []
    /// The order of giving wants up, made when a budget is full and let go of when it is not.
    private var victims: [Heap<Turn>?] = [nil, nil]
    private var lastSerial: UInt64 = 0
    /// Bytes that the wants may count for now, for the sake of other peers.
    var room = Int.max
    private(set) var subscriptionCount = 0
    private(set) var subscriptionBytes = 0
    /// Bytes of blocks that wait for their turn.
    var queuedBytes = 0
    var sentBytes = 0
    var sentBlocks = 0
    private(set) var receivedBytes = 0
    private(set) var receivedBlocks = 0

    init(limits: BitswapLimits) { self.limits = limits }

    var wants: [Want] {
        table.slots.filter { $0.state != .none }.map {
            Want(cid: $0.cid, type: $0.type, priority: $0.priority, sendDontHave: $0.sendDontHave)
        }
    }
    var count: Int { table.count }
    /// Wants that are not subscriptions.
    var heldCount: Int { table.count - subscriptionCount }
    var heldBytes: Int { table.bytes - subscriptionBytes + subscriptionCount * CID.subscriptionOverhead }
    var hasWork: Bool { hasLookups || hasAnswers }
    var hasLookups: Bool { !lookups.isEmpty }
    var hasAnswers: Bool { !blocks.isEmpty || !haves.isEmpty || !dontHaves.isEmpty }

    /// Elements of all queues, stale ones included.
    var queueLength: Int {
        lookups.count + blocks.count + haves.count + dontHaves.count + subscriptions.count
            + victims.reduce(0) { $0 + ($1?.count ?? 0) }
    }

    /// What a change means for others than this peer.
    struct Changes {
        /// Wants that were dropped for want of room, by the limit that there is.
        var dropped: [BitswapLimit: Int] = [:]
        /// Subscriptions whose time is over.
        var expired = 0
        /// CIDs whose arrival this peer waits for from now on.
        var subscribed: [CID] = []
        /// CIDs whose arrival this peer no longer waits for.
        var unsubscribed: [CID] = []
    }

    /// Blocks came from this peer that we had asked it for.
    mutating func received(blocks: Int, bytes: Int) {
        receivedBlocks += blocks
        receivedBytes += bytes
    }

    // MARK: Wantlists

    /// Takes in a wantlist of the peer's.
    mutating func apply(_ entries: [Message.Entry], isFull: Bool, now: Duration) -> Changes {
        var changes = Changes()
        expire(now: now, &changes)
        if isFull { removeAll(but: entries, &changes) }
        for entry in entries {
            switch entry.kind {
            case .cancel:
                if let slot = table.slot(of: entry.cid) { remove(slot, &changes) }
            case .want(let type, let sendDontHave):
                let want = Want(cid: entry.cid, type: type, priority: entry.priority, sendDontHave: sendDontHave)
                if let slot = table.slot(of: want.cid) {
                    update(slot, want, now, &changes)
                } else {
                    let newcomer = WantTable.Entry(want, since: now)
                    if makeRoom(.wants, for: newcomer, &changes) { insert(newcomer) }
                }
            }
        }
        compact()
        return changes
    }

    /// What a full wantlist does not name is no longer wanted. What it does name goes on as it was: its answer may be
    /// under way.
    private mutating func removeAll(but entries: [Message.Entry], _ changes: inout Changes) {
        guard table.count > 0 else { return }
        var named: Set<Int32> = []
        for entry in entries where entry.kind != .cancel {
            if let slot = table.slot(of: entry.cid) { named.insert(slot) }
        }
        for (slot, entry) in table.slots.enumerated() where entry.state != .none && !named.contains(Int32(slot)) {
            remove(Int32(slot), &changes)
        }
    }

    private mutating func insert(_ newcomer: WantTable.Entry) {
        lastSerial += 1
        var newcomer = newcomer
        newcomer.serial = lastSerial
        let slot = table.insert(newcomer)
        lookups.append(Place(slot: slot, serial: lastSerial))
        enroll(slot, .wants)
    }

    /// The peer wants again what it wants already.
    private mutating func update(_ slot: Int32, _ want: Want, _ now: Duration, _ changes: inout Changes) {
        // A want of the block is never lessened to one of a HAVE.
        let isUpgrade = table[slot].type == .have && want.type == .block
        switch table[slot].state {
        case .none: return
        case .new, .lookingUp:
            set(slot, want, isUpgrade)
        case .ready:
            guard isUpgrade || want.priority != table[slot].priority else { return }
            set(slot, want, isUpgrade)
            if isUpgrade || isAnsweredByBlock(slot) {
                if isUpgrade, !isAnsweredByBlock(slot, as: .have) { queuedBytes += table[slot].size }
                blocks.insert(turn(slot))
            }
        case .answering:
            // The answer on its way will do, unless it is a HAVE and the block is wanted now.
            if isUpgrade { lookUpAgain(slot, want, now) }
        case .denied:
            lookUpAgain(slot, want, now)
        case .absent:
            var newcomer = table[slot]
            newcomer.priority = want.priority
            guard makeRoom(.wants, for: newcomer, &changes) else { return }
            unsubscribe(slot, &changes)
            lookUpAgain(slot, want, now)
        }
    }

    private mutating func set(_ slot: Int32, _ want: Want, _ isUpgrade: Bool) {
        if isUpgrade { table[slot].type = .block }
        table[slot].sendDontHave = want.sendDontHave
        guard table[slot].priority != want.priority else { return }
        table[slot].priority = want.priority
        enroll(slot, .wants)
    }

    private mutating func lookUpAgain(_ slot: Int32, _ want: Want, _ now: Duration) {
        renumber(slot)
        table[slot].state = .new
        table[slot].since = now
        table[slot].type = table[slot].type == .block ? .block : want.type
        table[slot].priority = want.priority
        table[slot].sendDontHave = want.sendDontHave
        lookups.append(Place(slot: slot, serial: lastSerial))
        enroll(slot, .wants)
    }

    private mutating func renumber(_ slot: Int32) {
        lastSerial += 1
        table[slot].serial = lastSerial
    }

    func turn(_ slot: Int32) -> Turn {
        Turn(priority: table[slot].priority, slot: slot, serial: table[slot].serial)
    }

    /// Whether a want that is ready is answered by the block itself, to a peer that knows HAVE.
    func isAnsweredByBlock(_ slot: Int32, as type: WantType? = nil) -> Bool {
        (type ?? table[slot].type) == .block || table[slot].size <= limits.haveReplacedByBlockBytes
    }

    mutating func remove(_ slot: Int32, _ changes: inout Changes) {
        switch table[slot].state {
        case .ready where isAnsweredByBlock(slot): queuedBytes -= table[slot].size
        case .absent: unsubscribe(slot, &changes)
        default: break
        }
        table.remove(slot)
    }

    private mutating func unsubscribe(_ slot: Int32, _ changes: inout Changes) {
        leaveSubscriptions(slot)
        changes.unsubscribed.append(table[slot].cid)
    }

    private mutating func leaveSubscriptions(_ slot: Int32) {
        subscriptionCount -= 1
        subscriptionBytes -= table[slot].cid.subscriptionBytes
    }

    /// Forgets all wants.
    mutating func clear() -> Changes {
        let changes = Changes(unsubscribed: table.slots.filter { $0.state == .absent }.map(\.cid))
        table.removeAll()
        lookups = []
        blocks = []
        haves = []
        dontHaves = []
        subscriptions = []
        victims = [nil, nil]
        subscriptionCount = 0
        subscriptionBytes = 0
        queuedBytes = 0
        return changes
    }

    // MARK: Budgets

    /// Makes room for one more in a budget, at the cost of what has a lower priority. Returns whether there is room; if not,
    /// the newcomer is dropped.
    ///
    /// `isCounted` is whether the newcomer counts in the budget already.
    private mutating func makeRoom(
        _ budget: Budget, for newcomer: WantTable.Entry, within room: Int? = nil, isCounted: Bool = false,
        _ changes: inout Changes
    ) -> Bool {
        var (count, bytes, limit) =
            switch budget {
            case .wants: (heldCount, heldBytes, limits.wantsPerPeer)
            case .subscriptions: (subscriptionCount, subscriptionBytes, limits.subscriptionsPerPeer)
            }
        if isCounted { count -= 1 } else { bytes += budget.bytes(newcomer.cid) }
        let isFull = count >= limit
        let room = room ?? self.room
        if !isFull, bytes <= room { return true }
        changes.dropped[budget.limit(isPerPeer: isFull), default: 0] += 1
        guard let victim = lowest(budget), table[victim].priority < newcomer.priority else { return false }
        let freed = budget.bytes(table[victim].cid)
        guard bytes - freed <= room || freed >= budget.bytes(newcomer.cid) else { return false }
        victims[budget.rawValue]?.removeMin()
        remove(victim, &changes)
        return true
    }

    /// Lines up a want with those that may be given up, if a budget is full.
    private mutating func enroll(_ slot: Int32, _ budget: Budget) {
        let turn = turn(slot)
        victims[budget.rawValue]?.insert(turn)
    }

    /// The want that is first to be given up.
    private mutating func lowest(_ budget: Budget) -> Int32? {
        func counts(_ entry: WantTable.Entry) -> Bool { entry.isEvictable && entry.isHeld == (budget == .wants) }
        var heap = victims[budget.rawValue].take() ?? Heap(turns(where: counts))
        defer { victims[budget.rawValue] = heap }
        while let turn = heap.min {
            if turn == self.turn(turn.slot), counts(table[turn.slot]) { return turn.slot }
            heap.removeMin()
        }
        return nil
    }

    private func turns(where isIncluded: (WantTable.Entry) -> Bool) -> [Turn] {
        table.slots.indices.compactMap { isIncluded(table.slots[$0]) ? turn(Int32($0)) : nil }
    }

    /// Drops what is stale: a peer that wants and cancels in a storm must not grow the queues past its wants, nor keep the
    /// memory of wants that are gone.
    mutating func compact() {
        let bound = 2 * table.count + 64
        if table.isSparse {
            let moved = table.shrink()
            func keep(_ slot: Int32) -> Int32? { moved[Int(slot)] < 0 ? nil : moved[Int(slot)] }
            func keep(_ place: Place) -> Place? { keep(place.slot).map { Place(slot: $0, serial: place.serial) } }
            lookups = Deque(lookups.compactMap(keep))
            haves = Deque(haves.compactMap(keep))
            dontHaves = Deque(dontHaves.compactMap(keep))
            subscriptions = Deque(subscriptions.compactMap(keep))
            blocks = Heap(
                blocks.unordered.compactMap { turn in
                    keep(turn.slot).map { Turn(priority: turn.priority, slot: $0, serial: turn.serial) }
                })
            victims = [nil, nil]
        }
        func isLive(_ place: Place, _ states: WantTable.State...) -> Bool {
            table[place.slot].serial == place.serial && states.contains(table[place.slot].state)
        }
        if lookups.count > bound { lookups = Deque(lookups.filter { isLive($0, .new) }) }
        if haves.count > bound { haves = Deque(haves.filter { isLive($0, .ready) }) }
        if dontHaves.count > bound { dontHaves = Deque(dontHaves.filter { isLive($0, .absent, .denied) }) }
        if subscriptions.count > bound { subscriptions = Deque(subscriptions.filter { isLive($0, .absent) }) }
        if blocks.count > bound {
            blocks = Heap(blocks.unordered.filter { table[$0.slot].state == .ready && turn($0.slot) == $0 })
        }
        for budget in victims.indices where (victims[budget]?.count ?? 0) > bound { victims[budget] = nil }
    }

    // MARK: Look-ups

    /// Wants whose block is to be looked up in the store, at most `limit`.
    mutating func takeLookups(limit: Int) -> [Item] {
        var taken: [Item] = []
        while taken.count < limit, let place = lookups.popFirst() {
            let entry = table[place.slot]
            guard entry.serial == place.serial, entry.state == .new else { continue }
            table[place.slot].state = .lookingUp
            taken.append(Item(cid: entry.cid, since: entry.since, slot: place.slot, serial: place.serial))
        }
        return taken
    }

    /// What the look-up found: for each want the size of its block in bytes, or nil when we do not hold it.
    ///
    /// `room` is how many bytes this peer's subscriptions may take now, for the sake of others; nil when no want is kept.
    mutating func resolve(_ items: [Item], sizes: [Int?], now: Duration, room: Int?) -> Changes {
        var changes = Changes()
        expire(now: now, &changes)
        for (item, size) in zip(items, sizes) {
            guard let slot = slot(of: item), table[slot].state == .lookingUp else { continue }
            if let size {
                makeReady(slot, size: size)
            } else {
                subscribe(slot, now, room: room, &changes)
            }
        }
        compact()
        return changes
    }

    /// Keeps the want of a block that we do not hold; if there is no room for that, its peer is only told so.
    private mutating func subscribe(_ slot: Int32, _ now: Duration, room: Int?, _ changes: inout Changes) {
        renumber(slot)
        if let room, makeRoom(.subscriptions, for: table[slot], within: room, &changes) {
            table[slot].state = .absent
            table[slot].since = now
            subscriptionCount += 1
            subscriptionBytes += table[slot].cid.subscriptionBytes
            changes.subscribed.append(table[slot].cid)
            subscriptions.append(Place(slot: slot, serial: lastSerial))
            enroll(slot, .subscriptions)
        } else {
            guard table[slot].sendDontHave else { return table.remove(slot) }
            table[slot].state = .denied
            enroll(slot, .wants)
        }
        if table[slot].sendDontHave { dontHaves.append(Place(slot: slot, serial: lastSerial)) }
    }

    /// The block has come into the store, and the subscription to it has ended. Returns whether there is an answer now.
    mutating func available(_ cid: CID, size: Int, now: Duration, _ changes: inout Changes) -> Bool {
        guard let slot = table.slot(of: cid), table[slot].state == .absent else { return false }
        leaveSubscriptions(slot)
        guard table[slot].since + limits.subscriptionLifetime > now else {
            changes.expired += 1
            table.remove(slot)
            return false
        }
        // It counts as a want from here on.
        table[slot].state = .answering
        guard makeRoom(.wants, for: table[slot], isCounted: true, &changes) else {
            table.remove(slot)
            return false
        }
        renumber(slot)
        table[slot].since = now
        makeReady(slot, size: size)
        return true
    }

    /// We hold the block, which has this size: the want waits for its turn.
    mutating func makeReady(_ slot: Int32, size: Int) {
        table[slot].size = size
        table[slot].state = .ready
        if isAnsweredByBlock(slot) {
            queuedBytes += size
            blocks.insert(turn(slot))
        } else {
            haves.append(Place(slot: slot, serial: table[slot].serial))
        }
        enroll(slot, .wants)
    }

    /// The block was gone when its bytes were to be read: its want is one for a block that we do not hold.
    mutating func vanished(_ item: Item, now: Duration, room: Int) -> Changes {
        var changes = Changes()
        guard let slot = slot(of: item), table[slot].state == .answering else { return changes }
        subscribe(slot, now, room: room, &changes)
        return changes
    }

    /// Ends the subscriptions whose time is over. They are not answered; a peer that asks again has a new one.
    mutating func expire(now: Duration) -> Changes {
        var changes = Changes()
        expire(now: now, &changes)
        return changes
    }

    private mutating func expire(now: Duration, _ changes: inout Changes) {
        while let place = subscriptions.first {
            let entry = table[place.slot]
            if entry.serial == place.serial, entry.state == .absent {
                guard entry.since + limits.subscriptionLifetime <= now else { return }
                changes.expired += 1
                remove(place.slot, &changes)
            }
            subscriptions.removeFirst()
        }
    }

    func slot(of item: Item) -> Int32? { table.slot(item.slot, item.cid, serial: item.serial) }
}
