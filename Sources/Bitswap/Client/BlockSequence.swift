import Blockstore
import DequeModule
import Multiformats
import NIOConcurrencyHelpers
import NIOCore

/// Blocks of many CIDs, as a session gets them: see ``Session/blocks(for:order:bytes:timeout:)-(AsyncSequence,_,_,_)``.
public struct BlockSequence: AsyncSequence, Sendable {
    /// In which order blocks come out of a sequence.
    public enum Order: Sendable, Hashable {
        /// As they come.
        case arrival
        /// As they were asked for.
        case request
    }

    let flow: BlockFlow

    public struct AsyncIterator: AsyncIteratorProtocol {
        let reader: Reader

        /// The next block; nil at the end.
        ///
        /// - Throws: ``ExchangeError``, with `cancelled` when the task is cancelled or the session has ended; what the
        ///   sequence of CIDs throws.
        public mutating func next() async throws -> FetchedBlock? { try await reader.flow.next() }

        /// The next block; nil at the end.
        ///
        /// - Throws: ``ExchangeError``, with `cancelled` when the task is cancelled or the session has ended; what the
        ///   sequence of CIDs throws.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> FetchedBlock? {
            try await reader.flow.next()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(reader: Reader(flow)) }

    /// Takes back what is wanted when nobody reads on.
    final class Reader: Sendable {
        let flow: BlockFlow
        init(_ flow: BlockFlow) { self.flow = flow }
        deinit { flow.end() }
    }
}

/// What is between the CIDs of a ``BlockSequence`` and its reader: wants that are open, and blocks that wait to be read.
///
/// Three tasks of the session drive it: one takes CIDs and registers wants, one looks them up in the own store, many at a
/// time, and one watches that something comes.
final class BlockFlow: Sendable {
    private struct Arrival {
        var fetched: FetchedBlock
        /// Too much was waiting when it came: it is read again when it is its turn.
        var isInStoreOnly: Bool
    }

    private struct Pending {
        var cid: CID
        var since: Duration
        /// Nil for a block that is in its CID, and while it is being registered.
        var waiter: Client.WaiterID?
    }

    private struct State {
        var pending: [UInt64: Pending] = [:]
        /// Registered and not looked up yet.
        var unseen: [Client.WaiterID] = []
        var unseenCIDs: [CID] = []
        /// In the order of arrival, or by place.
        var arrived: Deque<Arrival> = []
        var places: [UInt64: Arrival] = [:]
        var nextPlace: UInt64 = 1
        var lastPlace: UInt64 = 0
        var bufferedBytes = 0
        var hasEnded = false
        var isFed = false
        var failure: (any Error)?
        var reader: CheckedContinuation<Void, Never>?
        var lastArrival: Duration
        var shortage: Shortage?

        var isEmpty: Bool { pending.isEmpty && bufferedBytes == 0 }

        /// Whether whoever takes CIDs should look for room again.
        mutating func endsShortage() -> Bool {
            guard let shortage, shortage.isOver || isEmpty else { return false }
            self.shortage = nil
            return true
        }
    }

    /// There was no room: the blocks that are to come, or to be read, before it is worth looking again. What then gets room
    /// is looked up and asked for together.
    private struct Shortage {
        var arrivals: Int
        var reads: Int

        init(ofBlocks count: Int) {
            arrivals = max(1, count / 4)
            reads = arrivals
        }

        var isOver: Bool { arrivals <= 0 || reads <= 0 }
    }

    private let session: Session
    private let order: BlockSequence.Order
    private let bytes: Int
    private let room = Signal()
    private let unseen = Signal()
    private let state: NIOLockedValueBox<State>
    private var exchange: Exchange { session.exchange }

    init(_ session: Session, order: BlockSequence.Order, bytes: Int) {
        self.session = session
        self.order = order
        self.bytes = bytes
        state = NIOLockedValueBox(State(lastArrival: session.exchange.time.now()))
    }

    // MARK: Tasks of the session

    /// Takes CIDs, as long as there is room for their blocks.
    func feed<CIDs: AsyncSequence & Sendable>(from cids: CIDs) async where CIDs.Element == CID {
        do {
            var room = 0
            for try await cid in cids {
                if room == 0 { room = await waitForRoom() }
                guard room > 0, try register(cid) else {
                    return fail(ExchangeError(.cancelled, "the session of the request has ended"))
                }
                room -= 1
            }
            state.withLockedValue { $0.isFed = true }
            wakeReader()
        } catch { fail(error) }
    }

    /// Waits until there is room. Returns for how many blocks there is, of those that are registered at a time; 0 when
    /// nobody reads any more.
    private func waitForRoom() async -> Int {
        var free = freePlaces()
        if free == 0 {
            for await _ in room.raised {
                free = freePlaces()
                if free != 0 { break }
            }
        }
        return Task.isCancelled ? 0 : free ?? 0
    }

    /// Blocks that may be registered without looking for room again.
    private static let registeredAtOnce = 64

    /// Nil when nobody reads any more.
    private func freePlaces() -> Int? {
        let limit = exchange.configuration.limits.wantsPerSequence
        let expected = exchange.client.withLockedValue { $0.sessions[session.id]?.expectedBytes } ?? 1
        return state.withLockedValue { state in
            if state.hasEnded { return nil }
            let open = state.pending.count
            let places = min(limit, (bytes - state.bufferedBytes) / expected) - open
            if places > 0 || state.isEmpty { return min(max(1, places), Self.registeredAtOnce) }
            state.shortage = Shortage(ofBlocks: open + state.arrived.count + state.places.count)
            return 0
        }
    }

    private func register(_ cid: CID) throws -> Bool {
        let now = exchange.time.now()
        if let inline = try Exchange.inlineBlock(cid) {
            guard let place = nextPlace(for: cid, now: now) else { return false }
            finished(.success(Client.Delivery(block: inline, peer: nil)), at: place)
            return true
        }
        // Without a deadline there is nothing to be done for it before it was looked up.
        let waiter = exchange.client.withLockedValue {
            $0.register(cid, in: session.id, deadline: nil, isOrdered: order == .request, now: now)
        }
        guard let waiter else { return false }
        exchange.account.wantOpened()
        if let place = nextPlace(for: cid, now: now) {
            exchange.callers.whenFinished(waiter) { [self] in finished($0, at: place) }
            let isWanted = state.withLockedValue { state in
                guard !state.hasEnded else { return false }
                state.pending[place]?.waiter = waiter
                state.unseen.append(waiter)
                state.unseenCIDs.append(cid)
                return true
            }
            if isWanted {
                unseen.raise()
                return true
            }
        }
        withdraw([waiter])
        return false
    }

    /// The place of the next block; nil when nobody reads any more.
    private func nextPlace(for cid: CID, now: Duration) -> UInt64? {
        state.withLockedValue { state in
            guard !state.hasEnded else { return nil }
            state.lastPlace += 1
            if state.pending.isEmpty { state.lastArrival = now }
            state.pending[state.lastPlace] = Pending(cid: cid, since: now)
            return state.lastPlace
        }
    }

    /// Looks wants up in the own store, all that were registered since the last time in one go; asks peers for the rest.
    func lookUp() async {
        for await _ in unseen.raised {
            let (waiters, cids) = state.withLockedValue { state in
                defer { (state.unseen, state.unseenCIDs) = ([], []) }
                return (state.unseen, state.unseenCIDs)
            }
            guard !cids.isEmpty else { continue }
            do {
                let sizes = try await exchange.store.sizes(of: cids.map(\.multihash))
                let absent = zip(waiters, sizes).filter { $0.1 == nil }.map(\.0)
                exchange.miss(absent)
                for (index, size) in sizes.enumerated() where size != nil {
                    try await takeFromStore(cids[index], for: waiters[index])
                }
            } catch {
                fail(ExchangeError(.storeFailed, "the store could not be read", underlying: error))
            }
        }
    }

    private func takeFromStore(_ cid: CID, for waiter: Client.WaiterID) async throws {
        // It may have been removed since it was looked up.
        guard let bytes = try await exchange.store.get(cid.multihash) else { return exchange.miss([waiter]) }
        let block = Block(unchecked: bytes, cid: cid)
        exchange.perform(
            exchange.client.withLockedValue { $0.stored([block], from: nil, now: exchange.time.now()).effects })
    }

    /// Ends the sequence when nothing has come for so long although something is wanted.
    func watch(_ timeout: Duration) async {
        while true {
            let now = exchange.time.now()
            let (due, oldest) = state.withLockedValue { state -> (Duration?, Pending?) in
                if state.hasEnded { return (nil, nil) }
                let isWaiting = !state.pending.isEmpty
                return (
                    isWaiting ? state.lastArrival + timeout : now + timeout,
                    isWaiting ? state.pending.min { $0.key < $1.key }?.value : nil
                )
            }
            guard let due else { return }
            if due > now {
                do { try await exchange.time.sleep(due - now) } catch { return }
            } else if let oldest, let waiter = oldest.waiter {
                // Its failure ends the sequence, with what its peers have answered.
                exchange.perform(
                    exchange.client.withLockedValue {
                        $0.abandon(
                            waiter, .timedOut, "no peer gave the block \(oldest.cid) in time", now: now)
                    })
            }
        }
    }

    // MARK: Blocks

    private func finished(_ outcome: Callers.Outcome, at place: UInt64) {
        let now = exchange.time.now()
        let (reader, isRoom) = state.withLockedValue { state in
            guard let pending = state.pending.removeValue(forKey: place) else {
                return (CheckedContinuation<Void, Never>?.none, false)
            }
            switch outcome {
            case .success(let delivery):
                state.lastArrival = now
                let fetched = FetchedBlock(delivery, cid: pending.cid, elapsed: now - pending.since)
                keep(fetched, isInStore: pending.waiter != nil, at: place, &state)
            case .failure(let error): if state.failure == nil { state.failure = error }
            }
            return (state.reader.take(), state.endsShortage())
        }
        reader?.resume()
        if isRoom { room.raise() }
    }

    private func keep(_ fetched: FetchedBlock, isInStore: Bool, at place: UInt64, _ state: inout State) {
        let size = fetched.block.bytes.readableBytes
        let isNext = state.bufferedBytes == 0 || (order == .request && place == state.nextPlace)
        let isTooMuch = isInStore && !isNext && state.bufferedBytes + size > bytes
        var arrival = Arrival(fetched: fetched, isInStoreOnly: isTooMuch)
        if isTooMuch {
            arrival.fetched = FetchedBlock(
                block: Block(unchecked: .init(), cid: fetched.block.cid), source: fetched.source,
                elapsed: fetched.elapsed)
        } else {
            state.bufferedBytes += size
        }
        if order == .request { state.places[place] = arrival } else { state.arrived.append(arrival) }
        state.shortage?.arrivals -= 1
    }

    private func fail(_ error: any Error) {
        state.withLockedValue { if $0.failure == nil { $0.failure = error } }
        wakeReader()
    }

    private func wakeReader() { state.withLockedValue { $0.reader.take() }?.resume() }

    // MARK: The reader

    private enum Step {
        case block(Arrival, isRoom: Bool)
        case end((any Error)?)
        case wait
    }

    func next() async throws -> FetchedBlock? {
        while true {
            switch step() {
            case .block(let arrival, let isRoom):
                if isRoom { room.raise() }
                guard arrival.isInStoreOnly else { return arrival.fetched }
                return try await again(arrival.fetched)
            case .end(let error):
                end()
                if let error { throw error }
                return nil
            case .wait: await wait()
            }
        }
    }

    private func step() -> Step {
        let isCancelled = Task.isCancelled
        return state.withLockedValue { state in
            if isCancelled { return .end(ExchangeError(.cancelled, "the request was cancelled")) }
            var arrival = state.arrived.popFirst()
            if arrival == nil, let next = state.places.removeValue(forKey: state.nextPlace) {
                state.nextPlace += 1
                arrival = next
            }
            if let arrival {
                state.bufferedBytes -= arrival.fetched.block.bytes.readableBytes
                state.shortage?.reads -= 1
                return .block(arrival, isRoom: state.endsShortage())
            }
            if let failure = state.failure { return .end(failure) }
            if state.hasEnded || state.isFed && state.pending.isEmpty { return .end(nil) }
            return .wait
        }
    }

    private func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                state.withLockedValue { $0.reader = continuation }
                // What came between the look and the wait.
                if Task.isCancelled || isReadable { wakeReader() }
            }
        } onCancel: {
            wakeReader()
        }
    }

    private var isReadable: Bool {
        state.withLockedValue { state in
            !state.arrived.isEmpty || state.places[state.nextPlace] != nil || state.failure != nil || state.hasEnded
                || (state.isFed && state.pending.isEmpty)
        }
    }

    private func again(_ fetched: FetchedBlock) async throws -> FetchedBlock {
        let cid = fetched.block.cid
        let bytes: ByteBuffer?
        do throws(BlockstoreError) { bytes = try await exchange.store.get(cid.multihash) } catch {
            throw ExchangeError(.storeFailed, "the block \(cid) could not be read again", underlying: error)
        }
        guard let bytes else {
            throw ExchangeError(.storeFailed, "the block \(cid) was removed from the store before it was read")
        }
        return FetchedBlock(
            block: Block(unchecked: bytes, cid: cid), source: fetched.source, elapsed: fetched.elapsed)
    }

    /// Nobody reads any more: what is wanted is taken back.
    func end() {
        let waiters = state.withLockedValue { state in
            state.hasEnded = true
            defer { state.pending = [:] }
            return state.pending.values.compactMap(\.waiter).sorted()
        }
        withdraw(waiters)
        room.end()
        unseen.end()
    }

    private func withdraw(_ waiters: [Client.WaiterID]) {
        guard !waiters.isEmpty else { return }
        let (live, effects) = exchange.client.withLockedValue { $0.withdraw(waiters, now: exchange.time.now()) }
        // Of the others the outcome is on its way, and finds whoever waits for it.
        exchange.account.wantsEnded(live.count)
        exchange.callers.forget(live)
        exchange.perform(effects)
    }
}
