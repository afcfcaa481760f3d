import Bitswap
import Blockstore
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

/// The simulator itself: its time, its end, its determinism.
@Suite(.timeLimit(.minutes(5))) struct SimulationTests {
    @Test func timeJumpsFromEventToEventAndSleepersWakeInOrder() async throws {
        let order = try await Simulation.run(seed: 1) { simulation in
            let order = NIOLockedValueBox<[String]>([])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (name, hours) in [("c", 3), ("a", 1), ("b", 2), ("also c", 3)] {
                    group.addTask {
                        try await simulation.sleep(for: .seconds(3_600 * hours))
                        order.withLockedValue { $0.append("\(name) \(simulation.now)") }
                    }
                }
                try await group.waitForAll()
            }
            return order.withLockedValue { $0 }
        }
        #expect(order == ["a 3600.0 seconds", "b 7200.0 seconds", "c 10800.0 seconds", "also c 10800.0 seconds"])
    }

    @Test func nobodyWakesEarly() async throws {
        try await Simulation.run(seed: 1) { simulation in
            for attoseconds: Int64 in [1, 999_999_999, 1_000_000_000, 1_000_000_001] {
                let due = simulation.now + Duration(secondsComponent: 0, attosecondsComponent: attoseconds)
                try await simulation.sleep(for: due - simulation.now)
                #expect(simulation.now >= due)
                #expect(simulation.now < due + .nanoseconds(1))
            }
        }
    }

    @Test func aSleeperThatIsCancelledWakesAtOnce() async throws {
        try await Simulation.run(seed: 1) { simulation in
            await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await simulation.sleep(for: .seconds(10)) }
                await Task.yield()
                group.cancelAll()
                await #expect(throws: CancellationError.self) { try await group.next() }
            }
            #expect(simulation.now == .zero)
        }
    }

    @Test func whatTheBodyThrowsIsThrown() async throws {
        struct Failure: Error {}
        await #expect(throws: Failure.self) { try await Simulation.run(seed: 1) { _ in throw Failure() } }
    }

    @Test func cancellingTheCallerCancelsTheBody() async throws {
        let hasBegun = AsyncStream.makeStream(of: Void.self)
        await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await Simulation.run(seed: 1) { simulation in
                    hasBegun.continuation.finish()
                    // For ever, or nearly: there is always a next event.
                    while true { try await simulation.sleep(for: .nanoseconds(1)) }
                }
            }
            for await _ in hasBegun.stream {}
            group.cancelAll()
            await #expect(throws: CancellationError.self) { try await group.next() }
        }
    }

    @Test func aBodyThatWaitsForNothingThatCouldHappenIsReportedWithWhoWaitsForWhat() async throws {
        let error = await #expect(throws: SimulationError.self) {
            try await Simulation.run(seed: 17, replay: "make it so") { simulation in
                let (a, b) = (simulation.scriptedPeer(), simulation.node())
                simulation.connect(a, b)
                try await simulation.until("pigs fly") { false }
            }
        }
        #expect(error?.code == .stuck)
        #expect(error?.seed == 17)
        #expect(error?.waiting == ["the body waits until pigs fly"])
        #expect(error?.description.contains("again: make it so") == true)
    }

    @Test func aBodyThatWaitsForTheSystemsClockIsReportedAndCancelled() async throws {
        let error = await #expect(throws: SimulationError.self) {
            try await Simulation.run(seed: 17) { _ in try await Task.sleep(for: .seconds(3_600)) }
        }
        #expect(error?.code == .stuck)
    }

    @Test func aBodyThatTakesTooLongIsReportedWithWhatTheNodesWant() async throws {
        let absent = madeUpBlocks(1, bytes: 100, seed: 9)[0].cid
        var configuration = Simulation.Configuration()
        configuration.timeLimit = .seconds(100)
        let error = await #expect(throws: SimulationError.self) {
            try await Simulation.run(seed: 3, configuration: configuration) { simulation in
                let (a, b) = (simulation.node(), simulation.node())
                simulation.connect(a, b)
                _ = try await b.exchange.want(absent)
            }
        }
        #expect(error?.code == .timeLimit)
        #expect(error?.waiting.count == 1)
        #expect(error?.waiting.first?.hasPrefix("node 1 wants 1 blocks (\(absent))") == true)
        #expect(error?.replay.contains("SIMULATION_SEED=3 ") == true)
    }

    @Test func aBodyThatSpinsIsGivenUp() async throws {
        var configuration = Simulation.Configuration()
        configuration.stepLimit = 10_000
        let error = await #expect(throws: SimulationError.self) {
            try await Simulation.run(seed: 3, configuration: configuration) { simulation in
                while !Task.isCancelled { await Task.yield() }
            }
        }
        #expect(error?.code == .stepLimit)
    }

    @Test func theSameSeedGivesTheSameRunAndAnotherSeedAnother() async throws {
        let first = try await Self.aRunWithFaults(seed: 17)
        let again = try await Self.aRunWithFaults(seed: 17)
        let other = try await Self.aRunWithFaults(seed: 18)
        #expect(first == again)
        #expect(first != other)
    }

    @Test func theNetworkAloneDoesTheSameWithTheSameSeedAndAnotherWithAnother() async throws {
        let first = try await Self.aRunOfTheNetworkAlone(seed: 17)
        let again = try await Self.aRunOfTheNetworkAlone(seed: 17)
        let other = try await Self.aRunOfTheNetworkAlone(seed: 18)
        #expect(first == again)
        #expect(first != other)
    }

    /// Scripted peers that send each other messages over links that break.
    static func aRunOfTheNetworkAlone(seed: UInt64) async throws -> UInt64 {
        try await Simulation.run(seed: seed) { simulation in
            let peers = (0..<5).map { _ in simulation.scriptedPeer(uplink: 200_000, downlink: 400_000) }
            for a in peers.indices {
                for b in 0..<a {
                    simulation.connect(peers[a], peers[b])
                    simulation.letBreak(peers[a], peers[b], meanUptime: .seconds(2), meanDowntime: .seconds(1))
                }
            }
            simulation.letComeAndGo(peers[0], meanStay: .seconds(3), meanAbsence: .seconds(1))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for peer in peers {
                    group.addTask {
                        for _ in 0..<50 {
                            let other = peers[Int.random(in: 0..<5, using: &simulation.random)]
                            let bytes = Int.random(in: 1...100_000, using: &simulation.random)
                            try? peer.send(ByteBuffer(repeating: 1, count: bytes), to: other)
                            try await simulation.sleep(for: simulation.random.exponential(mean: .seconds(1)))
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(peers.allSatisfy { $0.traffic.bytesReceived > 0 })
            return simulation.traceHash
        }
    }

    /// Some nodes that fetch from each other over links that break.
    static func aRunWithFaults(seed: UInt64) async throws -> UInt64 {
        try await Simulation.run(seed: seed) { simulation in
            let blocks = madeUpBlocks(40, bytes: 5_000, seed: seed)
            let nodes = (0..<6).map { _ in simulation.node(uplink: 200_000, downlink: 400_000) }
            try await nodes[0].store.put(blocks)
            for (index, a) in nodes.enumerated() {
                for b in nodes[..<index] {
                    let latency = Duration.milliseconds(Int.random(in: 5...50, using: &simulation.random))
                    simulation.connect(a, b, LinkProperties(latency: latency))
                    simulation.letBreak(a, b, meanUptime: .seconds(2), meanDowntime: .milliseconds(500))
                }
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for node in nodes.dropFirst() {
                    for block in blocks { group.addTask { _ = try await node.exchange.want(block.cid) } }
                }
                try await group.waitForAll()
            }
            return simulation.traceHash
        }
    }
}

/// Blocks of random bytes.
func madeUpBlocks(_ count: Int, bytes: Int, seed: UInt64) -> [Block] {
    var random = SplitMix64(seed: seed)
    return (0..<count).map { _ in
        do { return try Block(ByteBuffer(bytes: random.bytes(bytes))) } catch {
            preconditionFailure("a raw block has a CID: \(error)")
        }
    }
}
