import Bitswap

import Blockstore
import Foundation
import Libp2p
import Multiformats
import NIOConcurrencyHelpers
import NIOCore
import PeerIdentity
import Testing

@testable import BitswapNode

/// Nodes that are told of each other by a discovery, on loopback.
@Suite(.timeLimit(.minutes(5))) struct DiscoveryTests {
    /// Finds what it is told to.
    private struct Rumour: PeerDiscovery {
        let method = DiscoveryMethod(name: "rumour")
        let events: AsyncThrowingStream<PeerDiscoveryEvent, any Error>
        let tell: AsyncThrowingStream<PeerDiscoveryEvent, any Error>.Continuation

        init() { (events, tell) = AsyncThrowingStream.makeStream() }

        func peers() -> any AsyncSequence<PeerDiscoveryEvent, any Error> { events }
    }

    private func configuration(listens: Bool) throws -> BitswapNode.Configuration {
        var configuration = BitswapNode.Configuration()
        if listens { configuration.listen = [try Multiaddr("/ip4/127.0.0.1/tcp/0")] }
        return configuration
    }

    private func node(_ configuration: BitswapNode.Configuration) throws -> BitswapNode {
        BitswapNode(identity: try KeyPair.generate(), store: MemoryBlockstore(), configuration: configuration)
    }

    @Test func aBlockComesFromAPeerThatWasFoundWhileItIsWaitedFor() async throws {
        let rumour = Rumour()
        let server = try node(configuration(listens: true))
        var own = try configuration(listens: false)
        own.discoveries = [rumour]
        let client = try node(own)
        let seen = NIOLockedValueBox<[PeerDiscoveryEvent]>([])
        client.observeDiscoveries { method, event in
            if method.name == "rumour" { seen.withLockedValue { $0.append(event) } }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { try await client.run() }
            let cid = try await server.blocks.put("found")
            let addresses = try await server.addresses
            async let block = client.blocks.get(cid)
            rumour.tell.yield(.found(server.id, addresses))
            #expect(String(buffer: try await block.bytes) == "found")
            #expect(client.origin(of: server.id)?.method.name == "rumour")
            #expect(server.origin(of: client.id) == nil)
            #expect(seen.withLockedValue { $0 } == [.found(server.id, addresses)])
            group.cancelAll()
        }
    }

    @Test func twoThatFindEachOtherHaveOneConnection() async throws {
        let rumours = [Rumour(), Rumour()]
        let nodes = try rumours.map { rumour in
            var configuration = try configuration(listens: true)
            configuration.discoveries = [rumour]
            return try node(configuration)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in nodes { group.addTask { try await node.run() } }
            for (rumour, other) in zip(rumours, nodes.reversed()) {
                rumour.tell.yield(.found(other.id, try await other.addresses))
            }
            let (lower, higher) = nodes[0].id < nodes[1].id ? (nodes[0], nodes[1]) : (nodes[1], nodes[0])
            // On a busy machine both dial; the one that the higher has made is closed then.
            while lower.swarm.connections().map(\.direction) != [.outbound]
                || higher.swarm.connections().map(\.direction) != [.inbound]
            {
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(lower.swarm.connection(to: higher.id) == lower.swarm.connections().first)
            group.cancelAll()
        }
    }

    @Test func aPeerIsRememberedOverARestart() async throws {
        let path = NSTemporaryDirectory() + "bitswap-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let server = try node(configuration(listens: true))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            let address = try #require(try await server.addresses.first)
            for round in 0..<2 {
                let client = try BitswapNode(repository: Repository(path: path))
                try await withThrowingTaskGroup(of: Void.self) { inner in
                    inner.addTask { try await client.run() }
                    if round == 0 { _ = try await client.swarm.connect(to: address) }
                    while client.swarm.connections(to: server.id).isEmpty {
                        try await Task.sleep(for: .milliseconds(1))
                    }
                    if round == 1 { #expect(client.origin(of: server.id)?.method == .remembered) }
                    inner.cancelAll()
                }
            }
            group.cancelAll()
        }
    }

    @Test func aMemoryThatCannotBeReadIsEmpty() throws {
        let path = NSTemporaryDirectory() + "bitswap-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let memory = PeerMemory(path: path)
        #expect(memory.load(limit: 9).isEmpty)
        let peers = try (0..<3).map { number in
            Provider(try KeyPair.generate().peerID, addresses: [try Multiaddr("/ip4/192.0.2.\(number)/tcp/1")])
        }
        try memory.save(peers)
        #expect(memory.load(limit: 2).map(\.peerMultihash) == peers.prefix(2).map(\.peer.multihash))
        try Data("{".utf8).write(to: URL(filePath: path))
        #expect(memory.load(limit: 9).isEmpty)
    }
}
