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
        let now = time.now()
        let (isReachable, effects) = client.withLockedValue { client in
            if message.pendingBytes > 0 || !message.blocks.isEmpty {
                client.told(pendingBytes: message.pendingBytes, by: peer)
            }
            let isReachable = client.isConnected(peer)
            guard !message.presences.isEmpty else { return (isReachable, Client.Effects()) }
            return (isReachable, client.received(presences: message.presences, from: peer, now: now))
        }
        perform(effects)
        if !isReachable { revive(known) }
        if message.unreadableBlocks > 0 { refuse(message.unreadableBlocks, from: peer) }
        if message.blocks.isEmpty {
            whenStored()
        } else {
            receive(message.blocks, of: message.byteCount, from: known, whenStored: whenStored)
        }
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
        let hashed = received.map { try? Self.multihash(of: $0) }
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
        ingest.append(
            Ingest.Arrival(blocks: accepted, peer: peer) { [self] in
                if intake.unstored(-bytes) { throttle() }
                whenStored()
            })
    }

    /// The hash function is the sender's word, but only functions that the package computes are accepted, and the result
    /// counts only if this peer was asked for it.
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

    /// Stores fetched blocks, all that have come since the last time in one go, and resumes whoever waits for them.
    func storeArrivals() async {
        for await _ in ingest.signal.raised {
            while let batch = ingest.takeAll() {
                await store(batch)
                for arrival in batch { arrival.whenStored() }
            }
        }
    }

    private func store(_ batch: [Ingest.Arrival]) async {
        let blocks = batch.flatMap(\.blocks)
        var effects = Client.Effects()
        do {
            try await store.put(blocks)
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
        } catch {
            logger.info("fetched blocks could not be stored", metadata: ["error": "\(error)"])
            client.withLockedValue { client in
                for block in blocks {
                    effects.merge(client.storeFailed(block.cid.multihash, error, now: time.now()))
                }
            }
            perform(effects)
        }
    }
}
