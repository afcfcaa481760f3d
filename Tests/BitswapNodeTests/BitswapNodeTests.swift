import Bitswap
import BitswapNode
import Blockstore
import Foundation
import Libp2p
import MetricsTestKit
import Multiformats
import NIOCore
import PeerIdentity
import Testing

/// Whole nodes on loopback: TCP, Noise, Yamux, Bitswap, LMDB.
@Suite(.timeLimit(.minutes(5))) struct BitswapNodeTests {
    /// Runs a test with a directory that is gone afterwards.
    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let path = NSTemporaryDirectory() + "bitswap-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await body(path)
    }

    private func listening() throws -> BitswapNode.Configuration {
        var configuration = BitswapNode.Configuration()
        configuration.listen = [try Multiaddr("/ip4/127.0.0.1/tcp/0")]
        return configuration
    }

    @Test func twoNodesExchangeABlock() async throws {
        try await withDirectory { directory in
            let server = try BitswapNode(
                repository: Repository(path: directory + "/server"), configuration: try listening())
            let client = try BitswapNode(repository: Repository(path: directory + "/client"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.run() }
                group.addTask { try await client.run() }
                let cid = try await server.blocks.put("Hello Bitswap from Rust Helia")
                #expect(cid.description == "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq")
                let address = try #require(try await server.addresses.first)
                let connection = try await client.swarm.connect(to: address)
                #expect(connection.peer == server.id)
                let fetched = try await client.blocks.fetch(cid)
                #expect(String(buffer: fetched.block.bytes) == "Hello Bitswap from Rust Helia")
                #expect(fetched.source == .network(server.id))
                #expect(try await client.blocks.has(cid))
                group.cancelAll()
            }
            let reopened = try LMDBBlockstore(path: Repository(path: directory + "/client").blocksPath)
            #expect(try await reopened.statistics().blockCount == 1)
            try await reopened.close()
        }
    }

    /// What the caller, the network and the store do for a small block is done on one thread.
    @Test func aTaskOnTheConnectionsLoopGetsBlocksThere() async throws {
        try await withDirectory { directory in
            var configuration = LMDBBlockstore.Configuration()
            configuration.durability = .background(interval: .seconds(3600))
            let store = try LMDBBlockstore(path: directory, configuration: configuration)
            let server = BitswapNode(
                identity: try KeyPair.generate(), store: MemoryBlockstore(), configuration: try listening())
            let client = BitswapNode(identity: try KeyPair.generate(), store: store)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for node in [server, client] { group.addTask { try await node.run() } }
                let connection = try await client.swarm.connect(to: try #require(try await server.addresses.first))
                var cids: [CID] = []
                for number in 0..<20 { cids.append(try await server.blocks.put("small block \(number)")) }
                try await withTaskExecutorPreference(connection.taskExecutor) {
                    for cid in cids {
                        #expect(connection.eventLoop.inEventLoop)
                        let fetched = try await client.blocks.fetch(cid)
                        #expect(fetched.source == .network(server.id))
                    }
                    #expect(connection.eventLoop.inEventLoop)
                }
                #expect(!connection.eventLoop.inEventLoop)
                #expect(try await store.statistics().blockCount == 20)
                group.cancelAll()
            }
        }
    }

    @Test func manyLargeBlocksBothWaysAtOnce() async throws {
        let (left, right) = (
            BitswapNode(identity: try KeyPair.generate(), store: MemoryBlockstore(), configuration: try listening()),
            BitswapNode(identity: try KeyPair.generate(), store: MemoryBlockstore(), configuration: try listening())
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in [left, right] { group.addTask { try await node.run() } }
            _ = try await left.swarm.connect(to: try #require(try await right.addresses.first))
            for (from, to) in [(left, right), (right, left)] {
                group.addTask {
                    for number in 0..<24 {
                        let bytes = [UInt8](repeating: UInt8(number), count: 256 << 10) + Array(from.id.bytes)
                        let cid = try await from.blocks.put(bytes)
                        #expect(Array(try await to.blocks.get(cid).bytes.readableBytesView) == bytes)
                    }
                }
            }
            _ = try await group.next()
            _ = try await group.next()
            group.cancelAll()
        }
    }

    @Test func metricsOfAllPartsGoWhereTheNodeIsTold() async throws {
        let metrics = TestMetrics()
        let server = BitswapNode(
            identity: try KeyPair.generate(), store: MemoryBlockstore(), configuration: try listening(),
            metrics: metrics)
        let client = BitswapNode(identity: try KeyPair.generate(), store: MemoryBlockstore())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in [server, client] { group.addTask { try await node.run() } }
            let cid = try await server.blocks.put("counted")
            _ = try await client.swarm.connect(to: try #require(try await server.addresses.first))
            _ = try await client.blocks.get(cid)
            while server.exchange.statistics.blocksSent == 0 { await Task.yield() }
            #expect(metrics.counterTotal(label: "bitswap_block_bytes_sent_total") == 7)
            #expect(try metrics.expectGauge("libp2p_connections", [("direction", "inbound")]).lastValue == 1)
            #expect(server.swarm.statistics.inboundConnections == 1)
            group.cancelAll()
        }
    }

    @Test func aNodeThatCannotListenSaysWhy() async throws {
        var configuration = BitswapNode.Configuration()
        configuration.listen = [try Multiaddr("/ip4/192.0.2.1/tcp/4001")]
        let node = BitswapNode(
            identity: try KeyPair.generate(), store: MemoryBlockstore(), configuration: configuration)
        let error = await #expect(throws: (any Error).self) { try await node.run() }
        #expect("\(String(describing: error))".contains("/ip4/192.0.2.1/tcp/4001"))
        await #expect(throws: (any Error).self) { try await node.addresses }
    }

    @Test func aRepositoryIsMadeOnceAndKeepsItsIdentity() async throws {
        try await withDirectory { directory in
            let repository = Repository(path: directory + "/a/b")
            #expect(!repository.exists)
            let made = try repository.create()
            #expect(try repository.identity().peerID == made.peerID)
            let error = #expect(throws: NodeError.self) { try repository.create() }
            #expect(error?.code == .repositoryExists)
            #expect(error?.message.contains(repository.path) == true)
        }
    }

    @Test func aRepositoryThatIsNotThereSaysHowToMakeIt() throws {
        let error = #expect(throws: NodeError.self) { try Repository(path: "/nonexistent/bitswap").identity() }
        #expect(error?.code == .noRepository)
        #expect(error?.message.contains("bitswap init") == true)
    }
}
