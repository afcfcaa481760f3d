import Blockstore
import Logging
import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers

/// The way in: a frame from a peer, taken apart and given to the ledger, to the client and, verified, to the store.
extension Exchange {
    /// A decoded message came from `peer`. Called by the network, in order for each peer.
    ///
    /// `whenStored` is called exactly once, from any thread, when the blocks of the message are stored or refused and the
    /// sender may send more.
    func received(_ message: Message, from peer: PeerID, whenStored: @escaping @Sendable () -> Void) {
        guard let known = peers.withLockedValue({ $0[peer] }) else { return whenStored() }
        account.messageReceived(message)
        if message.isFull || !message.entries.isEmpty { receive(wantlist: message, from: known) }
        let isReachable = client.withLockedValue { client in
            if message.pendingBytes > 0 || !message.blocks.isEmpty {
                client.told(pendingBytes: message.pendingBytes, by: peer)
            }
            return client.isConnected(peer)
        }
        if !isReachable { revive(known) }
        if message.unreadableBlocks > 0 { refuse(message.unreadableBlocks, from: peer) }
        // Before the presences, so that what has come makes room for what they lead to.
        if message.blocks.isEmpty {
            whenStored()
        } else {
            receive(message.blocks, of: message.byteCount, from: known, whenStored: whenStored)
        }
        guard !message.presences.isEmpty else { return }
        perform(
            client.withLockedValue {
                $0.received(presences: message.presences, from: peer, now: time.now())
            })
    }

    /// Who speaks Bitswap to us may be asked, even if the way to it failed before.
    func revive(_ peer: ExchangePeer) {
        let effects = peers.withLockedValue { peers in
            guard peers[peer.id] === peer else { return Client.Effects() }
            return client.withLockedValue { $0.revived(peer.id, now: time.now()) }
        }
        perform(effects)
    }

    /// Bytes came from a peer: they count in the budget of what may come.
    func arrived(_ bytes: Int, from peer: PeerID) {
        if intake.received(bytes, from: peer) { throttle() }
    }

    /// Asks for more, or for nothing more, as what may come in allows.
    func throttle() {
        perform(
            client.withLockedValue {
                $0.throttle(everybody: intake.isShut, peers: intake.shutPeers, now: time.now())
            })
    }

    /// Part of a message came.
    func progressed(_ peer: PeerID) {
        client.withLockedValue { $0.progressed(peer, now: time.now()) }
    }

    private func receive(
        _ received: [Message.ReceivedBlock], of messageBytes: Int, from known: ExchangePeer,
        whenStored: @escaping @Sendable () -> Void
    ) {
        let peer = known.id
        // Only what was asked of this peer is worth a hash.
        guard client.withLockedValue({ $0.awaitsBlock(from: peer) }) else {
            refuse(received.count, from: peer)
            return whenStored()
        }
        let hashed = Self.multihashes(of: received)
        let readable = zip(hashed, received).compactMap { key, block in key.map { (key: $0, block: block) } }
        let (expectations, effects) = client.withLockedValue {
            $0.received(
                blocks: readable.map { ($0.key, $0.block.data.readableBytes) }, from: peer, now: time.now())
        }
        var accepted: [Block] = []
        var refused = received.count - readable.count
        var arrivals = Account.Arrivals()
        for (expectation, (_, block)) in zip(expectations, readable) {
            switch expectation {
            case .wanted(let cid):
                accepted.append(Block(unchecked: block.data, cid: cid))
                arrivals.blocks += 1
                arrivals.bytes += block.data.readableBytes
            case .alreadyHere:
                arrivals.duplicateBlocks += 1
                arrivals.duplicateBytes += block.data.readableBytes
            case .unrequested: refused += 1
            }
        }
        perform(effects)
        account.blocksReceived(arrivals)
        known.state.withLockedValue {
            $0.ledger.received(
                blocks: arrivals.blocks + arrivals.duplicateBlocks, bytes: arrivals.bytes + arrivals.duplicateBytes)
        }
        if refused > 0 { refuse(refused, from: peer) }
        guard !accepted.isEmpty else { return whenStored() }
        if arrivals.bytes < messageBytes / 2 {
            // What was not wanted is not kept for the sake of what was.
            accepted = accepted.map { Block(unchecked: ByteBuffer(bytes: $0.bytes.readableBytesView), cid: $0.cid) }
        }
        let bytes = arrivals.bytes
        if intake.unstored(bytes) { throttle() }
        let arrival = Ingest.Arrival(blocks: accepted, peer: peer) { [self] in
            if intake.unstored(-bytes) { throttle() }
            whenStored()
        }
        if let batch = ingest.append(arrival) { submit(batch) }
    }

    /// Nil for a block that cannot be hashed. The hash function is the sender's word, but only functions that the package
    /// computes are accepted, and the result counts only if this peer was asked for it.
    private static func multihashes(of blocks: [Message.ReceivedBlock]) -> [Multihash?] {
        var multihashes: [Multihash?] = []
        multihashes.reserveCapacity(blocks.count)
        var index = 0
        while index < blocks.count {
            let (first, second) = (blocks[index], index + 1 < blocks.count ? blocks[index + 1] : nil)
            if let second, first.isPlain, second.isPlain,
                let pair = first.data.withUnsafeReadableBytes({ first in
                    second.data.withUnsafeReadableBytes { try? Multihash.hash(first, $0, with: .sha2_256) }
                })
            {
                multihashes += [pair.0, pair.1]
                index += 2
            } else {
                multihashes.append(try? multihash(of: first))
                index += 1
            }
        }
        return multihashes
    }

    private static func multihash(of block: Message.ReceivedBlock) throws -> Multihash {
        try block.data.withUnsafeReadableBytes { bytes in
            guard let prefix = block.prefix else { return try Multihash.hash(bytes, with: .sha2_256) }
            return try prefix.cid(of: bytes).multihash
        }
    }

    private func refuse(_ count: Int, from peer: PeerID) {
        account.blocksRefused(count)
        offended(
            peer, "refused blocks that were not asked for, or whose bytes do not match their CID",
            ["blocks": "\(count)"])
    }

    /// A message that could not be decoded came from `peer`: nothing it still owes is waited for.
    func malformed(_ error: ExchangeError, from peer: PeerID) {
        account.messageMalformed(error.limit)
        offended(peer, "malformed Bitswap message", ["error": "\(error)"])
    }

    private func offended(_ peer: PeerID, _ what: Logger.Message, _ details: Logger.Metadata) {
        if let offences = peers.withLockedValue({ $0[peer] })?.offended() {
            let known: Logger.Metadata = ["peer": "\(peer)", "offences": "\(offences)"]
            logger.info(what, metadata: known.merging(details) { $1 })
        }
        perform(client.withLockedValue { $0.offended(peer, now: time.now()) })
    }

    // MARK: Into the store

    /// Blocks whose waiters are resumed on the thread that stored them, where no other one would do it as soon.
    private static let fewBlocks = 4
    /// Bytes that are stored on the thread of the connection, if nothing else is waited for.
    private static let fewBytes = 16 << 10

    /// Hands a batch to the store.
    private func submit(_ batch: [Ingest.Arrival]) {
        guard let immediateStore else { return start(.store(batch)) }
        // Its queue is not full: no more than a few batches are in it, of no more than the intake admits.
        let blocks = batch.flatMap(\.blocks)
        let isLittle =
            blocks.count <= Self.fewBlocks && blocks.reduce(0, { $0 + $1.bytes.readableBytes }) <= Self.fewBytes
        let isAll = isLittle && client.withLockedValue { $0.wantCount <= blocks.count }
        _ = immediateStore.submit(blocks, now: isAll) { [self] error in
            if let next = ingest.batchEnded() { submit(next) }
            if blocks.count <= Self.fewBlocks {
                conclude(batch, blocks, error)
            } else {
                start(.conclude(batch, blocks, error))
            }
        }
    }

    /// The same where the store has to be waited for.
    func store(_ batch: [Ingest.Arrival]) async {
        let blocks = batch.flatMap(\.blocks)
        var failure: BlockstoreError?
        do { try await store.put(blocks) } catch { failure = error }
        if let next = ingest.batchEnded() { submit(next) }
        conclude(batch, blocks, failure)
    }

    /// A batch is stored, or could not be: resumes whoever waits for its blocks.
    func conclude(_ batch: [Ingest.Arrival], _ blocks: [Block], _ error: BlockstoreError?) {
        var effects = Client.Effects()
        if let error {
            logger.info("fetched blocks could not be stored", metadata: ["error": "\(error)"])
            client.withLockedValue { client in
                for block in blocks {
                    effects.merge(client.storeFailed(block.cid.multihash, error, now: time.now()))
                }
            }
            perform(effects)
        } else {
            var waits: [Duration] = []
            let now = time.now()
            client.withLockedValue { client in
                for arrival in batch {
                    let stored = client.stored(arrival.blocks, from: arrival.peer, now: now)
                    effects.merge(stored.effects)
                    waits += stored.waits
                }
            }
            account.blocksFetched(after: waits)
            perform(effects)
            announce(blocks)
        }
        for arrival in batch { arrival.whenStored() }
    }
}

extension Message.ReceivedBlock {
    /// Hashed with the whole of SHA2-256, as nearly all blocks are: two of them at once take little more than one.
    fileprivate var isPlain: Bool { prefix.map { $0.hashCode == .sha2_256 && $0.digestLength == 32 } ?? true }
}
