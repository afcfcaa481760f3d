import DequeModule
import HeapModule
import Multiformats

/// What one peer wants of us, and what it has been given: the server's side for one peer, as a pure state machine.
///
/// A want comes in (``apply(_:)``), its CID is looked up in the store by the caller (``takeLookups(limit:)``, then
/// ``resolve(_:)``), and it is answered (``next(budget:)``) or, when we do not hold the block, kept until it arrives
/// (``available(_:size:)``). It leaves the ledger when its bytes were written (``sent(_:)``); when they never will be
/// (``lost(_:)``) it is in the queue again.
struct Ledger {
    struct Want: Hashable {
        var cid: CID
        var type: WantType
        var priority: Int32
        var sendDontHave: Bool
    }

    private enum State: Hashable {
        /// Waits for its look-up.
        case new
        /// Waits for its turn; the block has this size.
        case ready(size: Int)
        /// Answered in a message that is not written yet.
        case answering
        /// We do not hold the block. Its peer was told so, if it asked for that.
        case absent(told: Bool)
    }

    private struct Entry {
        var want: Want
        var state: State
        /// Distinguishes this want from an earlier one for the same CID, whose answer may still be under way.
        var serial: UInt64
    }

    private struct Turn: Comparable {
        var priority: Int32
        var serial: UInt64
        var cid: CID

        static func < (a: Turn, b: Turn) -> Bool { (a.priority, b.serial) < (b.priority, a.serial) }
        static func == (a: Turn, b: Turn) -> Bool { a.serial == b.serial }
    }

    /// What one response message says.
    struct Envelope {
        struct Item {
            var cid: CID
            var size: Int
            fileprivate var serial: UInt64
        }
        var blocks: [Item] = []
        var haves: [Item] = []
        var dontHaves: [Item] = []
        var isEmpty: Bool { blocks.isEmpty && haves.isEmpty && dontHaves.isEmpty }
        fileprivate var items: [Item] { blocks + haves + dontHaves }
    }

    private var entries: [CID: Entry] = [:]
    private var lookups: Deque<CID> = []
    private var turns: Heap<Turn> = []
    private var denials: Deque<Turn> = []
    private var lastSerial: UInt64 = 0
    /// Bytes of blocks that wait for their turn.
    private(set) var queuedBytes = 0
    private(set) var sentBytes = 0
    private(set) var sentBlocks = 0
    private let limits: BitswapLimits

    init(limits: BitswapLimits) { self.limits = limits }

    var wants: [Want] { entries.values.map(\.want) }
    var count: Int { entries.count }
    var hasWork: Bool { !lookups.isEmpty || !turns.isEmpty || !denials.isEmpty }

    /// Elements of all queues, stale ones included.
    var queueLength: Int { lookups.count + turns.count + denials.count }

    struct Changes {
        /// CIDs that were dropped because the ledger is full.
        var overflow = 0
        /// CIDs whose arrival this peer no longer waits for.
        var unsubscribed: [CID] = []
    }

    /// Takes in a wantlist of the peer's.
    mutating func apply(_ entries: [Message.Entry], isFull: Bool) -> Changes {
        var changes = Changes()
        if isFull {
            changes.unsubscribed = Array(self.entries.keys)
            clear()
        }
        for entry in entries {
            switch entry.kind {
            case .cancel:
                if remove(entry.cid) { changes.unsubscribed.append(entry.cid) }
            case .want(let type, let sendDontHave):
                let want = Want(cid: entry.cid, type: type, priority: entry.priority, sendDontHave: sendDontHave)
                if !add(want) { changes.overflow += 1 }
            }
        }
        compact()
        return changes
    }

    /// Drops stale turns: a peer that wants and cancels in a storm must not grow the queues past its wants.
    private mutating func compact() {
        let bound = 2 * entries.count + 64
        if turns.count > bound { turns = Heap(turns.unordered.filter { entries[$0.cid]?.serial == $0.serial }) }
        if denials.count > bound { denials = Deque(denials.filter { entries[$0.cid]?.serial == $0.serial }) }
        if lookups.count > bound { lookups = Deque(entries.values.lazy.filter { $0.state == .new }.map(\.want.cid)) }
    }

    private mutating func add(_ want: Want) -> Bool {
        if let known = entries[want.cid] {
            // The answer is being written already: it will do, unless it is a HAVE and the block is wanted now.
            let isUpgrade = known.want.type == .have && want.type == .block
            if known.state == .answering || known.state == .new, !isUpgrade { return true }
            _ = remove(want.cid)
        } else if entries.count >= limits.wantsPerPeer {
            return false
        }
        lastSerial += 1
        entries[want.cid] = Entry(want: want, state: .new, serial: lastSerial)
        lookups.append(want.cid)
        return true
    }

    private mutating func remove(_ cid: CID) -> Bool {
        guard let entry = entries.removeValue(forKey: cid) else { return false }
        if case .ready(let size) = entry.state { queuedBytes -= size }
        return true
    }

    mutating func clear() {
        entries = [:]
        lookups = []
        turns = []
        denials = []
        queuedBytes = 0
    }

    // MARK: Look-ups

    /// CIDs whose size in the store is to be found out, at most `limit`.
    mutating func takeLookups(limit: Int) -> [CID] {
        var taken: [CID] = []
        while taken.count < limit, let cid = lookups.popFirst() {
            if entries[cid]?.state == .new { taken.append(cid) }
        }
        return taken
    }

    /// What the look-up found: the size in bytes, or nil when we do not hold the block.
    ///
    /// Returns the CIDs that this peer waits for from now on.
    mutating func resolve(_ found: [(cid: CID, size: Int?)]) -> [CID] {
        var absent: [CID] = []
        for (cid, size) in found {
            guard let entry = entries[cid], entry.state == .new else { continue }
            if let size {
                makeReady(cid, size: size)
            } else {
                entries[cid]?.state = .absent(told: false)
                if entry.want.sendDontHave {
                    denials.append(Turn(priority: entry.want.priority, serial: entry.serial, cid: cid))
                }
                absent.append(cid)
            }
        }
        return absent
    }

    /// The block has come into the store. Returns whether this peer waits for it.
    mutating func available(_ cid: CID, size: Int) -> Bool {
        switch entries[cid]?.state {
        case .absent, .new:
            makeReady(cid, size: size)
            return true
        default:
            return false
        }
    }

    private mutating func makeReady(_ cid: CID, size: Int) {
        guard let entry = entries[cid] else { return }
        entries[cid]?.state = .ready(size: size)
        queuedBytes += size
        turns.insert(Turn(priority: entry.want.priority, serial: entry.serial, cid: cid))
    }

    // MARK: Answers

    /// The next message's worth of answers: blocks of about `budget` bytes, at least one if there is any.
    mutating func next(budget: Int, version: BitswapVersion) -> Envelope {
        var envelope = Envelope()
        var bytes = 0
        while let turn = turns.max {
            guard let entry = entries[turn.cid], entry.serial == turn.serial, case .ready(let size) = entry.state else {
                turns.removeMax()
                continue
            }
            let asBlock =
                entry.want.type == .block || size <= limits.haveReplacedByBlockBytes || !version.hasPresences
            if asBlock, bytes > 0, bytes + size > budget { break }
            turns.removeMax()
            queuedBytes -= size
            entries[turn.cid]?.state = .answering
            let item = Envelope.Item(cid: turn.cid, size: size, serial: entry.serial)
            if asBlock {
                envelope.blocks.append(item)
                bytes += size
            } else {
                envelope.haves.append(item)
            }
        }
        while let turn = denials.popFirst() {
            guard let entry = entries[turn.cid], entry.serial == turn.serial, entry.state == .absent(told: false) else {
                continue
            }
            entries[turn.cid]?.state = .absent(told: true)
            if version.hasPresences {
                envelope.dontHaves.append(Envelope.Item(cid: turn.cid, size: 0, serial: turn.serial))
            }
        }
        return envelope
    }

    /// Whether the want is still open: a cancel is honoured until its bytes are written.
    func isOpen(_ item: Envelope.Item) -> Bool { entries[item.cid]?.serial == item.serial }

    /// The block was gone when its bytes were to be read: its want is one for a block that we do not hold.
    ///
    /// Returns whether this peer waits for it.
    mutating func vanished(_ item: Envelope.Item) -> Bool {
        guard let entry = entries[item.cid], entry.serial == item.serial else { return false }
        entries[item.cid]?.state = .absent(told: false)
        if entry.want.sendDontHave {
            denials.append(Turn(priority: entry.want.priority, serial: entry.serial, cid: item.cid))
        }
        return true
    }

    /// The message was written: its wants are done.
    mutating func sent(_ envelope: Envelope) {
        for item in envelope.blocks {
            sentBytes += item.size
            sentBlocks += 1
        }
        for item in envelope.blocks + envelope.haves where isOpen(item) { entries[item.cid] = nil }
    }

    /// The message never arrived: what it said is to be said again.
    mutating func lost(_ envelope: Envelope) {
        for item in envelope.blocks + envelope.haves where isOpen(item) { makeReady(item.cid, size: item.size) }
        for item in envelope.dontHaves {
            guard let entry = entries[item.cid], entry.serial == item.serial, entry.state == .absent(told: true) else {
                continue
            }
            entries[item.cid]?.state = .absent(told: false)
            denials.append(Turn(priority: entry.want.priority, serial: entry.serial, cid: item.cid))
        }
    }
}
