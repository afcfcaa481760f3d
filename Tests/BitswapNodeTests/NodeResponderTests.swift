import Bitswap
import BitswapNode
import Blockstore
import Libp2p
import Multiformats
import NIOCore
import PeerIdentity
import Testing

/// What a node answers, and does, when it is asked as its control socket asks it.
@Suite(.timeLimit(.minutes(5))) struct NodeResponderTests {
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

    @Test func tellsWhatItWantsAndWhatOthersWant() async throws {
        try await withNodes { nodes in
            let absent = try CID("bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq")
            let address = try #require(try await nodes.serving.addresses.first)
            _ = try await nodes.other.swarm.connect(to: address)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try await nodes.other.blocks.get(absent) }
                while nodes.serving.exchange.wantlist(of: nodes.other.id)?.isEmpty != false { await Task.yield() }
                let other = NodeResponder(nodes.other)
                guard case .wantlist(let own) = await other.respond(to: .wantlist(peer: nil)) else {
                    throw Unexpected()
                }
                #expect(own.count == 1)
                #expect(own.own == [absent])
                #expect(own.peers.isEmpty)
                let asked = await nodes.responder.respond(to: .wantlist(peer: nodes.other.id))
                guard case .wantlist(let theirs) = asked else { throw Unexpected() }
                #expect(theirs.count == 1)
                #expect(theirs.own.isEmpty)
                #expect(theirs.peers.map(\.cid) == [absent])
                #expect(theirs.peers.map(\.isHeld) != [true])
                group.cancelAll()
            }
        }
    }

    @Test func aWantlistIsCutToTheSizeOfAnAnswer() async throws {
        try await withNodes { nodes in
            let cids = try (0..<9).map { try Block(ByteBuffer(string: "absent \($0)")).cid }
            let perWant = cids[0].description.utf8.count + 96
            var limits = ControlLimits()
            limits.wantlistBytes = 4 * perWant
            let responder = NodeResponder(nodes.serving, limits: limits)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for cid in cids { group.addTask { _ = try await nodes.serving.blocks.get(cid) } }
                while nodes.serving.exchange.wantlist.count < cids.count { await Task.yield() }
                guard case .wantlist(let told) = await responder.respond(to: .wantlist(peer: nil)) else {
                    throw Unexpected()
                }
                #expect(told.count == 9)
                #expect(told.own == Array(cids.sorted { $0.description < $1.description }.prefix(4)))
                group.cancelAll()
            }
        }
    }

    @Test func whatAPeerSaysOfItselfIsCutToItsLimit() async throws {
        try await withNodes { nodes in
            _ = try await nodes.serving.swarm.connect(to: try #require(try await nodes.other.addresses.first))
            func agent(_ characters: Int) async throws -> String? {
                var limits = ControlLimits()
                limits.agentCharacters = characters
                let answer = await NodeResponder(nodes.serving, limits: limits).respond(to: .peers)
                guard case .peers(let peers) = answer else { throw Unexpected() }
                return peers.first?.agent
            }
            // It says so on a stream of its own, soon after.
            while try await agent(256) == nil { await Task.yield() }
            let whole = try #require(try await agent(256))
            #expect(try await agent(whole.count) == whole)
            #expect(try await agent(whole.count - 1) == String(whole.dropLast()))
        }
    }

    @Test func tellsWhatAPeerWasGiven() async throws {
        try await withNodes { nodes in
            let cid = try await nodes.serving.blocks.put("given away")
            let address = try #require(try await nodes.other.addresses.first)
            _ = await nodes.responder.respond(to: .connect(address: address))
            _ = try await nodes.other.blocks.get(cid)
            while nodes.serving.exchange.ledger(of: nodes.other.id)?.blocksSent != 1 { await Task.yield() }
            guard case .ledger(let ledger) = await nodes.responder.respond(to: .ledger(peer: nodes.other.id)) else {
                throw Unexpected()
            }
            #expect(ledger.blocksSent == 1)
            #expect(ledger.bytesSent == 10)
            #expect(ledger.wants == 0)
            #expect(nodes.other.exchange.ledger(of: nodes.serving.id)?.blocksReceived == 1)
            #expect(nodes.other.exchange.ledger(of: nodes.serving.id)?.bytesReceived == 10)
            guard case .peers(let peers) = await nodes.responder.respond(to: .peers) else { throw Unexpected() }
            #expect(peers.first?.ledger?.bytesSent == 10)
        }
    }

    @Test func aPeerThatIsNotConnectedHasNoAccount() async throws {
        try await withNodes { nodes in
            for request in [ControlRequest.ledger(peer: nodes.other.id), .wantlist(peer: nodes.other.id)] {
                let failure = try #require(failure(await nodes.responder.respond(to: request)))
                #expect(failure.kind == .notConnected)
                #expect(failure.message.contains(nodes.other.id.description))
            }
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
