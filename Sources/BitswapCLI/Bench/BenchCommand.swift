import ArgumentParser
import NIOCore

/// Measures this machine: see ``PrimitiveCosts`` for what the ceiling is.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure how fast blocks go from one node to another on this machine.",
        discussion: """
            Two processes on loopback, from one LMDB store to another, every block hashed and stored. Before that, the \
            parts of the way by themselves: copying memory, the store, the cipher, the socket, the hash. What all \
            but the copying of memory cost one after the other, on a processor for each side, is the ceiling, which a \
            run is compared with.

            Needs room for the blocks, twice, in $TMPDIR. Other work on the machine spoils the numbers.
            """)

    @Option(help: ArgumentHelp("Sizes of blocks.", valueName: "bytes,…"))
    var blockSize = ByteCountsArgument(text: "1k,16k,256k,1m")

    @Option(
        help: ArgumentHelp("How many connections fetch at the same time. (default: 1,8)", valueName: "count,…"))
    var connections: CountsArgument?

    @Option(help: "How connections are secured; may be given several times. (default: each way there is)")
    var security: [BenchSecurity] = []

    @Option(
        help: ArgumentHelp(
            "Bytes of blocks in each run. (default: 256m, but not more than 65,536 blocks)", valueName: "bytes"))
    var bytes: ByteCountsArgument?

    @Option(help: "When the store that fetches has a block on the disk: at once, within a second, or at the end.")
    var durability = BenchDurability.synced

    @Option(help: ArgumentHelp("Run everything so often, and tell of the run in the middle.", valueName: "count"))
    var runs = 1

    @Flag(help: "All there is: 1, 8, 100 and 1,000 connections, 1 GiB in each run, five runs.")
    var full = false

    @Flag(inversion: .prefixedNo, help: "Measure the time of one small block as well.")
    var latency = true

    @Option(help: ArgumentHelp("Further blocks, of 16 bytes, in both stores.", valueName: "count"))
    var besides = 0

    @Option(help: ArgumentHelp("Draw the shares of the ceiling.", valueName: "file.svg"))
    var plot: String?

    @Option(
        help: ArgumentHelp(
            "Count allocations and copies, in runs of their own, with this library: make bench builds it.",
            valueName: "file.so"))
    var counter: String?

    @Flag(name: .customLong("json"), help: "Print one JSON object a line.")
    var printsJSON = false

    private static let blockSizes = BenchBlocks.smallestSize...(2 << 20)
    private static let mostConnections = 10_000

    private var connectionCounts: [Int] {
        get throws { try connections?.value() ?? (full ? [1, 8, 100, 1_000] : [1, 8]) }
    }

    func validate() throws {
        for size in try blockSize.value() where !Self.blockSizes.contains(size) {
            throw ValidationError("a block of \(size) bytes cannot be exchanged; choose from 16 to 2m")
        }
        for count in try connectionCounts where count > Self.mostConnections {
            throw ValidationError("\(count) connections are too many; choose up to \(Self.mostConnections)")
        }
        if let sizes = try bytes?.value(), sizes.count != 1 { throw ValidationError("--bytes is one number") }
        guard runs > 0 else { throw ValidationError("--runs must be at least 1") }
        guard besides >= 0 else { throw ValidationError("--besides must not be negative") }
    }

    func run() async throws {
        let plan = BenchPlan(
            blockSizes: try blockSize.value(), connections: try connectionCounts,
            securities: security.isEmpty ? BenchSecurity.allCases : security,
            bytes: try bytes?.value()[0] ?? (full ? 1 << 30 : nil))
        // Known to be writable before anything is measured.
        let plotFile = try plot.map { try OutputFile($0) }
        let directory = try TemporaryDirectory()
        defer { directory.remove() }
        let bench = Bench(
            plan: plan, repetitions: full ? max(5, runs) : runs, durability: durability, besides: besides,
            measuresLatency: latency, counter: counter, directory: directory.path, printsJSON: printsJSON)
        let report = try await cancelledBySignals { try await bench.run() }
        var results = Results()
        if !printsJSON { for line in report.lines { try results.line(line) } }
        try results.flush()
        if let plotFile {
            try plotFile.write(ByteBuffer(string: BenchPlot.svg(report.results)))
            try plotFile.commit()
        }
    }
}
