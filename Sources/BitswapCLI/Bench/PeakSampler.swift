import NIOConcurrencyHelpers

/// Watches how much memory of its own this process has, where the system keeps no peak of that.
struct PeakSampler: Sendable {
    private let peak = NIOLockedValueBox(0.0)
    private static let interval = Duration.milliseconds(50)

    /// Watches while `body` runs.
    func watch<R>(_ body: () async throws -> R) async throws -> R {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await run() }
            defer { group.cancelAll() }
            return try await body()
        }
    }

    /// Watches until the task is cancelled.
    func run() async {
        repeat { sample() } while (try? await Task.sleep(for: Self.interval)) != nil
    }

    /// The most bytes since the last call; nil where it cannot be told.
    func takePeak() -> Double? {
        sample()
        let peak = peak.withLockedValue { peak in
            defer { peak = 0 }
            return peak
        }
        return peak > 0 ? peak : nil
    }

    private func sample() {
        guard let bytes = Usage.now().privateBytes else { return }
        peak.withLockedValue { $0 = max($0, bytes) }
    }
}
