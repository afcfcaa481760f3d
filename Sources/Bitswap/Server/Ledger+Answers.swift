import DequeModule
import HeapModule
import Multiformats

/// What is answered when: presences at once, they are small; blocks by their priority.
extension Ledger {
    /// What one response message says.
    struct Envelope {
        var blocks: [Item] = []
        var haves: [Item] = []
        var dontHaves: [Item] = []
        var isEmpty: Bool { blocks.isEmpty && haves.isEmpty && dontHaves.isEmpty }
        /// Bytes of its blocks.
        var blockBytes: Int { blocks.reduce(0) { $0 + $1.size } }
    }

    /// What a message takes besides what it says.
    private static let messageOverhead = 32
    /// What a block takes in a message besides its bytes, its prefix included; it is less.
    private static let blockOverhead = 64
    /// What a presence takes in a message besides its CID.
    private static let presenceOverhead = 8
    /// What a presence takes with an ordinary CID.
    private static let presenceBytes = 64

    /// What there is to be sent now, in bytes of messages: not less than it will take, but for presences with long CIDs.
    mutating func demand() -> Scheduler.Demand {
        let presences = (haves.count + dontHaves.count) * Self.presenceBytes
        let first = nextBlock().map { table[$0.slot].size + Self.blockOverhead } ?? 0
        guard presences + first > 0 else { return Scheduler.Demand() }
        let all = queuedBytes + blocks.count * Self.blockOverhead
        return Scheduler.Demand(
            least: Self.messageOverhead + first + min(presences, 16 << 10),
            most: Self.messageOverhead + max(first, all) + presences)
    }

    /// The next message's worth of answers: presences, and blocks of which the first is sure to have its place, unless
    /// a presence with a long CID took it. It is empty
    /// when the first block does not fit: the budget was meant for another.
    mutating func next(budget: Int, version: BitswapVersion) -> Envelope {
        var envelope = Envelope()
        var budget = budget - Self.messageOverhead
        if version.hasPresences {
            let first = nextBlock().map { table[$0.slot].size + Self.blockOverhead } ?? 0
            budget -= takePresences(&envelope, budget - first)
        } else {
            answerByBlocksAlone()
        }
        takeBlocks(&envelope, budget)
        return envelope
    }

    /// Takes what fits, and one in any case: a CID may be longer than presences are counted with, and has to go all the same.
    private mutating func takePresences(_ envelope: inout Envelope, _ budget: Int) -> Int {
        var bytes = 0
        while let place = haves.first {
            if let item = item(at: place, in: .ready), !isAnsweredByBlock(place.slot) {
                bytes += item.cid.byteCount + Self.presenceOverhead
                guard bytes <= budget || envelope.isEmpty else {
                    return bytes - item.cid.byteCount - Self.presenceOverhead
                }
                table[place.slot].state = .answering
                envelope.haves.append(item)
            }
            haves.removeFirst()
        }
        while let place = dontHaves.first {
            if let item = item(at: place, in: .absent) ?? item(at: place, in: .denied) {
                bytes += item.cid.byteCount + Self.presenceOverhead
                guard bytes <= budget || envelope.isEmpty else {
                    return bytes - item.cid.byteCount - Self.presenceOverhead
                }
                envelope.dontHaves.append(item)
            }
            dontHaves.removeFirst()
        }
        return bytes
    }

    /// A peer of an older version knows no presences: it gets the block, or nothing.
    private mutating func answerByBlocksAlone() {
        while let place = haves.popFirst() {
            guard item(at: place, in: .ready) != nil, !isAnsweredByBlock(place.slot) else { continue }
            table[place.slot].type = .block
            queuedBytes += table[place.slot].size
            blocks.insert(turn(place.slot))
        }
        while let place = dontHaves.popFirst() {
            if item(at: place, in: .denied) != nil { table.remove(place.slot) }
        }
    }

    private mutating func takeBlocks(_ envelope: inout Envelope, _ budget: Int) {
        var bytes = 0
        while let turn = nextBlock(), let item = item(at: Place(slot: turn.slot, serial: turn.serial), in: .ready) {
            bytes += item.size + Self.blockOverhead
            guard bytes <= budget else { return }
            blocks.removeMax()
            queuedBytes -= item.size
            table[turn.slot].state = .answering
            table[turn.slot].type = .block
            envelope.blocks.append(item)
        }
    }

    /// The block whose turn it is.
    private mutating func nextBlock() -> Turn? {
        while let turn = blocks.max {
            if turn == self.turn(turn.slot), table[turn.slot].state == .ready { return turn }
            blocks.removeMax()
        }
        return nil
    }

    private func item(at place: Place, in state: WantTable.State) -> Item? {
        let entry = table[place.slot]
        guard entry.serial == place.serial, entry.state == state else { return nil }
        return Item(cid: entry.cid, size: entry.size, since: entry.since, slot: place.slot, serial: place.serial)
    }

    /// Whether the want is still open: a cancel is honoured until its bytes are written.
    func isOpen(_ item: Item) -> Bool { slot(of: item) != nil }

    /// The message was written: its wants are done.
    mutating func sent(_ envelope: Envelope) {
        sentBytes += envelope.blockBytes
        sentBlocks += envelope.blocks.count
        for item in envelope.blocks { finish(item, .answering) }
        for item in envelope.haves { finish(item, .answering) }
        for item in envelope.dontHaves { finish(item, .denied) }
        compact()
    }

    private mutating func finish(_ item: Item, _ state: WantTable.State) {
        if let slot = slot(of: item), table[slot].state == state { table.remove(slot) }
    }

    /// The message never arrived: what it said is to be said again.
    mutating func lost(_ envelope: Envelope) {
        for item in envelope.blocks + envelope.haves {
            guard let slot = slot(of: item), table[slot].state == .answering else { continue }
            makeReady(slot, size: item.size)
        }
        for item in envelope.dontHaves {
            guard let slot = slot(of: item) else { continue }
            dontHaves.append(Place(slot: slot, serial: item.serial))
        }
    }
}
