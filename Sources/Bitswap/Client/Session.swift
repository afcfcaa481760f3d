public import Multiformats
import NIOConcurrencyHelpers

/// A scope for blocks that belong together: the peers that had one are asked first for the others, side by side.
///
/// Made by ``Exchange/withSession(providers:isolation:_:)``, and of no use after it. Any number of tasks may use one.
public final class Session: Sendable {
    typealias Job = @Sendable () async -> Void

    let exchange: Exchange
    let id: SessionState.ID
    let jobs = AsyncStream.makeStream(of: Job.self)
    private let observation = NIOLockedValueBox<AsyncStream<SessionEvent>?>(nil)
    private static let bufferedEvents = 1_024

    init(_ exchange: Exchange, id: SessionState.ID) {
        self.exchange = exchange
        self.id = id
    }

    /// Gets a block: from the own store if it is there, else from peers.
    ///
    /// - Parameter timeout: how long to wait for it; nil waits as long as the session lasts.
    /// - Throws: what ``Exchange/want(_:providers:timeout:)`` throws; `cancelled` also when the session ends.
    public func want(_ cid: CID, timeout: Duration? = nil) async throws(ExchangeError) -> FetchedBlock {
        try await exchange.want(cid, in: id, timeout: timeout)
    }

    /// Gets many blocks, as many at a time as the peers can be kept busy with.
    ///
    /// CIDs are taken from `cids` only when there is room for their blocks, so that it may be endless. The first block that
    /// cannot be had ends the sequence with its error. To be iterated once; what is still wanted is taken back when the
    /// iterator is gone or its task is cancelled.
    ///
    /// - Parameters:
    ///   - order: that of their coming, which is the fastest, or that of `cids`.
    ///   - bytes: of blocks that wait to be read, or are to come. What comes past that is read again from the store.
    ///   - timeout: how long to wait while no block at all comes; nil waits as long as the session lasts.
    public func blocks<CIDs: AsyncSequence & Sendable>(
        for cids: CIDs, order: BlockSequence.Order = .arrival, bytes: Int = 32 << 20, timeout: Duration? = .seconds(30)
    ) -> BlockSequence where CIDs.Element == CID {
        let flow = BlockFlow(self, order: order, bytes: bytes)
        jobs.continuation.yield { await flow.feed(from: cids) }
        jobs.continuation.yield { await flow.lookUp() }
        if let timeout { jobs.continuation.yield { await flow.watch(timeout) } }
        return BlockSequence(flow: flow)
    }

    /// Gets the blocks of a list of CIDs: see ``blocks(for:order:bytes:timeout:)-(AsyncSequence,_,_,_)``.
    public func blocks<CIDs: Sequence<CID> & Sendable>(
        for cids: CIDs, order: BlockSequence.Order = .arrival, bytes: Int = 32 << 20, timeout: Duration? = .seconds(30)
    ) -> BlockSequence {
        blocks(for: Listed(cids: cids), order: order, bytes: bytes, timeout: timeout)
    }

    /// What happens to the session's wants, from the first call on until the session ends; the newest 1,024 are kept
    /// for a reader that is slow. For one reader; to be asked for before the session ends.
    public var events: AsyncStream<SessionEvent> {
        observation.withLockedValue { observation in
            if let stream = observation { return stream }
            let (stream, continuation) = AsyncStream.makeStream(
                of: SessionEvent.self, bufferingPolicy: .bufferingNewest(Self.bufferedEvents))
            observation = stream
            exchange.observers.withLockedValue { $0[id] = continuation }
            exchange.client.withLockedValue { $0.observe(id) }
            return stream
        }
    }

    func end() {
        exchange.perform(exchange.client.withLockedValue { $0.endSession(id, now: exchange.time.now()) })
        exchange.observers.withLockedValue { $0.removeValue(forKey: id) }?.finish()
        jobs.continuation.finish()
    }

    private struct Listed<CIDs: Sequence<CID> & Sendable>: AsyncSequence, Sendable {
        let cids: CIDs

        struct AsyncIterator: AsyncIteratorProtocol {
            var base: CIDs.Iterator
            mutating func next() async -> CID? { base.next() }
        }

        func makeAsyncIterator() -> AsyncIterator { AsyncIterator(base: cids.makeIterator()) }
    }
}

extension Exchange {
    /// Runs `body` with a session, and ends that with it: what it still wants is taken back at every peer, and its tasks have
    /// ended when this returns.
    ///
    /// - Parameter providers: who may be asked in it.
    /// - Throws: what `body` throws. Cancellation reaches `body` through its task; `body` runs in `isolation`.
    public func withSession<Value, Failure: Error>(
        providers: Providers = .any, isolation: isolated (any Actor)? = #isolation,
        _ body: (Session) async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let session = Session(
            self, id: client.withLockedValue { $0.beginSession(providers, isEphemeral: false) })
        let outcome = await withTaskGroup(of: Void.self, returning: Result<Value, Failure>.self, isolation: isolation) {
            group in
            group.addTask {
                await withDiscardingTaskGroup { running in
                    for await job in session.jobs.stream { running.addTask { await job() } }
                    running.cancelAll()
                }
            }
            let outcome: Result<Value, Failure>
            do throws(Failure) { outcome = .success(try await body(session)) } catch { outcome = .failure(error) }
            session.end()
            group.cancelAll()
            await group.waitForAll(isolation: isolation)
            return outcome
        }
        return try outcome.get()
    }
}
