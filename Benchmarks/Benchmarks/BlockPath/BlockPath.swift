import Benchmark
import Parts

/// The parts of a block's way, each by itself. Throughput is rounds a second; a name says what a round is.
let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .cpuTotal, .throughput, .peakMemoryResident], maxDuration: .seconds(1))
    for part in allParts {
        let bench = WorkBench(part)
        Benchmark(
            part.name, configuration: .init(scalingFactor: part.isShort ? .kilo : .one),
            closure: { benchmark in
                let rounds = benchmark.scaledIterations.count
                let work = try await bench.work(rounds)
                benchmark.startMeasurement()
                try await work.run(rounds)
                benchmark.stopMeasurement()
            }, teardown: { try await bench.clear() })
    }
}

/// Keeps what a part has made from one measurement to the next.
// Sendable: the benchmarks run one after the other.
private final class WorkBench: @unchecked Sendable {
    private let part: Part
    private var made: Work?

    init(_ part: Part) { self.part = part }

    func work(_ rounds: Int) async throws -> Work {
        let work: Work
        if let made {
            work = made
        } else {
            work = try await part.make()
            made = work
        }
        try await work.prepare(rounds)
        return work
    }

    func clear() async throws {
        try await made?.end()
        made = nil
    }
}
