import Blockstore
import Logging
import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers

/// The way out of our answers: one task per peer, woken when there is something for it, that looks wants up, builds
/// messages and hands them to the peer's outlet. A peer that does not drain holds up its own task and nobody else's.
extension Exchange {
    private static let lookupBatch = 1_024

    /// Answers one peer until it is gone.
    func answer(_ peer: ExchangePeer) async {
        for await _ in peer.responses.wake.raised {
            do {
                while try await takeTurn(peer) {}
            } catch {
                // No way to this peer: what it wants of us it must ask again.
                logger.debug("no way to answer a peer", metadata: ["peer": "\(peer.id)", "error": "\(error)"])
                peer.state.withLockedValue { $0.ledger.clear() }
                subscriptions.withLockedValue { $0.removeAll(of: peer.id) }
            }
        }
    }

    /// Does one batch of look-ups and sends one message, if there is any of either. Returns whether there may be more.
    private func takeTurn(_ peer: ExchangePeer) async throws -> Bool {
        let hasLookedUp = try await lookUp(for: peer)
        guard !peer.responses.hasEnded,
            peer.responses.outstandingBytes < configuration.limits.outstandingBytesPerPeer,
            peer.state.withLockedValue({ $0.ledger.hasWork })
        else { return hasLookedUp }
        let outlet = try await peer.responses.outlet(in: network)
        let envelope = peer.state.withLockedValue {
            $0.ledger.next(budget: configuration.limits.responseBytes, version: outlet.version)
        }
        guard !envelope.isEmpty else { return hasLookedUp }
        let frame = try await assemble(envelope, for: peer, version: outlet.version)
        send(frame, envelope, to: peer, on: outlet)
        return true
    }

    private func lookUp(for peer: ExchangePeer) async throws -> Bool {
        let cids = peer.state.withLockedValue { $0.ledger.takeLookups(limit: Self.lookupBatch) }
        guard !cids.isEmpty else { return false }
        // Subscribed before the look-up: a block that is stored during it is not missed.
        subscriptions.withLockedValue { $0.add(cids, of: peer.id) }
        let sizes = try await store.sizes(of: cids.map(\.multihash))
        let absent = peer.state.withLockedValue { $0.ledger.resolve(Array(zip(cids, sizes))) }
        let held = Set(cids).subtracting(absent)
        subscriptions.withLockedValue { $0.remove(Array(held), of: peer.id) }
        return true
    }

    /// Reads the blocks straight from the store into the message.
    private func assemble(
        _ envelope: Ledger.Envelope, for peer: ExchangePeer, version: BitswapVersion
    ) async throws -> ByteBuffer {
        let bytes =
            envelope.blocks.reduce(0) { $0 + $1.size + 32 } + 64 * (envelope.haves.count + envelope.dontHaves.count)
        let encoder = NIOLockedValueBox(
            MessageEncoder(version: version, entries: [], isFull: false, capacity: bytes))
        if !envelope.blocks.isEmpty {
            // A want that was cancelled in the meantime is left out.
            let items = peer.state.withLockedValue { state in envelope.blocks.filter { state.ledger.isOpen($0) } }
            let vanished = NIOLockedValueBox<[Ledger.Envelope.Item]>([])
            do {
                try await store.read(items.map(\.cid.multihash)) { index, bytes in
                    guard let bytes else { return vanished.withLockedValue { $0.append(items[index]) } }
                    encoder.withLockedValue { $0.append(block: bytes, cid: items[index].cid) }
                }
            } catch {
                peer.state.withLockedValue { $0.ledger.lost(envelope) }
                throw error
            }
            for item in vanished.withLockedValue({ $0 }) where peer.state.withLockedValue({ $0.ledger.vanished(item) })
            {
                subscriptions.withLockedValue { $0.add([item.cid], of: peer.id) }
            }
        }
        let pendingBytes = peer.state.withLockedValue { $0.ledger.queuedBytes }
        return encoder.withLockedValue { encoder in
            for item in envelope.haves { encoder.append(presenceOf: item.cid, has: true) }
            for item in envelope.dontHaves { encoder.append(presenceOf: item.cid, has: false) }
            return encoder.finish(pendingBytes: pendingBytes)
        }
    }

    private func send(
        _ frame: ByteBuffer, _ envelope: Ledger.Envelope, to peer: ExchangePeer, on outlet: any ExchangeOutlet
    ) {
        peer.responses.write(frame, on: outlet) { [self, bytes = frame.readableBytes] error in
            guard error == nil else { return peer.state.withLockedValue { $0.ledger.lost(envelope) } }
            peer.state.withLockedValue { $0.ledger.sent(envelope) }
            account.answersSent(Account.Answers(envelope), bytes: bytes, after: [])
        }
    }
}
