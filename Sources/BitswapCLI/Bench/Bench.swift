import Blockstore
import Multiformats
import NIOCore

/// Carries a plan out: fills stores, measures the parts, starts the two sides of every run and asks them what it took.
struct Bench: Sendable {
    let plan: BenchPlan
    let repetitions: Int
    let durability: BenchDurability
    let besides: Int
    let measuresLatency: Bool
    let counter: String?
    /// Everything is made in here.
    let directory: String
    let printsJSON: Bool

    /// The blocks whose time is measured one by one: how many on an open connection, and how many from nothing.
    private static let (singleCount, coldCount) = (4_000, 40)
    private static let smallBlock = 29
    /// What runs with counting are limited to.
    private static let (countedBytes, countedBlocks) = (64 << 20, 8_192)
    /// Bytes of blocks that all connections together have asked for, but each for two blocks at least.
    private static let askedBytes = 32 << 20
    /// With fewer idle connections it cannot be told what one takes.
    private static let tellingConnections = 100

    func run() async throws -> BenchReport {
        var report = BenchReport(machine: .current, durability: durability)
        try say(BenchReport.json(report.machine, durability))
        if besides > 0 { try await makeBesides() }
        for size in plan.blockSizes {
            let served = try await fill(size: size, count: plan.blockCount(of: size))
            defer { removeTree(served.store) }
            let costs = try await primitives(served)
            for security in plan.securities {
                guard let costs = costs[security] else { continue }
                report.costs.append((size, security, costs))
                try say(BenchReport.json(costs, security, blockSize: size, processors: report.machine.processors))
            }
            for run in plan.runs(of: size) {
                guard let costs = costs[run.security] else { continue }
                let result = try await median(
                    of: run, served, ceiling: costs.ceiling(processors: report.machine.processors))
                report.results.append(result)
                try say(BenchReport.json(result))
            }
        }
        if measuresLatency {
            let served = try await fill(size: Self.smallBlock, count: Self.singleCount + Self.coldCount)
            for security in plan.securities {
                let latency = try await measureLatency(security, served)
                report.latencies.append(latency)
                try say(BenchReport.json(latency))
            }
        }
        return report
    }

    private func say(_ json: JSON) throws {
        guard printsJSON else { return }
        var results = Results()
        try results.line(json)
        try results.flush()
    }

    // MARK: Stores

    private struct Served {
        var blockSize: Int
        var blockCount: Int
        var store: String
        /// A file of the blocks' CIDs, a line each.
        var cids: String
    }

    private var besidesPath: String { directory + "/besides" }

    private func makeBesides() async throws {
        Console.narrate("storing \(Quantity.count(besides, "further block"))")
        let store = try Self.openUnsynced(besidesPath)
        let first = 1 << 50
        try await BenchBlocks(size: BenchBlocks.smallestSize).put(first..<first + besides, into: store) { _ in }
        try await store.close()
    }

    private static func openUnsynced(_ path: String) throws -> LMDBBlockstore {
        var configuration = LMDBBlockstore.Configuration()
        configuration.durability = .background(interval: .seconds(1))
        return try LMDBBlockstore(path: path, configuration: configuration)
    }

    private func fill(size: Int, count: Int) async throws -> Served {
        Console.narrate("storing \(Quantity.count(count, "block")) of \(BenchReport.sizeText(size))")
        let served = Served(
            blockSize: size, blockCount: count, store: "\(directory)/served-\(size)", cids: "\(directory)/cids-\(size)")
        if besides > 0 { try copyStore(from: besidesPath, to: served.store) }
        let store = try Self.openUnsynced(served.store)
        let file = try OutputFile(served.cids)
        var lines = ByteBuffer()
        try await BenchBlocks(size: size).put(0..<count, into: store) { cid in
            lines.writeString("\(cid)\n")
            if lines.readableBytes >= 1 << 20 {
                try file.write(lines)
                lines.clear()
            }
        }
        try file.write(lines)
        try file.commit()
        try await store.close()
        return served
    }

    private func primitives(_ served: Served) async throws -> [BenchSecurity: PrimitiveCosts] {
        Console.narrate("measuring the parts with blocks of \(BenchReport.sizeText(served.blockSize))")
        let store = try LMDBBlockstore(path: served.store)
        let primitives = Primitives(
            blocks: BenchBlocks(size: served.blockSize), durability: durability.durability, directory: directory)
        let costs = try await primitives.measure(reading: store, count: served.blockCount)
        try await store.close()
        return costs
    }

    // MARK: Runs

    private func median(of run: BenchPlan.Run, _ served: Served, ceiling: Double) async throws -> BenchResult {
        var results: [BenchResult] = []
        for number in 1...repetitions {
            let round = repetitions > 1 ? ", run \(number) of \(repetitions)" : ""
            Console.narrate(
                "fetching \(Quantity.count(run.blockCount, "block")) of \(BenchReport.sizeText(run.blockSize)) over "
                    + "\(Quantity.count(run.connections, "connection")) (\(run.security.rawValue))\(round)")
            results.append(try await transfer(run, served, ceiling: ceiling))
        }
        guard var result = BenchResult.median(results) else { throw CancellationError() }
        if let counter {
            Console.narrate("counting allocations and copies")
            result.counted = try await count(run, served, counter: counter)
        }
        return result
    }

    private func transfer(_ run: BenchPlan.Run, _ served: Served, ceiling: Double) async throws -> BenchResult {
        try await withSides(run, served) { server, startClient in
            let alone = try await usage(server)
            let (client, connected) = try await startClient()
            let before = try await usage(server)
            let fetched = try await self.fetched(run, by: client)
            let after = try await usage(server)
            let perConnection: Double? =
                if run.connections >= Self.tellingConnections, let one = before.usage.privateBytes,
                    let other = alone.usage.privateBytes
                { (one - other) / Double(run.connections) } else { nil }
            return BenchResult(
                run: run, wall: fetched.number("wall") ?? .nan, server: after.usage - before.usage,
                client: try Usage(fetched), serverPrivatePeak: after.line.number("privatePeak"),
                clientPrivatePeak: fetched.number("privatePeak"), timeToBlock: Percentiles(fetched, "block"),
                slowest: fetched.number("slowest") ?? .nan, connecting: connected.number("nanoseconds") ?? .nan,
                bytesPerConnection: perConnection, ceiling: ceiling, counted: nil)
        }
    }

    private func count(
        _ run: BenchPlan.Run, _ served: Served, counter: String
    ) async throws -> BenchResult.Counted? {
        var run = run
        run.blockCount = min(
            run.blockCount, max(run.connections, min(Self.countedBytes / run.blockSize, Self.countedBlocks)))
        let environment = ["LD_PRELOAD": counter]
        return try await withSides(run, served, environment: environment) { server, startClient in
            let (client, _) = try await startClient()
            let before = try await usage(server).usage
            let fetched = try Usage(await self.fetched(run, by: client))
            let used = try await usage(server).usage - before
            guard let serverAllocations = used.allocations, let clientAllocations = fetched.allocations,
                let serverCopied = used.copiedBytes, let clientCopied = fetched.copiedBytes
            else { throw CommandFailure(message: "\(counter) counts nothing; build it with: make bench") }
            let blocks = Double(run.blockCount)
            let bytes = blocks * Double(run.blockSize)
            return BenchResult.Counted(
                serverAllocations: serverAllocations / blocks, clientAllocations: clientAllocations / blocks,
                serverCopies: serverCopied / bytes, clientCopies: clientCopied / bytes)
        }
    }

    private func measureLatency(_ security: BenchSecurity, _ served: Served) async throws -> BenchLatency {
        Console.narrate("fetching single blocks (\(security.rawValue))")
        let run = BenchPlan.Run(
            blockSize: served.blockSize, blockCount: served.blockCount, security: security, connections: 1)
        // With a store that is synced it would be the disk that is measured.
        return try await withSides(run, served, durability: .background) { _, startClient in
            let (client, _) = try await startClient()
            var single = BenchLine("single")
            single.set("count", Self.singleCount)
            var cold = BenchLine("cold")
            cold.set("count", Self.coldCount)
            let one = try await client.ask(single, for: "single")
            let other = try await client.ask(cold, for: "cold")
            return BenchLatency(
                security: security, blockSize: served.blockSize, elsewhere: Percentiles(one, "elsewhere"),
                onLoop: Percentiles(one, "loop"), bare: Percentiles(one, "bare"), cold: Percentiles(other, "block"))
        }
    }

    // MARK: The two sides

    /// Lets the client fetch; what it tells of that.
    private func fetched(_ run: BenchPlan.Run, by client: BenchProcess) async throws -> BenchLine {
        let line = try await client.ask(BenchLine("fetch"), for: "fetched")
        let stored = (line.number("blocks"), line.number("bytes"))
        guard stored.0 == Double(run.blockCount), stored.1 == Double(run.blockCount * run.blockSize) else {
            throw CommandFailure(message: "not all blocks of the benchmark are stored in the end: \(line)")
        }
        return line
    }

    private func usage(_ server: BenchProcess) async throws -> (usage: Usage, line: BenchLine) {
        let line = try await server.ask(BenchLine("usage"), for: "usage")
        return (try Usage(line), line)
    }

    /// Runs a server, and a client with an empty store once `body` asks for it. Both are gone afterwards.
    private func withSides<R>(
        _ run: BenchPlan.Run, _ served: Served, durability: BenchDurability? = nil, environment: [String: String] = [:],
        _ body: (BenchProcess, () async throws -> (BenchProcess, BenchLine)) async throws -> R
    ) async throws -> R {
        let security = ["--security", run.security.rawValue, "--connections", "\(run.connections)"]
        let server = try BenchProcess(
            "server", arguments: ["bench-server", "--store", served.store] + security, environment: environment)
        defer { server.end() }
        let listening = try await server.answer("listening")
        guard let address = listening.text("address"), let bare = listening.text("bare") else {
            throw CommandFailure(message: "the server of the benchmark does not say where it listens")
        }
        let fetched = directory + "/fetched"
        var client: BenchProcess?
        defer {
            client?.end()
            removeTree(fetched)
        }
        return try await body(server) {
            if besides > 0 { try copyStore(from: besidesPath, to: fetched) }
            let started = try BenchProcess(
                "client",
                arguments: [
                    "bench-client", "--store", fetched, "--cids", served.cids, "--address", address, "--bare", bare,
                    "--blocks", "\(run.blockCount)",
                    "--asked", "\(max(Self.askedBytes / run.connections, 2 * run.blockSize))",
                    "--durability", (durability ?? self.durability).rawValue,
                ] + security, environment: environment)
            client = started
            return (started, try await started.answer("connected"))
        }
    }
}
