import Blockstore
import Logging
import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers

/// The way out of our answers: one task per peer, started when there is something for it, that looks wants up, builds
/// messages and hands them to the peer's outlet. A peer that does not drain holds up its own task and nobody else's.
///
/// A peer that wants little, and waits for nothing else, is answered without that: on the thread that its message came on.
extension Exchange {
    /// Answers one peer until nothing is left.
    func answer(_ way: Way) async {
        guard let peer = peers.withLockedValue({ $0[way.peer] }), peer.responses === way,
            let turn = peer.state.withLockedValue({ $0.turn })
        else { return }
        repeat {
            guard way.take() else { continue }
            defer { way.release() }
            do {
                while try await takeTurn(peer, turn) {}
            } catch {
                // No way to this peer: what it wants of us it must ask again.
                logger.debug("no way to answer a peer", metadata: ["peer": "\(peer.id)", "error": "\(error)"])
                forgetWants(of: peer, forGood: false)
            }
        } while way.looksAgain()
    }

    /// Wants that are looked up, and bytes that are read, on a thread that others wait for.
    private static let (fewWants, fewBytes) = (8, 16 << 10)

    /// Answers a peer now, if it wants little and its way is open and free; else lets its task do it.
    func answerSoon(_ peer: ExchangePeer) {
        guard let immediateStore, let outlet = peer.responses.idleOutlet, peer.responses.take() else {
            return peer.responses.wake()
        }
        let isDone = answerNow(peer, from: immediateStore, on: outlet)
        peer.responses.release(lookAgain: !isDone)
    }

    /// Returns whether nothing is left.
    private func answerNow(
        _ peer: ExchangePeer, from store: any ImmediateBlockstore, on outlet: any ExchangeOutlet
    ) -> Bool {
        guard let turn = peer.state.withLockedValue({ $0.turn }), schedule.hasRoom(turn) else { return false }
        enum Outcome {
            case tooMuch, notItsTurn
            case answer(Assembly, budget: Int)
        }
        let outcome = lookUpNow(Self.fewWants, in: store, for: peer) { items, found -> Outcome in
            let (hasMore, demand) = peer.state.withLockedValue { ($0.ledger.hasLookups, $0.ledger.demand()) }
            guard !hasMore, demand.most <= Self.fewBytes else { return .tooMuch }
            guard let budget = schedule.request(turn, demand, now: time.now(), account: account) else {
                return .notItsTurn
            }
            let envelope = changeWants(of: peer) { $0.ledger.next(budget: budget, version: outlet.version) }
            var assembly = begin(envelope, for: peer, version: outlet.version)
            for item in assembly.items {
                guard let index = items.firstIndex(where: { $0.slot == item.slot && $0.serial == item.serial }),
                    let bytes = found[index]
                else { break }
                assembly.add(item, bytes)
            }
            return .answer(assembly, budget: budget)
        }
        guard case .answer(var assembly, let budget) = outcome else {
            // A peer whose turn it is not is woken when it has come.
            if case .notItsTurn = outcome { return true }
            return false
        }
        do {
            // What was found earlier, or has come since.
            for item in assembly.rest { try store.readNow(item.cid.multihash) { assembly.add(item, $0) } }
        } catch {
            cannotRead(error, for: peer)
            assembly.giveUpRest()
        }
        send(assembly, of: budget, to: peer, turn, on: outlet)
        return !peer.state.withLockedValue { $0.ledger.hasWork }
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
        let assembly = await assemble(envelope, for: peer, version: outlet.version)
        send(assembly, of: budget, to: peer, turn, on: outlet)
        return true
    }

    /// Hands the message over. A CANCEL is honoured until a message is put together; what is behind that, at most the
    /// peer's window or one larger block, still goes out.
    private func send(
        _ assembly: consuming Assembly, of budget: Int, to peer: ExchangePeer, _ turn: Scheduler.ID,
        on outlet: any ExchangeOutlet
    ) {
        if !assembly.vanished.isEmpty { vanish(assembly.vanished, for: peer) }
        let (frame, envelope) = assembly.finish(pendingBytes: peer.state.withLockedValue { $0.ledger.queuedBytes })
        let bytes = envelope.isEmpty ? 0 : frame.readableBytes
        let start = time.now()
        let ahead = schedule.settle(turn, granted: budget, actual: bytes, now: start)
        guard bytes > 0 else { return }
        peer.responses.write(frame, on: outlet) { [self] error in
            frames.give(frame)
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
            return peer.state.withLockedValue { $0.ledger.hasWork }
        }
    }

    /// The peer has drained nothing for so long that others want for the memory: what is under way to it is dropped, and what
    /// it wanted it must ask again.
    func giveUp(_ peer: ExchangePeer) {
        logger.debug("a peer takes nothing, and is given up", metadata: ["peer": "\(peer.id)"])
        forgetWants(of: peer, forGood: false)
        peer.responses.reset()
    }

    /// Reads the blocks straight from the store into the message.
    private func assemble(
        _ envelope: Ledger.Envelope, for peer: ExchangePeer, version: BitswapVersion
    ) async -> Assembly {
        let begun = begin(envelope, for: peer, version: version)
        let items = begun.items
        guard !items.isEmpty else { return begun }
        // Nobody else may hold it while it is added to: that would copy a message for the sake of one block.
        let assembly = NIOLockedValueBox(consume begun)
        do {
            try await store.read(items.map(\.cid.multihash)) { index, bytes in
                assembly.withLockedValue { $0.add(items[index], bytes) }
            }
        } catch {
            cannotRead(error, for: peer)
            assembly.withLockedValue { $0.giveUpRest() }
        }
        // The reader may still hold the box.
        var assembled = Assembly([], Ledger.Envelope(), version: version, frames: frames)
        assembly.withLockedValue { swap(&$0, &assembled) }
        return assembled
    }

    private func begin(_ envelope: Ledger.Envelope, for peer: ExchangePeer, version: BitswapVersion) -> Assembly {
        let items = peer.state.withLockedValue { state in envelope.blocks.filter { state.ledger.isOpen($0) } }
        return Assembly(items, envelope, version: version, frames: frames)
    }
}

/// A message while blocks are added to it. What it says in the end is less than what was asked for where wants were cancelled
/// in the meantime, or blocks deleted.
private struct Assembly {
    /// The blocks that are to be added.
    let items: [Ledger.Item]
    private var encoder: MessageEncoder
    private var said: Ledger.Envelope
    /// Blocks that were not in the store any more.
    private(set) var vanished: [Ledger.Item] = []

    init(_ items: [Ledger.Item], _ envelope: Ledger.Envelope, version: BitswapVersion, frames: FramePool) {
        self.items = items
        said = envelope
        said.blocks = []
        let capacity =
            items.reduce(0) { $0 + $1.size + 32 } + 64 * (envelope.haves.count + envelope.dontHaves.count)
        encoder = MessageEncoder(
            version: version, entries: [], isFull: false, capacity: capacity, makeBuffer: frames.take)
    }

    mutating func add(_ item: Ledger.Item, _ bytes: UnsafeRawBufferPointer?) {
        guard let bytes else { return vanished.append(item) }
        encoder.append(block: bytes, cid: item.cid)
        said.blocks.append(item)
    }

    /// The blocks that were not added yet.
    var rest: ArraySlice<Ledger.Item> { items.dropFirst(said.blocks.count + vanished.count) }

    /// What could not be read the peer had better ask of somebody else.
    mutating func giveUpRest() { vanished += rest }

    consuming func finish(pendingBytes: Int) -> (frame: ByteBuffer, said: Ledger.Envelope) {
        for item in said.haves { encoder.append(presenceOf: item.cid, has: true) }
        for item in said.dontHaves { encoder.append(presenceOf: item.cid, has: false) }
        return (encoder.finish(pendingBytes: pendingBytes), said)
    }
}
