#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The time that something takes.
enum Measurement {
    /// The median of five trials, in nanoseconds a round. A trial is as many rounds as take that long, after one that does
    /// not count. What counts is the time that passes, as it does for a run: a machine that gives its processors to
    /// others meanwhile gives them away in both.
    static func nanoseconds(trial: Duration = .milliseconds(20), _ round: () throws -> Void) rethrows -> Double {
        try round()
        var trials: [Double] = []
        for _ in 0..<5 {
            var rounds = 0.0
            let began = ContinuousClock.now
            var time = Duration.zero
            repeat {
                try round()
                rounds += 1
                time = began.duration(to: .now)
            } while time < trial
            trials.append(time.nanoseconds / rounds)
        }
        return median(trials)
    }

    /// The time that this thread has had a processor, in nanoseconds.
    static func threadNanoseconds() -> Double {
        #if canImport(Darwin)
            return Double(clock_gettime_nsec_np(CLOCK_THREAD_CPUTIME_ID))
        #else
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
        #endif
    }

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        return sorted.isEmpty ? .nan : sorted[sorted.count / 2]
    }
}

extension Duration {
    var nanoseconds: Double { self / .nanoseconds(1) }
}

/// How a set of durations is spread, in nanoseconds.
struct Percentiles: Equatable {
    var p50: Double
    var p90: Double
    var p99: Double
    var most: Double

    /// The nearest rank: the smallest value that so many per cent of all do not exceed. NaN of nothing.
    init(_ durations: [Double]) {
        let sorted = durations.sorted()
        func rank(_ part: Double) -> Double {
            sorted.isEmpty
                ? .nan : sorted[min(sorted.count, max(1, Int((part * Double(sorted.count)).rounded(.up)))) - 1]
        }
        (p50, p90, p99, most) = (rank(0.5), rank(0.9), rank(0.99), rank(1))
    }

    init(_ line: BenchLine, _ name: String) {
        func value(_ part: String) -> Double { line.number(name + part) ?? .nan }
        (p50, p90, p99, most) = (value("50"), value("90"), value("99"), value("100"))
    }

    func write(to line: inout BenchLine, _ name: String) {
        line.set(name + "50", p50)
        line.set(name + "90", p90)
        line.set(name + "99", p99)
        line.set(name + "100", most)
    }
}
