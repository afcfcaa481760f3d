import Multiformats
import NIOCore

/// The writing thread and its queue.
///
/// Group commit: whatever arrives while a transaction is being committed shares the next one, so that many callers pay
/// for one sync. Callers that would fill the queue past its limit wait for room. Where nothing else is written and nothing
/// is synced, a caller may write for itself.
final class BlockWriter: Sendable {
    /// For a deletion, whether the block was there.
    typealias Outcome = Result<Bool, BlockstoreError>

    struct Request: Sendable {
        enum Operation: Sendable {
            case put([Block])
            case delete(Multihash)
            /// Succeeds when all before it is on the disk.
            case sync
        }

        let operation: Operation
        let byteCount: Int
        let blockCount: Int
        /// Called on the writing thread.
        let done: @Sendable (Outcome) -> Void
    }

    private enum Phase { case open, closing, closed }

    private struct State {
        /// Whoever writes has taken it.
        var committer: Committer?
        /// The thread waits for whoever has taken it.
        var isThreadWaiting = false
        var queue = CircularBuffer<Request>()
        /// Bytes in the queue, in the transaction under way, and promised to callers that are about to queue them.
        var byteCount = 0
        var waiting = CircularBuffer<(byteCount: Int, continuation: CheckedContinuation<Bool, Never>)>()
        var phase = Phase.open
        var closers: [CheckedContinuation<Void, Never>] = []
        /// The last sync failed, and nobody was told.
        var failure: BlockstoreError?

        init(_ committer: Committer) { self.committer = committer }

        func hasRoom(for count: Int, limit: Int) -> Bool {
            byteCount == 0 || (count <= limit && byteCount <= limit - count)
        }
    }

    private let path: String
    private let limits: BlockstoreLimits
    private let monitor: Monitor<State>

    /// - Parameter finish: run on the writing thread at the very end, after the last commit.
    init(
        engine: Engine, configuration: LMDBBlockstore.Configuration, finish: @escaping @Sendable () -> Void
    ) throws(BlockstoreError) {
        path = engine.path
        limits = configuration.limits
        let interval = configuration.durability.interval
        monitor = Monitor(State(Committer(engine: engine, interval: interval)))
        let thread = try StoreThread { [monitor, limits] in
            let failure = BlockWriter.run(monitor, limits)
            finish()
            BlockWriter.end(monitor, failure)
        }
        thread.detach()
    }

    // MARK: Callers

    /// Queues a request, waiting for room first, and waits for its outcome.
    func perform(_ operation: Request.Operation) async throws(BlockstoreError) -> Bool {
        let (byteCount, blockCount) = operation.size
        guard await reserve(byteCount) else { throw .closed(path: path) }
        let result = await withCheckedContinuation { continuation in
            enqueue(
                Request(operation: operation, byteCount: byteCount, blockCount: blockCount) {
                    continuation.resume(returning: $0)
                })
        }
        return try result.get()
    }

    /// Queues a request at once, whatever the limit; whether the queue is within it.
    func submit(
        _ operation: Request.Operation, done: @escaping @Sendable (Outcome) -> Void
    ) -> Bool {
        let (byteCount, blockCount) = operation.size
        let isWithinLimit = monitor.withLock { state in
            state.byteCount += byteCount
            return state.byteCount <= limits.queuedByteCount
        }
        enqueue(Request(operation: operation, byteCount: byteCount, blockCount: blockCount, done: done))
        return isWithinLimit
    }

    /// Performs a request on the calling thread, if nothing has to be waited for.
    func performNow(_ operation: Request.Operation) -> Outcome? {
        let taken = monitor.withLock { state in
            state.phase == .open && state.queue.isEmpty ? state.committer.take() : nil
        }
        guard var committer = taken else { return nil }
        let dueBefore = committer.syncDue
        var outcome: Outcome?
        if committer.isImmediate {
            let (byteCount, blockCount) = operation.size
            let request = Request(operation: operation, byteCount: byteCount, blockCount: blockCount) { _ in }
            outcome = committer.commit([request]).first
        }
        monitor.signal { state in
            // The thread keeps the time of the next sync, and may have been kept from its work.
            defer { state.isThreadWaiting = false }
            state.committer = committer
            return state.isThreadWaiting || committer.syncDue != dueBefore
        }
        return outcome
    }

    /// Counts bytes against the limit, waiting for room; false when the store is closed.
    private func reserve(_ byteCount: Int) async -> Bool {
        let limit = limits.queuedByteCount
        return await withCheckedContinuation { continuation in
            let answer = monitor.withLock { state -> Bool? in
                guard state.phase == .open else { return false }
                guard state.waiting.isEmpty && state.hasRoom(for: byteCount, limit: limit) else {
                    state.waiting.append((byteCount, continuation))
                    return nil
                }
                state.byteCount += byteCount
                return true
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    /// Queues a request whose bytes are counted already.
    private func enqueue(_ request: Request) {
        var isRefused = false
        monitor.signal { state in
            isRefused = state.phase != .open
            if isRefused {
                state.byteCount -= request.byteCount
            } else {
                state.queue.append(request)
            }
            return !isRefused
        }
        if isRefused { request.done(.failure(.closed(path: path))) }
    }

    /// Begins to close: what is queued is still written.
    func beginClosing() {
        var refused = CircularBuffer<(byteCount: Int, continuation: CheckedContinuation<Bool, Never>)>()
        monitor.broadcast { state in
            guard state.phase == .open else { return }
            state.phase = .closing
            swap(&refused, &state.waiting)
        }
        for entry in refused { entry.continuation.resume(returning: false) }
    }

    /// Closes and waits for the end.
    ///
    /// - Throws: why not all that was committed is known to be on the disk.
    func close() async throws(BlockstoreError) {
        beginClosing()
        await withCheckedContinuation { continuation in
            let isClosed = monitor.withLock { state in
                if state.phase != .closed { state.closers.append(continuation) }
                return state.phase == .closed
            }
            if isClosed { continuation.resume() }
        }
        if let failure = monitor.withLock({ $0.failure }) { throw failure }
    }

    var isOpen: Bool { monitor.withLock { $0.phase == .open } }

    /// Whether all that was committed is on the disk; nil while somebody writes.
    var isSettled: Bool? { monitor.withLock { state in state.committer.map { $0.syncDue == nil } } }

    // MARK: The thread

    private enum Work {
        case commit([Request])
        case sync
        case finish
    }

    /// Works until the store is closed. Returns an error that no caller was told.
    private static func run(_ monitor: Monitor<State>, _ limits: BlockstoreLimits) -> BlockstoreError? {
        while true {
            var (work, committer) = monitor.wait { (state, deadline) -> (Work, Committer)? in
                guard let committer = state.committer else {
                    state.isThreadWaiting = true
                    return nil
                }
                guard let work = nextWork(&state, limits, syncDue: committer.syncDue, &deadline) else { return nil }
                state.committer = nil
                return (work, committer)
            }
            switch work {
            case .commit(let requests):
                let outcomes = committer.commit(requests)
                release(requests.reduce(0) { $0 + $1.byteCount }, committer, monitor, limits)
                for (request, outcome) in zip(requests, outcomes) { request.done(outcome) }
            case .sync:
                committer.syncInBackground()
                release(0, committer, monitor, limits)
            case .finish:
                committer.syncInBackground()
                return committer.unreported
            }
        }
    }

    private static func nextWork(
        _ state: inout State, _ limits: BlockstoreLimits, syncDue: ContinuousClock.Instant?,
        _ deadline: inout ContinuousClock.Instant?
    ) -> Work? {
        if let syncDue {
            guard syncDue > .now else { return .sync }
            deadline = syncDue
        }
        if !state.queue.isEmpty { return .commit(nextBatch(&state, limits)) }
        return state.phase == .open ? nil : .finish
    }

    private static func nextBatch(_ state: inout State, _ limits: BlockstoreLimits) -> [Request] {
        var batch: [Request] = []
        var byteCount = 0
        var blockCount = 0
        while let next = state.queue.first {
            if !batch.isEmpty {
                guard byteCount <= limits.transactionByteCount - next.byteCount,
                    blockCount <= limits.transactionBlockCount - next.blockCount
                else { break }
            }
            batch.append(state.queue.removeFirst())
            byteCount += next.byteCount
            blockCount += next.blockCount
            if case .sync = next.operation { break }
        }
        return batch
    }

    /// Gives back the committer and room, and lets in the callers that wait for room, in their order.
    private static func release(
        _ byteCount: Int, _ committer: Committer, _ monitor: Monitor<State>, _ limits: BlockstoreLimits
    ) {
        let admitted = monitor.withLock { state in
            state.committer = committer
            state.byteCount -= byteCount
            var admitted: [CheckedContinuation<Bool, Never>] = []
            while let next = state.waiting.first,
                state.hasRoom(for: next.byteCount, limit: limits.queuedByteCount)
            {
                state.waiting.removeFirst()
                state.byteCount += next.byteCount
                admitted.append(next.continuation)
            }
            return admitted
        }
        for continuation in admitted { continuation.resume(returning: true) }
    }

    private static func end(_ monitor: Monitor<State>, _ failure: BlockstoreError?) {
        let closers = monitor.withLock { state in
            state.phase = .closed
            state.failure = failure
            defer { state.closers = [] }
            return state.closers
        }
        for closer in closers { closer.resume() }
    }
}

extension BlockWriter.Request.Operation {
    var size: (byteCount: Int, blockCount: Int) {
        switch self {
        case .put(let blocks): (blocks.reduce(0) { $0 + $1.bytes.readableBytes }, blocks.count)
        case .delete: (0, 1)
        case .sync: (0, 0)
        }
    }
}
