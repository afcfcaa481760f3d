import Bitswap
import Blockstore
import NIOCore
import TestSupport
import Testing

/// Peers that want much and stop reading, beside others that read.
@Suite(.timeLimit(.minutes(5))) struct StalledPeerTests {
    private static let blocks = madeUpBlocks(120, bytes: 256 << 10, seed: 3)

    /// How long four clients take to fetch everything, beside so many peers whose windows are full.
    private static func time(besides stalled: Int, seed: UInt64) async throws -> (Duration, ExchangeStatistics) {
        try await Simulation.run(seed: seed) { simulation in
            let link = LinkProperties(latency: .milliseconds(5))
            let server = simulation.node(uplink: 25_000_000)
            try await server.store.put(blocks)
            let sinks = (0..<stalled).map { _ in simulation.scriptedPeer() }
            for sink in sinks { simulation.connect(sink, server, link) }
            // They read a while, fast, so that the server gives them large windows, and then no more.
            let few = blocks.prefix(24).map(\.cid)
            for sink in sinks { try sink.send(WireMessage(wants: few), to: server) }
            try await simulation.settle()
            for sink in sinks {
                sink.stopReading(from: server)
                try sink.send(WireMessage(wants: blocks.map(\.cid)), to: server)
            }
            try await simulation.settle()
            let start = simulation.now
            let clients = (0..<4).map { _ in simulation.node() }
            for client in clients { simulation.connect(client, server, link) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for client in clients {
                    for block in blocks { group.addTask { _ = try await client.exchange.want(block.cid) } }
                }
                try await group.waitForAll()
            }
            return (simulation.now - start, server.exchange.statistics)
        }
    }

    @Test(arguments: [1, 20, 200])
    func peersThatStopReadingCostTheOthersNothing(_ count: Int) async throws {
        let (alone, _) = try await Self.time(besides: 0, seed: 1)
        let (beside, statistics) = try await Self.time(besides: count, seed: 1)
        #expect(beside < alone * 1.05, "\(beside) instead of \(alone)")
        #expect(statistics.limitHits["outstandingBytesPerPeer", default: 0] >= count)
    }
}
