import ArgumentParser
import Blockstore
import NIOCore
import Testing

@testable import BitswapCLI

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite(.timeLimit(.minutes(1))) struct BenchTests {
    @Test func aLineComesBackAsItWas() throws {
        var line = BenchLine("fetched")
        line.set("wall", 1.5e9)
        line.set("address", "/ip4/127.0.0.1/tcp/1")
        line.set("peak", nil as Double?)
        let parsed = try #require(BenchLine(parsing: line.description))
        #expect(parsed == line)
        #expect(parsed.word == "fetched")
        #expect(parsed.number("wall") == 1.5e9)
        #expect(parsed.text("address") == "/ip4/127.0.0.1/tcp/1")
        #expect(parsed.text("peak") == nil)
        #expect(BenchLine(parsing: "") == nil)
        #expect(BenchLine(parsing: "word field") == nil)
    }

    @Test func usageComesBackAsItWas() throws {
        let usage = Usage(processorNanoseconds: 12, peakBytes: 3, privateBytes: nil, allocations: 4, copiedBytes: 5)
        var line = BenchLine("usage")
        usage.write(to: &line)
        #expect(try Usage(#require(BenchLine(parsing: line.description))) == usage)
        #expect(throws: CommandFailure.self) { try Usage(BenchLine("usage")) }
    }

    @Test func usageBetweenTwoMomentsHasTheLaterPeaks() {
        let before = Usage(processorNanoseconds: 10, peakBytes: 100, privateBytes: 50, allocations: 7, copiedBytes: nil)
        let after = Usage(processorNanoseconds: 35, peakBytes: 120, privateBytes: 40, allocations: 9, copiedBytes: 1)
        #expect(
            after - before
                == Usage(
                    processorNanoseconds: 25, peakBytes: 120, privateBytes: 40, allocations: 2, copiedBytes: nil))
        let now = Usage.now()
        #expect(now.processorNanoseconds > 0)
        #expect(now.allocations == nil)
    }

    @Test func percentilesAreOfTheNearestRank() {
        let hundred = Percentiles((1...100).shuffled().map(Double.init))
        #expect((hundred.p50, hundred.p90, hundred.p99, hundred.most) == (50, 90, 99, 100))
        let one = Percentiles([7])
        #expect((one.p50, one.p90, one.p99, one.most) == (7, 7, 7, 7))
        #expect(Percentiles([]).p50.isNaN)
        var line = BenchLine("times")
        hundred.write(to: &line, "block")
        #expect(Percentiles(line, "block") == hundred)
    }

    @Test func theCeilingIsThatOfTheSlowerSideOrOfBothOnOneProcessor() {
        let costs = PrimitiveCosts(
            memoryCopy: 9, socketSend: 0.5, socketReceive: 0.25, seal: 0.25, open: 0.5, hash: 0.75, storeRead: 0.25,
            storeWrite: 0.5)
        #expect(costs.server == 1)
        #expect(costs.client == 2)
        #expect(costs.ceiling(processors: 2) == 0.5e9)
        #expect(costs.ceiling(processors: 64) == 0.5e9)
        #expect(costs.ceiling(processors: 1) == 1e9 / 3)
    }

    @Test(arguments: [16, 17, 23, 24, 29, 1 << 10, 1 << 20]) func blocksAreAsLargeAsToldAndAllDifferent(size: Int)
        throws
    {
        let blocks = try BenchBlocks(size: size).blocks(5..<37)
        #expect(blocks.allSatisfy { $0.bytes.readableBytes == size })
        #expect(Set(blocks.map(\.cid)).count == blocks.count)
        #expect(try BenchBlocks(size: size).block(5) == blocks[0])
    }

    @Test func aPlanGivesEveryConnectionSome() {
        let plan = BenchPlan(blockSizes: [1 << 10, 1 << 20], connections: [1, 1_000], securities: [.noise])
        #expect(plan.runs(of: 1 << 10).map(\.blockCount) == [65_536, 65_536])
        #expect(plan.runs(of: 1 << 20).map(\.blockCount) == [256, 4_000])
        #expect(plan.runs(of: 256 << 10).map(\.blockCount) == [1_024, 16_000])
        #expect(plan.runs(of: 1 << 20).map(\.connections) == [1, 1_000])
        #expect(plan.blockCount(of: 1 << 20) == 4_000)
        var told = plan
        told.bytes = 1 << 30
        #expect(told.runs(of: 1 << 10).map(\.blockCount) == [1 << 20, 1 << 20])
        told.bytes = 1
        #expect(told.runs(of: 1 << 20).map(\.blockCount) == [4, 4_000])
    }

    @Test func listsOfNumbersAreChecked() throws {
        #expect(
            try ByteCountsArgument(text: "29,1k,256K,1.5m,2g,1MB").value()
                == [29, 1 << 10, 256 << 10, 3 << 19, 2 << 30, 1_000_000])
        for text in ["", ",", "0", "-1k", "0.1", "1t", "1k,", "k", "99999999999g"] {
            #expect(throws: ValidationError.self, "\(text)") { try ByteCountsArgument(text: text).value() }
        }
        #expect(try CountsArgument(text: "1,8,100").value() == [1, 8, 100])
        for text in ["", "0", "1,", "-1", "x"] {
            #expect(throws: ValidationError.self, "\(text)") { try CountsArgument(text: text).value() }
        }
    }

    @Test(arguments: [
        ["--block-size", "8"], ["--block-size", "4m"], ["--connections", "10001"], ["--bytes", "1k,2k"],
        ["--runs", "0"], ["--besides", "-1"], ["--security", "plaintext"], ["--durability", "none"],
    ])
    func badUsageIsFoundWhileParsing(arguments: [String]) {
        let error = #expect(throws: (any Error).self) { try BitswapCommand.parseAsRoot(["bench"] + arguments) }
        #expect(error.map(BitswapCommand.exitCode(for:)) == .validationFailure)
    }

    private func result(size: Int, share: Double, connections: Int = 1) -> BenchResult {
        let times = Percentiles([1e6])
        return BenchResult(
            run: .init(blockSize: size, blockCount: 10, security: .noise, connections: connections),
            wall: 1e9, server: Usage(processorNanoseconds: 1e3), client: Usage(processorNanoseconds: 2e3),
            timeToBlock: times, slowest: 1, connecting: 1, ceiling: Double(10 * size) / share)
    }

    @Test func theRunInTheMiddleIsTold() {
        let results = [3.0, 1, 2].map { wall in
            var result = result(size: 1 << 10, share: 0.5)
            result.wall = wall
            return result
        }
        #expect(BenchResult.median(results)?.wall == 2)
        #expect(BenchResult.median([]) == nil)
        #expect(results[1].bytesPerSecond == 10_240e9)
    }

    @Test func whatWasFoundIsToldAsTextAndAsJSON() {
        var report = BenchReport(
            machine: BenchMachine(processors: 2, processor: "Abacus", system: "None", version: "0"),
            durability: .synced)
        report.results = [result(size: 1 << 10, share: 0.5)]
        #expect(report.lines.first == "0, 2 processors (Abacus), None, stores synced")
        #expect(report.lines.contains { $0.hasPrefix("1 KiB") && $0.contains("0.50") })
        let json = BenchReport.json(report.results[0]).description
        #expect(json.contains(#""blockSize":1024"#) && json.contains(#""shareOfCeiling":0.5"#))
        #expect(json.contains(#""allocationsPerBlock":null"#))
    }

    @Test func theDrawingHasALineForEachNumberOfConnections() {
        let results = [1 << 10, 1 << 18].flatMap { size in
            [1, 8].map { result(size: size, share: 0.25 * Double($0), connections: $0) }
        }
        let svg = BenchPlot.svg(results)
        #expect(svg.split(separator: "\n").count { $0.hasPrefix("<polyline") } == 2)
        #expect(svg.split(separator: "\n").count { $0.hasPrefix("<circle") } == 4)
        #expect(svg.contains(">200 %<") && svg.contains(">256 KiB<") && svg.contains(">noise, 8<"))
        #expect(svg.hasSuffix("</svg>\n"))
        #expect(BenchPlot.svg([]).contains(">100 %<"))
    }

    @Test func aTreeIsRemovedAndALinkOutOfItIsNotFollowed() throws {
        let kept = try TemporaryDirectory()
        defer { kept.remove() }
        let file = try OutputFile(kept.path + "/file")
        try file.commit()
        let directory = try TemporaryDirectory()
        #expect(symlink(kept.path, directory.path + "/link") == 0)
        #expect(mkdir(directory.path + "/inner", 0o700) == 0)
        try OutputFile(directory.path + "/inner/file").commit()
        directory.remove()
        #expect(access(directory.path, F_OK) != 0)
        #expect(access(kept.path + "/file", F_OK) == 0)
    }

    @Test func columnsOfNumbersEndBelowEachOther() {
        var table = Table(numbersFrom: 1)
        table.row("block", "MB/s", "x")
        table.row(["1 KiB", "7", "1,000"])
        #expect(table.lines == ["block  MB/s      x", "1 KiB     7  1,000"])
        #expect(Quantity.fixed(1234.5678, 0) == "1,235")
        #expect(Quantity.fixed(-0.0625, 3) == "-0.063")
        #expect(Quantity.fixed(0.5, 1) == "0.5")
    }
}
