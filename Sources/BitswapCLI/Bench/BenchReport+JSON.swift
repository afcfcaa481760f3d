// One object a line: the machine, what the parts cost, and what came of each run.

extension BenchReport {
    static func json(_ machine: BenchMachine, _ durability: BenchDurability) -> JSON {
        .object([
            ("event", .string("machine")), ("processors", .integer(machine.processors)),
            ("processor", JSON(machine.processor)), ("system", .string(machine.system)),
            ("version", .string(machine.version)), ("durability", .string(durability.rawValue)),
        ])
    }

    static func json(_ costs: PrimitiveCosts, _ security: BenchSecurity, blockSize: Int, processors: Int) -> JSON {
        .object([
            ("event", .string("primitives")), ("blockSize", .integer(blockSize)),
            ("security", .string(security.rawValue)), ("memoryCopy", .number(costs.memoryCopy)),
            ("storeRead", .number(costs.storeRead)), ("seal", .number(costs.seal)),
            ("socketSend", .number(costs.socketSend)), ("socketReceive", .number(costs.socketReceive)),
            ("open", .number(costs.open)), ("hash", .number(costs.hash)), ("storeWrite", .number(costs.storeWrite)),
            ("server", .number(costs.server)), ("client", .number(costs.client)),
            ("ceilingBytesPerSecond", .number(costs.ceiling(processors: processors))),
        ])
    }

    static func json(_ result: BenchResult) -> JSON {
        func optional(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
        func side(_ usage: Usage, _ privatePeak: Double?, _ allocations: Double?, _ copies: Double?) -> JSON {
            .object([
                ("nanosecondsPerByte", .number(usage.processorNanoseconds / result.bytes)),
                ("peakBytes", optional(usage.peakBytes)), ("privatePeakBytes", optional(privatePeak)),
                ("allocationsPerBlock", optional(allocations)), ("copiesPerByte", optional(copies)),
            ])
        }
        return .object([
            ("event", .string("transfer")), ("blockSize", .integer(result.run.blockSize)),
            ("security", .string(result.run.security.rawValue)), ("connections", .integer(result.run.connections)),
            ("blocks", .integer(result.run.blockCount)), ("seconds", .number(result.wall / 1e9)),
            ("bytesPerSecond", .number(result.bytesPerSecond)), ("blocksPerSecond", .number(result.blocksPerSecond)),
            ("ceilingBytesPerSecond", .number(result.ceiling)), ("shareOfCeiling", .number(result.share)),
            (
                "server",
                side(
                    result.server, result.serverPrivatePeak, result.counted?.serverAllocations,
                    result.counted?.serverCopies)
            ),
            (
                "client",
                side(
                    result.client, result.clientPrivatePeak, result.counted?.clientAllocations,
                    result.counted?.clientCopies)
            ),
            ("timeToBlockMilliseconds", json(result.timeToBlock)), ("slowestOfMean", .number(result.slowest)),
            ("connectMilliseconds", .number(result.connecting / 1e6)),
            ("bytesPerIdleConnection", optional(result.bytesPerConnection)),
        ])
    }

    static func json(_ latency: BenchLatency) -> JSON {
        .object([
            ("event", .string("latency")), ("blockSize", .integer(latency.blockSize)),
            ("security", .string(latency.security.rawValue)), ("openMilliseconds", json(latency.elsewhere)),
            ("openOnLoopMilliseconds", json(latency.onLoop)), ("bareMilliseconds", json(latency.bare)),
            ("coldMilliseconds", json(latency.cold)),
        ])
    }

    /// In milliseconds.
    private static func json(_ times: Percentiles) -> JSON {
        .object([
            ("p50", .number(times.p50 / 1e6)), ("p90", .number(times.p90 / 1e6)), ("p99", .number(times.p99 / 1e6)),
            ("max", .number(times.most / 1e6)),
        ])
    }
}
