import Bitswap
import BitswapNode
import Blockstore
import Libp2p
import Multiformats
import NIOCore
import PeerIdentity
import Testing

/// What a node answers, and does, when it is asked as its control socket asks it.
@Suite(.timeLimit(.minutes(1))) struct NodeResponderTests {
    private struct Pair: Sendable {
        let serving: BitswapNode
        let store: MemoryBlockstore
        let other: BitswapNode
        let responder: NodeResponder
    }

    /// Two running nodes that know nothing of each other.
    private func withNodes(_ body: (Pair) async throws -> Void) async throws {
        var configuration = BitswapNode.Configuration()
        configuration.listen = [try Multiaddr("/ip4/127.0.0.1/tcp/0")]
        let store = MemoryBlockstore()
        let serving = BitswapNode(identity: try KeyPair.generate(), store: store, configuration: configuration)
        let other = BitswapNode(
            identity: try KeyPair.generate(), store: MemoryBlockstore(), configuration: configuration)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in [serving, other] { group.addTask { try await node.run() } }
            try await body(
                Pair(serving: serving, store: store, other: other, responder: NodeResponder(serving)))
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    private func failure(_ answer: ControlAnswer) -> ControlFailure? {
        if case .failed(let failure) = answer { failure } else { nil }
    }

    @Test func connectsAndSaysWhoIsThere() async throws {
        try await withNodes { nodes in
            let address = try #require(try await nodes.other.addresses.first)
            guard case .peers(let none) = await nodes.responder.respond(to: .peers) else { throw Unexpected() }
            #expect(none.isEmpty)
            guard case .connected(let peer) = await nodes.responder.respond(to: .connect(address: address)) else {
                throw Unexpected()
            }
            #expect(peer == nodes.other.id)
            guard case .peers(let peers) = await nodes.responder.respond(to: .peers) else { throw Unexpected() }
            #expect(peers.map(\.peer) == [nodes.other.id])
            #expect(peers.first?.isOutbound == true)
            let nobody = try Multiaddr("/ip4/127.0.0.1/tcp/1")
            let failure = try #require(failure(await nodes.responder.respond(to: .connect(address: nobody))))
            #expect(failure.kind == .cannotConnect)
            #expect(failure.message.contains("/tcp/1"))
        }
    }

    @Test func tellsHowItFares() async throws {
        try await withNodes { nodes in
            try await nodes.serving.blocks.put("one")
            try await nodes.serving.blocks.put("three")
            guard case .status(let status) = await nodes.responder.respond(to: .status) else { throw Unexpected() }
            #expect(status.peer == nodes.serving.id)
            #expect(status.addresses == (try await nodes.serving.addresses))
            #expect(status.blocks == 2)
            #expect(status.blockBytes == 8)
            #expect(status.peers == 0)
            #expect(status.exchange == ExchangeStatistics())
        }
    }

    @Test func bringsABlockIntoTheStore() async throws {
        try await withNodes { nodes in
            let cid = try await nodes.other.blocks.put("far away")
            let address = try #require(try await nodes.other.addresses.first)
            _ = await nodes.responder.respond(to: .connect(address: address))
            for peer in [nodes.other.id, nil] {
                let answer = await nodes.responder.respond(to: .get(cid: cid, milliseconds: 30_000))
                guard case .fetched(let fetched) = answer else { throw Unexpected() }
                // The second time it is here.
                #expect(fetched.peer == peer)
                #expect(fetched.size == 8)
            }
            #expect(try await nodes.store.has(cid.multihash))
        }
    }

    @Test func aBlockThatNobodyHasTimesOut() async throws {
        try await withNodes { nodes in
            let cid = try CID("bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq")
            let answer = await nodes.responder.respond(to: .get(cid: cid, milliseconds: 0))
            #expect(failure(answer)?.kind == .timedOut)
            #expect(failure(answer)?.message.contains(cid.description) == true)
        }
    }

    @Test func blocksOfAnotherProcessReachThoseWhoWait() async throws {
        try await withNodes { nodes in
            let block = try Block(ByteBuffer(string: "put by another process"))
            _ = try await nodes.other.swarm.connect(to: try #require(try await nodes.serving.addresses.first))
            try await withThrowingTaskGroup(of: Block.self) { group in
                group.addTask { try await nodes.other.blocks.get(block.cid) }
                // Asked, and told that it is not here.
                while nodes.serving.exchange.statistics.messagesReceived == 0 { await Task.yield() }
                // As another process does: past the node.
                try await nodes.store.put(block)
                let absent = try CID("bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq")
                guard case .done = await nodes.responder.respond(to: .offer(cids: [absent, block.cid])) else {
                    throw Unexpected()
                }
                #expect(try await group.next()?.bytes == block.bytes)
            }
        }
    }
}

private struct Unexpected: Error {}
