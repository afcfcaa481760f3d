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

    /// Bytes of a presence in a message besides its CID.
    private static let presenceOverhead = 8

    /// The next message's worth of answers: presences of at most `budget` bytes, and blocks of about as many, at least one
    /// if there is any.
    mutating func next(budget: Int, version: BitswapVersion) -> Envelope {
        var envelope = Envelope()
        if version.hasPresences {
            takePresences(&envelope, budget)
        } else {
            answerByBlocksAlone()
        }
        takeBlocks(&envelope, budget)
        return envelope
    }

    private mutating func takePresences(_ envelope: inout Envelope, _ budget: Int) {
        var bytes = 0
        while bytes < budget, let place = haves.popFirst() {
            guard let item = item(at: place, in: .ready), !isAnsweredByBlock(place.slot) else { continue }
            table[place.slot].state = .answering
            envelope.haves.append(item)
            bytes += item.cid.byteCount + Self.presenceOverhead
        }
        while bytes < budget, let place = dontHaves.popFirst() {
            guard let item = item(at: place, in: .absent) ?? item(at: place, in: .denied) else { continue }
            envelope.dontHaves.append(item)
            bytes += item.cid.byteCount + Self.presenceOverhead
        }
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
        while let turn = blocks.max {
            let place = Place(slot: turn.slot, serial: turn.serial)
            guard turn == self.turn(turn.slot), let item = item(at: place, in: .ready) else {
                blocks.removeMax()
                continue
            }
            guard bytes == 0 || bytes + item.size <= budget else { break }
            blocks.removeMax()
            queuedBytes -= item.size
            bytes += item.size
            table[turn.slot].state = .answering
            table[turn.slot].type = .block
            envelope.blocks.append(item)
        }
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
