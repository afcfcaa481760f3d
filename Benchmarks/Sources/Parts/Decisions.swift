@testable import Bitswap
import Blockstore
import Libp2p
import Multiformats
import NIOCore
@testable import PeerIdentity

/// What to ask of whom, and what to answer to whom: 10,000 wants, and 1,000 peers.
let decisionParts: [Part] = [
    Part("ledger: 10,000 wants of one peer, from wantlist to answer", countedRounds: 2) {
        let entries = try wants(10_000)
        return Work {
            guard answerAll(entries, by: Ledger(limits: BitswapLimits())) == 10_000 else { throw PartFailure() }
        }
    },
    Part("ledgers: 10 wants of each of 1,000 peers, from wantlist to answer", countedRounds: 2) {
        let entries = try wants(10)
        return Work {
            var count = 0
            for _ in 0..<1_000 { count += answerAll(entries, by: Ledger(limits: BitswapLimits())) }
            guard count == 10_000 else { throw PartFailure() }
        }
    },
    Part("scheduler: 10 messages for each of 1,000 peers, from asking to drained", countedRounds: 2) {
        Work { try sendAll(10, toEachOf: 1_000) }
    },
    Part("session: 10,000 wants and one peer, from asking to stored", countedRounds: 2) {
        let blocks = try madeBlocks(10_000)
        let peers = try madePeers(1)
        return Work { try fetchAll(blocks, from: peers) }
    },
    Part("session: 1,000 wants and 100 peers, from asking to stored", countedRounds: 2) {
        let blocks = try madeBlocks(1_000)
        let peers = try madePeers(100)
        return Work { try fetchAll(blocks, from: peers) }
    },
    // Half a minute where instructions are counted.
    Part("session: 10,000 wants and 1,000 peers, from asking to stored", counting: .calls, countedRounds: 1) {
        let blocks = try madeBlocks(10_000)
        let peers = try madePeers(1_000)
        return Work { try fetchAll(blocks, from: peers) }
    },
]

/// Returns how many wants were answered, each with a block of 1 KiB.
private func answerAll(_ entries: [Message.Entry], by ledger: Ledger) -> Int {
    var ledger = ledger
    var now = Duration.zero
    for start in stride(from: 0, to: entries.count, by: 1024) {
        keep(ledger.apply(Array(entries[start..<min(entries.count, start + 1024)]), isFull: false, now: now))
        now += .microseconds(10)
    }
    var count = 0
    while ledger.hasWork {
        let items = ledger.takeLookups(limit: 1024)
        if !items.isEmpty {
            keep(ledger.resolve(items, sizes: items.map { _ in 1024 }, now: now, room: 1024))
        }
        let envelope = ledger.next(budget: 1 << 20, version: .v1_2_0)
        count += envelope.blocks.count
        ledger.sent(envelope)
        now += .microseconds(10)
    }
    return count
}

/// Messages of 64 KiB, of which few are under way at a time, so that nearly all peers wait in line.
private func sendAll(_ messages: Int, toEachOf peerCount: Int) throws {
    let bytes = 64 << 10
    var limits = BitswapLimits()
    limits.outstandingBytes = 64 * bytes
    var scheduler = Scheduler(limits: limits)
    var now = Duration.zero
    var left: [Scheduler.ID: Int] = [:]
    var underWay: [(peer: Scheduler.ID, since: Duration)] = []

    func ask(_ peer: Scheduler.ID) {
        let demand = Scheduler.Demand(least: bytes, most: bytes)
        guard case .granted(let granted) = scheduler.request(peer, demand, now: now) else { return }
        scheduler.settle(peer, granted: granted, actual: bytes)
        underWay.append((peer, now))
    }
    for _ in 0..<peerCount { left[scheduler.join(now: now)] = messages }
    for peer in left.keys.sorted() { ask(peer) }
    var drained = 0
    while drained < underWay.count {
        let (peer, since) = underWay[drained]
        drained += 1
        now += .microseconds(10)
        scheduler.drained(
            peer, bytes: bytes, ahead: scheduler.outstandingBytes(of: peer), since: since, now: now)
        left[peer, default: 0] -= 1
        if left[peer, default: 0] > 0 { ask(peer) }
        for peer in scheduler.dispatch(now: now) { ask(peer) }
    }
    guard drained == messages * peerCount else { throw PartFailure() }
}

private func madeBlocks(_ count: Int) throws -> [Block] {
    try (0..<count).map { number in
        try Block(withUnsafeBytes(of: number) { ByteBuffer(bytes: $0) })
    }
}

private func madePeers(_ count: Int) throws -> [PeerID] {
    try (0..<count).map { number in
        try KeyPair(seed: (0..<32).map { UInt8(truncatingIfNeeded: number >> (8 * ($0 & 1))) }).peerID
    }
}

/// A session over all peers, of which every one has every block and gives all that it is asked for at once.
private func fetchAll(_ blocks: [Block], from peers: [PeerID]) throws {
    // The same chance in every run.
    var client = Client(limits: BitswapLimits(), random: .seeded(1))
    var now = Duration.zero
    let byKey = Dictionary(uniqueKeysWithValues: blocks.map { ($0.cid.multihash, $0) })
    for peer in peers { keep(client.connected(peer, as: .local, now: now)) }
    let session = client.beginSession(.any, isEphemeral: false)
    let waiters = blocks.compactMap { client.register($0.cid, in: session, deadline: nil, now: now) }
    keep(client.open(waiters, now: now))
    var finished = 0
    var idleRounds = 0
    while finished < blocks.count, idleRounds < 3 {
        idleRounds += 1
        for peer in peers {
            while true {
                let (taken, _) = client.takeEntries(for: peer, limit: 1024, version: .v1_2_0, now: now)
                if taken.entries.isEmpty { break }
                var presences: [Message.Presence] = []
                var given: [Block] = []
                for entry in taken.entries {
                    switch entry.kind {
                    case .want(.have, _): presences.append(Message.Presence(cid: entry.cid, has: true))
                    case .want(.block, _): if let block = byKey[entry.cid.multihash] { given.append(block) }
                    case .cancel: break
                    }
                }
                now += .microseconds(50)
                if !presences.isEmpty { keep(client.received(presences: presences, from: peer, now: now)) }
                if !given.isEmpty {
                    let (expectations, _) = client.received(
                        blocks: given.map { ($0.cid.multihash, $0.bytes.readableBytes) }, from: peer, now: now)
                    let wanted = zip(given, expectations).compactMap { block, expectation in
                        if case .wanted = expectation { block } else { nil }
                    }
                    finished += client.stored(wanted, from: peer, now: now).effects.finished.count
                    idleRounds = 0
                }
            }
        }
    }
    guard finished == blocks.count else { throw PartFailure() }
    keep(client.endSession(session, now: now))
}
