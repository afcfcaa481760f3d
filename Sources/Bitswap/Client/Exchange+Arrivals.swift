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
        // Who speaks Bitswap to us may be asked, even if the way to it failed before.
        let (known, effects) = peers.withLockedValue { peers in
            (peers[peer], peers[peer] == nil ? Client.Effects() : client.withLockedValue { $0.connected(peer) })
        }
        guard let known else { return whenStored() }
        perform(effects)
        account.messageReceived(message)
        if message.isFull || !message.entries.isEmpty { receive(wantlist: message, from: known) }
        if !message.presences.isEmpty {
            perform(client.withLockedValue { $0.received(presences: message.presences, from: peer) })
        }
        if message.unreadableBlocks > 0 { refuse(message.unreadableBlocks, from: peer) }
        if message.blocks.isEmpty { whenStored() } else { receive(message.blocks, from: known, whenStored: whenStored) }
    }

    private func receive(
        _ received: [Message.ReceivedBlock], from known: ExchangePeer, whenStored: @escaping @Sendable () -> Void
    ) {
        let peer = known.id
        // Only what was asked of this peer is worth a hash.
        guard client.withLockedValue({ $0.awaitsBlock(from: peer) }) else {
            refuse(received.count, from: peer)
            return whenStored()
        }
        let hashed = received.map { block in (block, multihash: try? Self.multihash(of: block)) }
        var accepted: [Block] = []
        var effects = Client.Effects()
        var refused = 0
        var arrivals = Account.Arrivals()
        client.withLockedValue { client in
            for (block, multihash) in hashed {
                guard let multihash else {
                    refused += 1
                    continue
                }
                let (expectation, more) = client.received(block: multihash, from: peer)
                effects.merge(more)
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
        }
        perform(effects)
        account.blocksReceived(arrivals)
        known.state.withLockedValue {
            $0.ledger.received(
                blocks: arrivals.blocks + arrivals.duplicateBlocks, bytes: arrivals.bytes + arrivals.duplicateBytes)
        }
        if refused > 0 { refuse(refused, from: peer) }
        if accepted.isEmpty {
            whenStored()
        } else {
            ingest.append(Ingest.Arrival(blocks: accepted, peer: peer, whenStored: whenStored))
        }
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
        logger.info(
            "refused blocks that were not asked for, or whose bytes do not match their CID",
            metadata: ["peer": "\(peer)", "blocks": "\(count)"])
        perform(client.withLockedValue { $0.offended(peer) })
    }

    /// A message that could not be decoded came from `peer`: nothing it still owes is waited for.
    func malformed(_ error: ExchangeError, from peer: PeerID) {
        account.messageMalformed(error.limit)
        logger.info("malformed Bitswap message", metadata: ["peer": "\(peer)", "error": "\(error)"])
        perform(client.withLockedValue { $0.offended(peer) })
    }
}
