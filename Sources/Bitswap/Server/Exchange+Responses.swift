import Blockstore
import Logging
import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers

/// The way out: one task per peer, woken when there is something for it, that looks wants up, builds messages and hands
/// them to the peer's outlet. A peer that does not drain holds up its own task and nobody else's.
extension Exchange {
    private static let lookupBatch = 1_024
    private static let entriesPerMessage = 1_024

    /// Converses with one peer until it is gone.
    func converse(with peer: ExchangePeer) async {
        for await _ in peer.signal.raised {
            do {
                while try await takeTurn(peer) {}
            } catch {
                // No way to this peer: what it owes us is asked of others, what it wants of us it must ask again.
                logger.debug("no way to a peer", metadata: ["peer": "\(peer.id)", "error": "\(error)"])
                peer.state.withLockedValue { $0.ledger.clear() }
                subscriptions.withLockedValue { $0.removeAll(of: peer.id) }
                perform(client.withLockedValue { $0.disconnected(peer.id) })
            }
        }
    }

    /// Does one batch of look-ups and sends one message, if there is any of either. Returns whether there may be more.
    private func takeTurn(_ peer: ExchangePeer) async throws -> Bool {
        let hasLookedUp = try await lookUp(for: peer)
        let hasRoom = peer.state.withLockedValue {
            !$0.hasEnded && $0.outstandingBytes < configuration.limits.outstandingBytesPerPeer
        }
        let hasWork =
            client.withLockedValue { $0.hasEntries(for: peer.id) } || peer.state.withLockedValue { $0.ledger.hasWork }
        guard hasRoom, hasWork else { return hasLookedUp }
        let outlet = try await outlet(to: peer)
        let (entries, isFull) = client.withLockedValue {
            $0.takeEntries(for: peer.id, limit: Self.entriesPerMessage, version: outlet.version, now: time.now())
        }
        let envelope = peer.state.withLockedValue {
            $0.ledger.next(budget: configuration.limits.responseBytes, version: outlet.version)
        }
        guard !entries.isEmpty || !envelope.isEmpty else { return hasLookedUp }
        let frame = try await assemble(envelope, entries, isFull: isFull, for: peer, version: outlet.version)
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

    private func outlet(to peer: ExchangePeer) async throws -> any ExchangeOutlet {
        if let outlet = peer.state.withLockedValue({ $0.outlet }) { return outlet }
        let outlet = try await network.open(to: peer.id)
        let isOurs = peer.state.withLockedValue { state in
            guard !state.hasEnded else { return false }
            state.outlet = outlet
            return true
        }
        if !isOurs {
            outlet.close()
            throw ExchangeError(.stopped, "the peer \(peer.id) is gone")
        }
        return outlet
    }

    /// Reads the blocks straight from the store into the message.
    private func assemble(
        _ envelope: Ledger.Envelope, _ entries: [Message.Entry], isFull: Bool, for peer: ExchangePeer,
        version: BitswapVersion
    ) async throws -> ByteBuffer {
        let bytes =
            envelope.blocks.reduce(0) { $0 + $1.size + 32 } + 64 * (envelope.haves.count + envelope.dontHaves.count)
        let encoder = NIOLockedValueBox(
            MessageEncoder(version: version, entries: entries, isFull: isFull, capacity: bytes))
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
        let count = frame.readableBytes
        peer.state.withLockedValue { $0.outstandingBytes += count }
        outlet.write(frame) { [self] error in
            let isLost = peer.state.withLockedValue { state in
                state.outstandingBytes -= count
                guard error != nil else {
                    state.ledger.sent(envelope)
                    return false
                }
                state.ledger.lost(envelope)
                guard state.outlet === outlet else { return false }
                state.outlet = nil
                return true
            }
            if isLost { perform(client.withLockedValue { $0.outletLost(peer.id) }) }
            if error == nil {
                counters.withLockedValue {
                    $0.messagesSent += 1
                    $0.blocksSent += envelope.blocks.count
                    $0.bytesSent += envelope.blocks.reduce(0) { $0 + $1.size }
                }
            }
            peer.signal.raise()
        }
    }
}
