import Multiformats

/// The wants of one peer, each in a slot that does not change while the table does not shrink. Pure.
struct WantTable {
    enum State: UInt8 {
        /// The slot is free.
        case none
        /// Waits for its look-up.
        case new
        /// Is being looked up.
        case lookingUp
        /// Waits for its turn; the size of the block is known.
        case ready
        /// Answered in a message that is not written yet.
        case answering
        /// We do not hold the block; its coming is waited for.
        case absent
        /// We do not hold the block, and nothing is left to do but to say so.
        case denied
    }

    struct Entry {
        var cid: CID
        /// Bytes of the block, once it is known that we hold it.
        var size = 0
        /// When the want came; for one that was absent, when the block came, or until then when it was subscribed.
        var since: Duration
        /// Distinguishes this want from an earlier one in the same slot or for the same CID, whose answer may still be
        /// under way.
        var serial: UInt64
        var priority: Int32
        var type: WantType
        var sendDontHave: Bool
        var state: State

        /// Counts in the budget of wants, not of subscriptions.
        var isHeld: Bool { state != .absent && state != .none }
        /// A want whose look-up or answer is under way is not given up for another.
        var isEvictable: Bool { isHeld ? state == .new || state == .ready || state == .denied : state == .absent }
    }

    private(set) var slots: [Entry] = []
    /// Bytes that the wants count for in their budget.
    private(set) var bytes = 0
    private var index: [CID: Int32] = [:]
    private var free: [Int32] = []

    var count: Int { index.count }

    subscript(slot: Int32) -> Entry {
        get { slots[Int(slot)] }
        _modify { yield &slots[Int(slot)] }
    }

    func slot(of cid: CID) -> Int32? { index[cid] }

    /// The slot of a want that had this serial number when it was in `slot`; nil when it is gone.
    func slot(_ slot: Int32, _ cid: CID, serial: UInt64) -> Int32? {
        if Int(slot) < slots.count, slots[Int(slot)].serial == serial {
            return slots[Int(slot)].state == .none ? nil : slot
        }
        guard let moved = index[cid], slots[Int(moved)].serial == serial else { return nil }
        return moved
    }

    mutating func insert(_ entry: Entry) -> Int32 {
        let slot: Int32
        if let last = free.popLast() {
            slot = last
            slots[Int(slot)] = entry
        } else {
            slot = Int32(slots.count)
            slots.append(entry)
        }
        index[entry.cid] = slot
        bytes += entry.cid.wantBytes
        return slot
    }

    mutating func remove(_ slot: Int32) {
        index[slots[Int(slot)].cid] = nil
        bytes -= slots[Int(slot)].cid.wantBytes
        slots[Int(slot)].state = .none
        free.append(slot)
    }

    mutating func removeAll() { self = WantTable() }

    /// Whether most of the memory stands empty, so that ``shrink()`` is worth its work.
    var isSparse: Bool { slots.count > 64 && count < slots.count / 2 }

    /// Gives back the memory of free slots. Returns the new slot of each old one, -1 for those that were free.
    mutating func shrink() -> [Int32] {
        var moved = [Int32](repeating: -1, count: slots.count)
        var live: [Entry] = []
        live.reserveCapacity(count)
        for (slot, entry) in slots.enumerated() where entry.state != .none {
            moved[slot] = Int32(live.count)
            live.append(entry)
        }
        slots = live
        free = []
        index = Dictionary(minimumCapacity: live.count)
        for (slot, entry) in live.enumerated() { index[entry.cid] = Int32(slot) }
        return moved
    }
}

extension WantTable.Entry {
    init(_ want: Ledger.Want, since: Duration) {
        self.init(
            cid: want.cid, since: since, serial: 0, priority: want.priority, type: want.type,
            sendDontHave: want.sendDontHave, state: .new)
    }
}

extension CID {
    /// Bytes of memory that a want of this takes at the most: in the table, in its index and in the queues.
    var wantBytes: Int { 512 + (multihash.digestLength > 32 ? multihash.digestLength + 32 : 0) }
    /// The same of a subscription, with its place among those of all peers.
    var subscriptionBytes: Int { wantBytes + Self.subscriptionOverhead }
    static let subscriptionOverhead = 256
}
