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
        let turn = schedule.join(peer, now: time.now()) { [self] in giveUp(peer) }
        defer { schedule.leave(turn, now: time.now()) }
        for await _ in peer.responses.wake.raised {
            do {
                while try await takeTurn(peer, turn) {}
            } catch {
                // No way to this peer: what it wants of us it must ask again.
                logger.debug("no way to answer a peer", metadata: ["peer": "\(peer.id)", "error": "\(error)"])
                forgetWants(of: peer, forGood: false)
            }
        }
    }

    /// Does one batch of look-ups and sends one message, if there is any of either and its turn has come. Returns whether
    /// there may be more.
    ///
    /// While the peer's window is full it has no turn, nor are its wants looked up: they wait as they came.
    private func takeTurn(_ peer: ExchangePeer, _ turn: Scheduler.ID) async throws -> Bool {
        guard !peer.responses.hasEnded else { return false }
        var hasLookedUp = false
        if peer.state.withLockedValue({ $0.ledger.hasLookups }), schedule.hasRoom(turn) {
            hasLookedUp = await lookUp(for: peer)
        }
        let demand = peer.state.withLockedValue { $0.ledger.demand() }
        guard let budget = schedule.request(turn, demand, now: time.now(), account: account) else { return hasLookedUp }
        let outlet: any ExchangeOutlet
        do { outlet = try await peer.responses.outlet(in: network) } catch {
            schedule.settle(turn, granted: budget, actual: 0, now: time.now())
            throw error
        }
        let envelope = changeWants(of: peer) { $0.ledger.next(budget: budget, version: outlet.version) }
        await send(envelope, of: budget, to: peer, turn, on: outlet)
        return true
    }

    private func send(
        _ envelope: Ledger.Envelope, of budget: Int, to peer: ExchangePeer, _ turn: Scheduler.ID,
        on outlet: any ExchangeOutlet
    ) async {
        let (frame, envelope) = await assemble(envelope, for: peer, version: outlet.version)
        let bytes = envelope.isEmpty ? 0 : frame.readableBytes
        let start = time.now()
        let ahead = schedule.settle(turn, granted: budget, actual: bytes, now: start)
        guard bytes > 0 else { return }
        peer.responses.write(frame, on: outlet) { [self] error in
            let now = time.now()
            if error == nil {
                changeWants(of: peer) { $0.ledger.sent(envelope) }
                schedule.drained(turn, bytes: bytes, ahead: ahead, since: start, now: now)
                account.answersSent(
                    Account.Answers(envelope), bytes: bytes,
                    after: (envelope.blocks + envelope.haves + envelope.dontHaves).lazy.map { now - $0.since })
            } else {
                peer.state.withLockedValue { $0.ledger.lost(envelope) }
                schedule.lost(turn, bytes: bytes, now: now)
            }
        }
    }

    /// The peer has drained nothing for so long that others want for the memory: what is under way to it is dropped, and what
    /// it wanted it must ask again.
    private func giveUp(_ peer: ExchangePeer) {
        logger.debug("a peer takes nothing, and is given up", metadata: ["peer": "\(peer.id)"])
        forgetWants(of: peer, forGood: false)
        peer.responses.reset()
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
