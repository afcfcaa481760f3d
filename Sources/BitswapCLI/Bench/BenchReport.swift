/// What a benchmark found, for people and for programs.
struct BenchReport {
    var machine: BenchMachine
    var durability: BenchDurability
    var costs: [(blockSize: Int, security: BenchSecurity, costs: PrimitiveCosts)] = []
    var results: [BenchResult] = []
    var latencies: [BenchLatency] = []

    // MARK: Text

    var lines: [String] {
        var lines = ["\(machine), stores \(durability.rawValue)", ""]
        if !costs.isEmpty { lines += ["What the parts cost by themselves, ns a byte:"] + costLines + [""] }
        if !results.isEmpty { lines += ["From one store to another, every block hashed:"] + resultLines + [""] }
        if !latencies.isEmpty { lines += ["One block, in microseconds, stored without a sync:"] + latencyLines + [""] }
        return lines.dropLast()
    }

    private var costLines: [String] {
        var table = Table(numbersFrom: 2)
        table.row(
            "block", "security", "copy", "read", "seal", "send", "receive", "open", "hash", "write", "server", "client",
            "ceiling MB/s")
        for (size, security, costs) in costs {
            let numbers = [
                costs.memoryCopy, costs.storeRead, costs.seal, costs.socketSend, costs.socketReceive, costs.open,
                costs.hash, costs.storeWrite, costs.server, costs.client,
            ]
            table.row(
                [Self.sizeText(size), security.rawValue] + numbers.map { number($0, 3) } + [
                    number(costs.ceiling(processors: machine.processors) / 1e6, 0)
                ])
        }
        return table.lines
    }

    private var resultLines: [String] {
        let isCounted = results.contains { $0.counted != nil }
        var table = Table(numbersFrom: 2)
        table.row(
            [
                "block", "security", "connections", "MB/s", "blocks/s", "of ceiling", "server ns/B", "client ns/B",
                "p50 ms", "p90", "p99", "server MiB", "client MiB", "slowest",
            ] + (isCounted ? ["mallocs a block", "copies"] : []))
        for result in results {
            let peaks = [result.serverPrivatePeak, result.clientPrivatePeak].map { $0.map { $0 / 1_048_576 } }
            var cells = [
                Self.sizeText(result.run.blockSize), result.run.security.rawValue, "\(result.run.connections)",
                number(result.bytesPerSecond / 1e6, 1), number(result.blocksPerSecond, 0),
                number(result.share, 2), number(result.serverNanosecondsPerByte, 2),
                number(result.clientNanosecondsPerByte, 2), number(result.timeToBlock.p50 / 1e6, 2),
                number(result.timeToBlock.p90 / 1e6, 2), number(result.timeToBlock.p99 / 1e6, 2),
                number(peaks[0], 0), number(peaks[1], 0), number(result.slowest, 2),
            ]
            if let counted = result.counted {
                cells += [
                    "\(number(counted.serverAllocations, 1)) + \(number(counted.clientAllocations, 1))",
                    "\(number(counted.serverCopies, 2)) + \(number(counted.clientCopies, 2))",
                ]
            }
            table.row(cells)
        }
        let idle = results.compactMap { result in
            result.bytesPerConnection.map {
                "\(result.run.connections) idle connections (\(result.run.security.rawValue)) take "
                    + "\(number($0 / 1024, 1)) KiB each of the server"
            }
        }
        // It hardly depends on the size of blocks that nobody has asked for yet.
        return table.lines + idle.prefix(4)
    }

    private var latencyLines: [String] {
        var table = Table(numbersFrom: 2)
        table.row(
            "block", "security", "open p50", "p90", "p99", "on loop p50", "p90", "p99", "bare p50", "p90", "p99",
            "open/bare", "on loop/bare", "cold p50", "p90", "p99")
        for latency in latencies {
            func cells(_ times: Percentiles) -> [String] {
                [times.p50, times.p90, times.p99].map { number($0 / 1e3, 0) }
            }
            let ratios = [latency.elsewhere, latency.onLoop].map { number($0.p50 / latency.bare.p50, 2) }
            table.row(
                [Self.sizeText(latency.blockSize), latency.security.rawValue] + cells(latency.elsewhere)
                    + cells(latency.onLoop) + cells(latency.bare) + ratios + cells(latency.cold))
        }
        return table.lines
    }

    /// `1 KiB`, `1 MiB`, `29 bytes`
    static func sizeText(_ count: Int) -> String {
        if count.isMultiple(of: 1 << 20) { return "\(count >> 20) MiB" }
        return count.isMultiple(of: 1 << 10) ? "\(count >> 10) KiB" : Quantity.count(count, "byte")
    }

    private func number(_ value: Double?, _ places: Int) -> String {
        value.map { $0.isFinite ? Quantity.fixed($0, places) : "-" } ?? "-"
    }
}
