import Blockstore
import Logging
import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers

/// The way out of our answers: one task per peer, woken when there is something for it, that looks wants up, builds
/// messages and hands them to the peer's outlet. A peer that does not drain holds up its own task and nobody else's.
extension Exchange {
    /// Answers one peer until it is gone.
    func answer(_ peer: ExchangePeer) async {
        for await _ in peer.responses.wake.raised {
            do {
                while try await takeTurn(peer) {}
            } catch {
                // No way to this peer: what it wants of us it must ask again.
                logger.debug("no way to answer a peer", metadata: ["peer": "\(peer.id)", "error": "\(error)"])
                forgetWants(of: peer, forGood: false)
            }
        }
    }

    /// Does one batch of look-ups and sends one message, if there is any of either. Returns whether there may be more.
    ///
    /// While the peer's window is full neither is done: what it wants waits as it came.
    private func takeTurn(_ peer: ExchangePeer) async throws -> Bool {
        guard !peer.responses.hasEnded,
            peer.responses.outstandingBytes < configuration.limits.outstandingBytesPerPeer
        else { return false }
        let hasLookedUp = await lookUp(for: peer)
        guard peer.state.withLockedValue({ $0.ledger.hasAnswers }) else { return hasLookedUp }
        let outlet = try await peer.responses.outlet(in: network)
        let envelope = peer.state.withLockedValue {
            $0.ledger.next(budget: configuration.limits.responseBytes, version: outlet.version)
        }
        guard !envelope.isEmpty else { return hasLookedUp }
        await send(envelope, to: peer, on: outlet)
        return true
    }

    private func send(_ envelope: Ledger.Envelope, to peer: ExchangePeer, on outlet: any ExchangeOutlet) async {
        let (frame, envelope) = await assemble(envelope, for: peer, version: outlet.version)
        guard !envelope.isEmpty else { return }
        peer.responses.write(frame, on: outlet) { [self, bytes = frame.readableBytes] error in
            guard error == nil else { return peer.state.withLockedValue { $0.ledger.lost(envelope) } }
            peer.state.withLockedValue { $0.ledger.sent(envelope) }
            let now = time.now()
            account.answersSent(
                Account.Answers(envelope), bytes: bytes,
                after: (envelope.blocks + envelope.haves + envelope.dontHaves).lazy.map { now - $0.since })
        }
    }

    /// A message while blocks are added to it, on a thread of the store.
    private struct Assembly {
        var encoder: MessageEncoder
        var blocks: [Ledger.Item] = []
        /// Blocks that were not in the store any more.
        var vanished: [Ledger.Item] = []
    }

    /// Reads the blocks straight from the store into the message. What it says in the end is less than what was asked for
    /// where wants were cancelled in the meantime, or blocks deleted.
    private func assemble(
        _ envelope: Ledger.Envelope, for peer: ExchangePeer, version: BitswapVersion
    ) async -> (ByteBuffer, Ledger.Envelope) {
        let items = peer.state.withLockedValue { state in envelope.blocks.filter { state.ledger.isOpen($0) } }
        let capacity =
            items.reduce(0) { $0 + $1.size + 32 } + 64 * (envelope.haves.count + envelope.dontHaves.count)
        let assembly = NIOLockedValueBox(
            Assembly(encoder: MessageEncoder(version: version, entries: [], isFull: false, capacity: capacity)))
        if !items.isEmpty {
            do {
                try await store.read(items.map(\.cid.multihash)) { index, bytes in
                    assembly.withLockedValue {
                        guard let bytes else { return $0.vanished.append(items[index]) }
                        $0.encoder.append(block: bytes, cid: items[index].cid)
                        $0.blocks.append(items[index])
                    }
                }
            } catch {
                // What could not be read the peer had better ask of somebody else.
                logger.info("the store could not be read", metadata: ["peer": "\(peer.id)", "error": "\(error)"])
                assembly.withLockedValue { $0.vanished += items.dropFirst($0.blocks.count + $0.vanished.count) }
            }
            let vanished = assembly.withLockedValue { $0.vanished }
            if !vanished.isEmpty { vanish(vanished, for: peer) }
        }
        let pendingBytes = peer.state.withLockedValue { $0.ledger.queuedBytes }
        return assembly.withLockedValue { assembly in
            for item in envelope.haves { assembly.encoder.append(presenceOf: item.cid, has: true) }
            for item in envelope.dontHaves { assembly.encoder.append(presenceOf: item.cid, has: false) }
            let said = Ledger.Envelope(blocks: assembly.blocks, haves: envelope.haves, dontHaves: envelope.dontHaves)
            return (assembly.encoder.finish(pendingBytes: pendingBytes), said)
        }
    }
}
