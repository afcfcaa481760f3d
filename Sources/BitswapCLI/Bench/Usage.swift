#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// What a process has used so far.
struct Usage: Equatable {
    /// Nanoseconds of all processors together, in the program and in the kernel for it.
    var processorNanoseconds: Double
    /// The most bytes of memory at a time, pages of files and so of the store among them; nil where it cannot be told.
    var peakBytes: Double?
    /// Bytes of memory now that are no pages of files.
    var privateBytes: Double?
    /// Calls of `malloc` and its like, and bytes that `memcpy` and its like have copied; nil unless they are counted.
    var allocations: Double?
    var copiedBytes: Double?

    static func now() -> Usage {
        var times = rusage()
        #if canImport(Glibc)
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &times)
        #else
            getrusage(RUSAGE_SELF, &times)
        #endif
        let counts = CallCounts.now()
        return Usage(
            processorNanoseconds: nanoseconds(times.ru_utime) + nanoseconds(times.ru_stime),
            peakBytes: status("VmHWM"), privateBytes: status("RssAnon"), allocations: counts?.allocations,
            copiedBytes: counts?.copiedBytes)
    }

    private static func nanoseconds(_ time: timeval) -> Double {
        Double(time.tv_sec) * 1e9 + Double(time.tv_usec) * 1e3
    }

    /// A number of /proc/self/status, in bytes.
    private static func status(_ name: String) -> Double? {
        guard let file = fopen("/proc/self/status", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = line.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
            guard text.hasPrefix(name + ":") else { continue }
            return text.split { $0 == " " || $0 == "\t" }.dropFirst().first.flatMap { Double($0) }.map { $0 * 1024 }
        }
        return nil
    }

    /// What was used between two moments. Peaks and present sizes are those of the later one.
    static func - (later: Usage, earlier: Usage) -> Usage {
        func difference(_ value: KeyPath<Usage, Double?>) -> Double? {
            guard let a = later[keyPath: value], let b = earlier[keyPath: value] else { return nil }
            return a - b
        }
        var used = later
        used.processorNanoseconds -= earlier.processorNanoseconds
        used.allocations = difference(\.allocations)
        used.copiedBytes = difference(\.copiedBytes)
        return used
    }

    func write(to line: inout BenchLine) {
        line.set("processor", processorNanoseconds)
        line.set("peak", peakBytes)
        line.set("private", privateBytes)
        line.set("allocations", allocations)
        line.set("copied", copiedBytes)
    }

    init(_ line: BenchLine) throws {
        guard let processor = line.number("processor") else {
            throw CommandFailure(message: "a process of the benchmark does not say what it has used")
        }
        self.init(
            processorNanoseconds: processor, peakBytes: line.number("peak"), privateBytes: line.number("private"),
            allocations: line.number("allocations"), copiedBytes: line.number("copied"))
    }

    init(
        processorNanoseconds: Double, peakBytes: Double? = nil, privateBytes: Double? = nil, allocations: Double? = nil,
        copiedBytes: Double? = nil
    ) {
        self.processorNanoseconds = processorNanoseconds
        self.peakBytes = peakBytes
        self.privateBytes = privateBytes
        self.allocations = allocations
        self.copiedBytes = copiedBytes
    }
}

/// The counters of `Benchmarks/Counter/counter.c`, which are there when that was loaded before everything else.
private struct CallCounts {
    var allocations: Double
    var copiedBytes: Double

    private typealias Read = @convention(c) (UnsafeMutablePointer<UInt64>) -> Void
    private static let read: Read? = {
        guard let program = dlopen(nil, RTLD_NOW), let symbol = dlsym(program, "bitswap_counts") else { return nil }
        return unsafeBitCast(symbol, to: Read.self)
    }()

    static func now() -> CallCounts? {
        guard let read else { return nil }
        var counts: [UInt64] = [0, 0, 0, 0]
        read(&counts)
        return CallCounts(allocations: Double(counts[0]), copiedBytes: Double(counts[3]))
    }
}

/// Lets this process have as many files open as it may.
func raiseFileLimit() {
    #if canImport(Glibc)
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
        let files = RLIMIT_NOFILE
    #endif
    var limit = rlimit()
    guard getrlimit(files, &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(files, &limit)
}
