/// Where the exchange gets its time from.
public struct TimeSource: Sendable {
    /// The time since an arbitrary, fixed start.
    public var now: @Sendable () -> Duration
    /// Suspends for a while; throws `CancellationError` when the task is cancelled.
    public var sleep: @Sendable (Duration) async throws -> Void

    public init(now: @escaping @Sendable () -> Duration, sleep: @escaping @Sendable (Duration) async throws -> Void) {
        self.now = now
        self.sleep = sleep
    }

    /// The system's clock that stands still while the machine sleeps.
    public static let monotonic: TimeSource = {
        let start = SuspendingClock.now
        return TimeSource(
            now: { SuspendingClock.now - start }, sleep: { try await Task.sleep(for: $0, clock: .suspending) })
    }()
}

/// A flag that one task waits for and anybody raises; raising it again before the task has seen it changes nothing.
struct Signal: Sendable {
    let raised: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        (raised, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func raise() { continuation.yield() }
    func end() { continuation.finish() }
}
