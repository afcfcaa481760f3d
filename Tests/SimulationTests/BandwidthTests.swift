import Bitswap
import Blockstore
import TestSupport
import Testing

/// Budgets of bytes a second, on lines that would carry a hundred times as many.
@Suite(.timeLimit(.minutes(5))) struct BandwidthTests {
    private static let blocks = madeUpBlocks(64, bytes: 64 << 10, seed: 7)
    private static let megabyte = 1 << 20

    /// How long so many clients take, each to fetch all 4 MiB from so many servers that hold it.
    private static func time(
        servers: Int = 1, clients: Int = 1, _ change: (inout BandwidthLimits, inout BandwidthLimits) -> Void
    ) async throws -> Duration {
        var (serving, fetching) = (Exchange.Configuration(), Exchange.Configuration())
        change(&serving.bandwidth, &fetching.bandwidth)
        return try await Simulation.run(seed: 5) { [serving, fetching] simulation in
            let holders = (0..<servers).map { _ in simulation.node(configuration: serving) }
            for holder in holders { try await holder.store.put(blocks) }
            let nodes = (0..<clients).map { _ in simulation.node(configuration: fetching) }
            for node in nodes { for holder in holders { simulation.connect(node, holder) } }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for node in nodes {
                    group.addTask {
                        try await node.exchange.withSession { session in
                            for try await _ in session.blocks(for: blocks.map(\.cid)) {}
                        }
                    }
                }
                try await group.waitForAll()
            }
            return simulation.now
        }
    }

    @Test func withoutABudgetItIsOverInNoTime() async throws {
        #expect(try await Self.time { _, _ in } < .milliseconds(500))
    }

    @Test func whatANodeSendsToAllKeepsToItsBudget() async throws {
        let time = try await Self.time(clients: 4) { server, _ in server.upload = 4 * Self.megabyte }
        // 16 MiB at 4 a second, of which the first quarter of a second costs nothing.
        #expect(time > .milliseconds(3_700) && time < .milliseconds(4_400), "\(time)")
    }

    @Test func whatANodeSendsToEachKeepsToItsBudget() async throws {
        let time = try await Self.time(clients: 4) { server, _ in server.uploadPerPeer = 2 * Self.megabyte }
        #expect(time > .milliseconds(1_700) && time < .milliseconds(2_400), "\(time)")
    }

    @Test func whatANodeTakesFromAllKeepsToItsBudget() async throws {
        let time = try await Self.time(servers: 4) { _, client in client.download = Self.megabyte }
        #expect(time > .milliseconds(2_500) && time < .milliseconds(4_800), "\(time)")
    }

    @Test func whatANodeTakesFromEachKeepsToItsBudget() async throws {
        let time = try await Self.time(servers: 2) { _, client in client.downloadPerPeer = Self.megabyte }
        #expect(time > .milliseconds(1_000) && time < .milliseconds(2_600), "\(time)")
    }
}
