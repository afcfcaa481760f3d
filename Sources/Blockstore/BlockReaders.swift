import NIOCore

/// The threads that read for callers which must not wait for the disk themselves.
///
/// They share one queue. A thread that wakes takes its part of the queue and answers it from one read transaction, or from
/// several where that would become long.
final class BlockReaders: Sendable {
    struct Request: Sendable {
        let run: @Sendable (inout ReadTransaction) -> Void
        let fail: @Sendable (BlockstoreError) -> Void
    }

    private struct State {
        var queue = CircularBuffer<Request>()
        var threads: [StoreThread] = []
        var isStopping = false
    }

    /// At most this many requests share a transaction, so that none holds it long for the others.
    private static let longestRun = 32

    private let engine: Engine
    private let threadCount: Int
    /// Bytes after which a transaction ends.
    private let transactionByteCount: Int
    private let monitor = Monitor(State())

    init(engine: Engine, threadCount: Int, transactionByteCount: Int) throws(BlockstoreError) {
        self.engine = engine
        self.threadCount = max(1, threadCount)
        self.transactionByteCount = transactionByteCount
        for _ in 0..<self.threadCount {
            do throws(BlockstoreError) {
                let thread = try StoreThread { [monitor, engine, threadCount = self.threadCount] in
                    BlockReaders.run(monitor, engine, threadCount, transactionByteCount)
                }
                monitor.withLock { $0.threads.append(thread) }
            } catch {
                stop()
                throw error
            }
        }
    }

    /// Runs `body` in a read transaction on one of the threads.
    func read<R: Sendable>(
        _ body: @escaping @Sendable (inout ReadTransaction) throws(BlockstoreError) -> R
    ) async throws(BlockstoreError) -> R {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<R, BlockstoreError>, Never>) in
            let request = Request(
                run: { transaction in
                    do throws(BlockstoreError) {
                        continuation.resume(returning: .success(try body(&transaction)))
                    } catch {
                        continuation.resume(returning: .failure(error))
                    }
                },
                fail: { continuation.resume(returning: .failure($0)) })
            submit(request)
        }
        return try result.get()
    }

    private func submit(_ request: Request) {
        var isRefused = false
        monitor.signal { state in
            isRefused = state.isStopping
            if !isRefused { state.queue.append(request) }
            return !isRefused
        }
        if isRefused { request.fail(.closed(path: engine.path)) }
    }

    /// Requests that no thread has taken yet.
    var queuedCount: Int { monitor.withLock { $0.queue.count } }

    /// Answers what is queued, then ends the threads. Waits for them: not from one of them.
    func stop() {
        var threads: [StoreThread] = []
        monitor.broadcast { state in
            state.isStopping = true
            threads = state.threads
            state.threads = []
        }
        for thread in threads { thread.join() }
    }

    private static func run(
        _ monitor: Monitor<State>, _ engine: Engine, _ threadCount: Int, _ transactionByteCount: Int
    ) {
        while true {
            let requests = monitor.wait { (state, _) -> [Request]? in
                guard !state.queue.isEmpty else { return state.isStopping ? [] : nil }
                let share = min((state.queue.count + threadCount - 1) / threadCount, longestRun)
                let requests = Array(state.queue.prefix(share))
                state.queue.removeFirst(share)
                return requests
            }
            guard !requests.isEmpty else { return }
            var rest = requests[...]
            while !rest.isEmpty {
                do throws(BlockstoreError) {
                    try engine.read { (transaction) throws(BlockstoreError) in
                        repeat {
                            rest.removeFirst().run(&transaction)
                        } while !rest.isEmpty && transaction.byteCount < transactionByteCount
                    }
                } catch {
                    for request in rest { request.fail(error) }
                    break
                }
            }
        }
    }
}
