import Bitswap
import Blockstore
import NIOCore
import TestSupport
import Testing

/// Connections that end in the middle of something.
@Suite(.timeLimit(.minutes(5))) struct ResumptionTests {
    private static let link = LinkProperties(latency: .milliseconds(20), bandwidth: 1_000_000)

    private static func fetch(_ blocks: [Block], with node: SimulatedNode) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for block in blocks {
                group.addTask {
                    let fetched = try await node.exchange.want(block.cid)
                    #expect(fetched.block == block)
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func aTransferGoesOnWhereItWasWhenThePeerIsBack() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (server, client) = (simulation.node(), simulation.node())
            let blocks = madeUpBlocks(64, bytes: 50_000, seed: 1)
            try await server.store.put(blocks)
            simulation.connect(server, client, Self.link)
            simulation.after(.seconds(1)) { simulation.disconnect(server, client) }
            simulation.after(.seconds(5)) { simulation.connect(server, client) }
            try await Self.fetch(blocks, with: client)
            // 3.2 s of transfer, 4 s of absence, and what was under way twice.
            #expect(simulation.now > .seconds(7.2) && simulation.now < .seconds(8.7))
            #expect(client.traffic.duplicateBlocksReceived == 0)
        }
    }

    @Test func aTransferSurvivesConnectionsThatBreakAgainAndAgain() async throws {
        for seed in 1...5 as ClosedRange<UInt64> {
            try await Simulation.run(seed: seed) { simulation in
                let (server, client) = (simulation.node(), simulation.node())
                let blocks = madeUpBlocks(64, bytes: 50_000, seed: 1)
                try await server.store.put(blocks)
                simulation.connect(server, client, Self.link)
                simulation.letBreak(server, client, meanUptime: .seconds(1), meanDowntime: .seconds(1))
                try await Self.fetch(blocks, with: client)
                #expect(client.traffic.duplicateBytesReceived == 0)
            }
        }
    }

    @Test func whatAPeerThatLeftOwesIsAskedOfAnotherAtOnce() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (first, second, client) = (simulation.node(), simulation.node(), simulation.node())
            let blocks = madeUpBlocks(64, bytes: 50_000, seed: 1)
            for server in [first, second] {
                try await server.store.put(blocks)
                simulation.connect(server, client, Self.link)
            }
            simulation.after(.milliseconds(1_200)) { first.leave() }
            try await Self.fetch(blocks, with: client)
            #expect(first.traffic.blocksSent > 0)
            // What was not there by then comes from the other, whose link takes 3.2 s for all of it.
            #expect(simulation.now < .seconds(4))
        }
    }

    @Test func aWantOutlivesTheAbsenceOfAllPeers() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (server, client) = (simulation.node(), simulation.node())
            let block = madeUpBlocks(1, bytes: 50_000, seed: 1)[0]
            try await server.store.put(block)
            simulation.after(.seconds(3_600)) { simulation.connect(server, client, Self.link) }
            #expect(try await client.exchange.want(block.cid).block == block)
            #expect(simulation.now < .seconds(3_601))
        }
    }

    @Test func aStreamThatMadeNoSenseIsOpenedAnewAndTheTransferGoesOn() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (server, peer) = (simulation.node(), simulation.scriptedPeer())
            let block = madeUpBlocks(1, bytes: 100, seed: 1)[0]
            try await server.store.put(block)
            simulation.connect(server, peer, Self.link)
            try peer.send(ByteBuffer(bytes: [3, 0xff, 0xff, 0xff]), to: server)
            try await simulation.settle()
            try peer.send(WireMessage(wants: [block.cid]), to: server)
            var received = peer.received.makeAsyncIterator()
            #expect(await received.next()?.message?.blocks.map(\.data) == [block.bytes])
        }
    }
}
