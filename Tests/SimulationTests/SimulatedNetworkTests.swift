import Bitswap
import Blockstore
import Multiformats
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

/// The simulated network: links, connections, windows, faults.
@Suite(.timeLimit(.minutes(5))) struct SimulatedNetworkTests {
    /// When each message of a scripted peer came.
    private static func arrivals(
        _ count: Int, at peer: ScriptedPeer, _ simulation: Simulation
    ) async -> [(bytes: Int, time: Duration)] {
        var arrivals: [(Int, Duration)] = []
        for await received in peer.received {
            arrivals.append((received.frame.readableBytes, simulation.now))
            if arrivals.count == count { break }
        }
        return arrivals
    }

    private static func message(_ bytes: Int) -> ByteBuffer { ByteBuffer(repeating: 7, count: bytes) }

    @Test func aLinkTakesItsLatencyAndWhatItsBandwidthSays() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (a, b) = (simulation.scriptedPeer(), simulation.scriptedPeer())
            simulation.connect(a, b, LinkProperties(latency: .milliseconds(30), bandwidth: 1_000_000))
            try a.send(Self.message(500_000), to: b)
            try a.send(Self.message(250_000), to: b)
            let arrivals = await Self.arrivals(2, at: b, simulation)
            #expect(arrivals.map(\.bytes) == [500_000, 250_000])
            #expect(arrivals.map(\.time) == [.milliseconds(530), .milliseconds(780)])
        }
    }

    struct Rates: Sendable {
        var up: Int?
        var link: Int?
        var down: Int?
    }

    @Test(arguments: [
        Rates(up: 1_000_000, link: 400_000), Rates(link: 400_000, down: 2_000_000), Rates(up: 3_000_000, down: 400_000),
    ])
    func theSlowestPartOfTheWayDecides(_ rates: Rates) async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (a, b) = (simulation.scriptedPeer(uplink: rates.up), simulation.scriptedPeer(downlink: rates.down))
            simulation.connect(a, b, LinkProperties(latency: .milliseconds(30), bandwidth: rates.link))
            try a.send(Self.message(400_000), to: b)
            let arrivals = await Self.arrivals(1, at: b, simulation)
            #expect(arrivals[0].time >= .milliseconds(1_030) && arrivals[0].time < .microseconds(1_030_001))
        }
    }

    @Test func completionsComeWhenTheLastByteHasLeft() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (a, b) = (simulation.scriptedPeer(), simulation.scriptedPeer())
            simulation.connect(a, b, LinkProperties(latency: .milliseconds(30), bandwidth: 1_000_000))
            let left = NIOLockedValueBox<[Duration]>([])
            for _ in 0..<2 {
                try a.send(Self.message(500_000), to: b) { error in
                    #expect(error == nil)
                    left.withLockedValue { $0.append(simulation.now) }
                }
            }
            try await simulation.settle()
            #expect(left.withLockedValue { $0 } == [.milliseconds(500), .milliseconds(1_000)])
        }
    }

    @Test func anUplinkIsSharedFairlyAndSmallMessagesAreNotBehindLargeOnes() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let seed = simulation.scriptedPeer(uplink: 1_000_000)
            let peers = (0..<4).map { _ in simulation.scriptedPeer() }
            for peer in peers { simulation.connect(seed, peer, LinkProperties(latency: .zero)) }
            for peer in peers.dropLast() { try seed.send(Self.message(1_000_000), to: peer) }
            simulation.after(.milliseconds(500)) { try? seed.send(Self.message(100), to: peers[3]) }
            let small = await Self.arrivals(1, at: peers[3], simulation)[0]
            #expect(small.time < .milliseconds(520))
            try await simulation.sleep(for: .seconds(1.5) - simulation.now)
            #expect(peers.dropLast().allSatisfy { (490_000...510_000).contains(seed.bytesSent(to: $0)) })
            try await simulation.settle()
            #expect(simulation.now > .seconds(2.99) && simulation.now < .seconds(3.01))
            #expect(peers.dropLast().allSatisfy { seed.bytesSent(to: $0) == 1_000_000 })
        }
    }

    @Test func aDownlinkIsSharedFairly() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let sink = simulation.scriptedPeer(downlink: 1_000_000)
            let sources = (0..<4).map { _ in simulation.scriptedPeer() }
            for source in sources { simulation.connect(source, sink, LinkProperties(latency: .zero)) }
            for source in sources { try source.send(Self.message(250_000), to: sink) }
            let arrivals = await Self.arrivals(4, at: sink, simulation)
            #expect(arrivals.allSatisfy { $0.time > .seconds(0.95) && $0.time < .seconds(1.01) })
        }
    }

    @Test func aReceiverThatDoesNotReadStopsItsSenderAtTheWindow() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (a, b) = (simulation.scriptedPeer(), simulation.scriptedPeer())
            simulation.connect(a, b, LinkProperties(latency: .milliseconds(10), bandwidth: 1_000_000, window: 100_000))
            b.stopReading(from: a)
            let left = NIOLockedValueBox(0)
            for _ in 0..<10 {
                try a.send(Self.message(30_000), to: b) { error in
                    if error == nil { left.withLockedValue { $0 += 1 } }
                }
            }
            try await simulation.settle()
            #expect(left.withLockedValue { $0 } == 3)
            #expect(a.bytesSent(to: b) <= 100_000)
            b.resumeReading(from: a)
            let arrivals = await Self.arrivals(10, at: b, simulation)
            #expect(arrivals.map(\.bytes) == Array(repeating: 30_000, count: 10))
            #expect(left.withLockedValue { $0 } == 10)
        }
    }

    @Test func aMessageLargerThanTheWindowGoesThroughIt() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (a, b) = (simulation.scriptedPeer(), simulation.scriptedPeer())
            simulation.connect(a, b, LinkProperties(latency: .milliseconds(10), window: 1_000))
            try a.send(Self.message(100_000), to: b)
            let arrivals = await Self.arrivals(1, at: b, simulation)
            #expect(arrivals[0].bytes == 100_000)
            // At most a window each round trip.
            #expect(arrivals[0].time >= .seconds(1))
        }
    }

    @Test func whatIsUnderWayWhenTheConnectionEndsIsLost() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (a, b) = (simulation.scriptedPeer(), simulation.scriptedPeer())
            simulation.connect(a, b, LinkProperties(latency: .milliseconds(100), bandwidth: 1_000_000))
            let results = NIOLockedValueBox<[String]>([])
            for number in 1...3 {
                try a.send(Self.message(50_000), to: b) { error in
                    results.withLockedValue { $0.append("\(number) \(error.map { "\($0)" } ?? "left")") }
                }
            }
            simulation.after(.milliseconds(70)) { simulation.disconnect(a, b) }
            try await simulation.settle()
            try await simulation.sleep(for: .seconds(1))
            #expect(results.withLockedValue { $0 } == ["1 left", "2 disconnected", "3 disconnected"])
            #expect(throws: SimulatedNetworkError.notConnected) { try a.send(Self.message(1), to: b) }
            simulation.connect(a, b)
            try a.send(Self.message(10), to: b)
            #expect(await Self.arrivals(1, at: b, simulation)[0].bytes == 10)
            #expect(b.traffic.bytesReceived == 10)
        }
    }

    @Test func aPeerThatLeavesComesBackWithItsConnections() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let peers = (0..<3).map { _ in simulation.scriptedPeer() }
            simulation.connect(peers[0], peers[1])
            simulation.connect(peers[0], peers[2])
            peers[0].leave()
            peers[1].leave()
            #expect(!peers[0].isConnected(to: peers[2]))
            peers[0].comeBack()
            #expect(peers[0].isConnected(to: peers[2]))
            #expect(!peers[0].isConnected(to: peers[1]))
            peers[1].comeBack()
            #expect(peers[0].isConnected(to: peers[1]))
        }
    }

    @Test func theAccountsAreTheNetworksOwn() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (server, client) = (simulation.node(), simulation.node())
            let blocks = madeUpBlocks(10, bytes: 10_000, seed: 1)
            try await server.store.put(blocks)
            simulation.connect(server, client)
            for block in blocks { _ = try await client.exchange.want(block.cid) }
            #expect(server.traffic.blocksSent == 10)
            #expect(server.traffic.blockBytesSent == 100_000)
            #expect(client.traffic.blocksReceived == 10)
            #expect(client.traffic.duplicateBlocksReceived == 0)
            #expect(client.traffic.wantsSent >= 10)
            #expect(client.traffic.wantlistBytesSent > 10 * 36)
            #expect(server.traffic.bytesSent == client.traffic.bytesReceived)
            #expect(server.traffic.bytesSent < 110_000)
        }
    }

    @Test func aSilentNodeTakesWantsAndNeverAnswersAndFetchesAllTheSame() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (server, silent, client) = (simulation.node(), simulation.node(), simulation.node())
            let blocks = madeUpBlocks(2, bytes: 10_000, seed: 1)
            try await server.store.put(blocks)
            simulation.connect(server, silent)
            silent.misbehaviour = .silent
            _ = try await silent.exchange.want(blocks[0].cid)
            simulation.connect(silent, client)
            await #expect(throws: ExchangeError.self) {
                try await client.exchange.want(blocks[0].cid, timeout: .seconds(60))
            }
            #expect(client.traffic.wantsSent > 0)
            #expect(client.traffic.bytesReceived == 0)
            silent.misbehaviour = nil
            #expect(try await client.exchange.want(blocks[0].cid).source == .network(silent.id))
        }
    }

    @Test func aLyingNodeHasEverythingAndSendsOtherBytesAndFetchesAllTheSame() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (server, liar, client) = (simulation.node(), simulation.node(), simulation.node())
            let block = madeUpBlocks(1, bytes: 10_000, seed: 1)[0]
            try await server.store.put(block)
            simulation.connect(server, liar)
            simulation.connect(liar, client)
            liar.misbehaviour = .lying(blockBytes: 5_000)
            _ = try await liar.exchange.want(block.cid)
            await #expect(throws: ExchangeError.self) {
                try await client.exchange.want(block.cid, timeout: .seconds(60))
            }
            #expect(liar.traffic.liesSent > 0)
            #expect(client.traffic.blockBytesReceived == 5_000 * liar.traffic.liesSent)
            #expect(try await !client.store.has(block.cid.multihash))
        }
    }

    @Test func aScriptedPeerSaysWhatItLikes() async throws {
        try await Simulation.run(seed: 1) { simulation in
            let (node, peer) = (simulation.node(), simulation.scriptedPeer())
            let block = madeUpBlocks(1, bytes: 100, seed: 1)[0]
            simulation.connect(node, peer)
            async let fetched = node.exchange.want(block.cid)
            var received = peer.received.makeAsyncIterator()
            let request = try #require(await received.next()?.message)
            #expect(request.wants.map(\.cid) == [block.cid])
            var answer = WireMessage()
            answer.blocks = [.init(prefix: block.cid.prefix, data: block.bytes)]
            try peer.send(answer, to: node)
            #expect(try await fetched.block == block)

            try await node.store.put(madeUpBlocks(1, bytes: 100, seed: 2))
            try peer.send(ByteBuffer(bytes: [3, 0xff, 0xff, 0xff]), to: node)
            try await simulation.until("garbage is counted") { node.exchange.statistics.malformedMessages == 1 }
        }
    }
}
