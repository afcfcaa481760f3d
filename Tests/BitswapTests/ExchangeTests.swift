import Blockstore
import Libp2p
import Logging
import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import Bitswap

/// Exchanges on a network in memory, with a clock that the test moves.
@Suite(.timeLimit(.minutes(5))) struct ExchangeTests {
    struct Node {
        let id: PeerID
        let exchange: Exchange
        let store: MemoryBlockstore
    }

    let network = MemoryNetwork()
    let clock = ManualClock()

    func node(_ number: Int, version: BitswapVersion = .v1_2_0, time: TimeSource? = nil) -> Node {
        let id = peer(number)
        let store = MemoryBlockstore()
        let exchange = Exchange(
            store: store, network: network.face(of: id), time: time ?? clock.timeSource, logger: Logger(label: "test"))
        network.add(exchange, as: id, version: version)
        return Node(id: id, exchange: exchange, store: store)
    }

    /// Runs the network and the nodes around a test.
    func running(_ nodes: Node..., body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await network.run() }
            for node in nodes { group.addTask { await node.exchange.run() } }
            try await body()
            group.cancelAll()
        }
    }

    @Test(arguments: BitswapVersion.allCases)
    func aBlockIsFetchedVerifiedAndKept(_ version: BitswapVersion) async throws {
        let (server, client) = (node(1, version: version), node(2, version: version))
        let hello = block("Hello Bitswap from Rust Helia")
        try await server.store.put(hello)
        try await running(server, client) {
            network.connect(server.id, client.id)
            let fetched = try await client.exchange.want(hello.cid)
            #expect(fetched.block == hello)
            #expect(fetched.source == .network(server.id))
            #expect(try await client.store.get(hello.cid.multihash) == hello.bytes)
            let again = try await client.exchange.want(hello.cid)
            #expect(again.source == .local)
            #expect(client.exchange.statistics.blocksReceived == 1)
            try await eventually("the server's ledger is empty") {
                server.exchange.wantlist(of: client.id)?.isEmpty == true
            }
            #expect(server.exchange.statistics.bytesSent == hello.bytes.readableBytes)
        }
    }

    @Test func aBlockPutUnderOneVersionOfItsCIDIsFetchedUnderTheOther() async throws {
        let (server, client) = (node(1), node(2))
        let hello = block("hello")
        try await server.store.put(hello)
        let v0 = try CID(version: .v0, codec: .dagPB, multihash: hello.cid.multihash)
        try await running(server, client) {
            network.connect(server.id, client.id)
            let fetched = try await client.exchange.want(v0)
            #expect(fetched.block.cid == v0)
            #expect(fetched.block.bytes == hello.bytes)
        }
    }

    @Test func aWantIsRememberedAndAnsweredWhenTheBlockArrives() async throws {
        let (server, client) = (node(1), node(2))
        let late = block("late")
        try await running(server, client) {
            network.connect(server.id, client.id)
            async let fetched = client.exchange.want(late.cid)
            try await eventually("the server remembers the want") {
                server.exchange.subscriptions.withLockedValue { $0.count } == 1
            }
            #expect(server.exchange.isAwaited(late.cid.multihash))
            #expect(client.exchange.isAwaited(late.cid.multihash))
            #expect(!server.exchange.isAwaited(cid("other").multihash))
            try await server.store.put(late)
            server.exchange.offer([late])
            #expect(try await fetched.block == late)
            #expect(server.exchange.subscriptions.withLockedValue { $0.count } == 0)
        }
    }

    @Test func aPutOfOnesOwnEndsTheWant() async throws {
        let client = node(1)
        let own = block("own")
        try await running(client) {
            async let fetched = client.exchange.want(own.cid)
            try await eventually("the want is registered") { client.exchange.wantlist == [own.cid] }
            try await client.store.put(own)
            client.exchange.offer([own])
            #expect(try await fetched.source == .local)
        }
    }

    @Test func aThousandBlocksComeThroughABoundedWindow() async throws {
        let (server, client) = (node(1), node(2))
        // Half of them are so small that they take the place of a HAVE.
        let blocks = (0..<2_000).map { block("block \($0)" + String(repeating: ".", count: $0 % 2 * 1_024)) }
        try await server.store.put(blocks)
        try await running(server, client) {
            network.connect(server.id, client.id)
            try await withThrowingTaskGroup(of: Block.self) { group in
                for block in blocks { group.addTask { try await client.exchange.want(block.cid).block } }
                var got: Set<Block> = []
                for try await block in group { got.insert(block) }
                #expect(got == Set(blocks))
            }
            #expect(client.exchange.statistics.duplicateBlocksReceived == 0)
        }
    }

    @Test func aClockThatWakesEarlyLeavesNothingUndone() async throws {
        let now = NIOLockedValueBox(Duration.zero)
        let early = TimeSource(
            now: { now.withLockedValue { $0 } },
            sleep: { pause in now.withLockedValue { $0 += max(.zero, pause - .nanoseconds(1)) } })
        let client = node(1, time: early)
        try await running(client) {
            let fetch = Task { try await client.exchange.want(cid("nowhere"), timeout: .seconds(30)) }
            try await eventually("time runs out") {
                now.withLockedValue { $0 } >= .seconds(29) && client.exchange.wantlist.isEmpty
            }
            let error = await #expect(throws: ExchangeError.self) { try await fetch.value }
            #expect(error?.code == .timedOut)
        }
    }

    @Test func noBlockInTimeSaysWhoSaidWhat() async throws {
        let (server, client) = (node(1), node(2))
        try await running(server, client) {
            network.connect(server.id, client.id)
            async let fetched = client.exchange.want(cid("nowhere"), timeout: .seconds(30))
            try await eventually("the server has said DONT_HAVE") { server.exchange.statistics.messagesSent == 1 }
            try await eventually("time runs out") {
                clock.advance(by: .seconds(1))
                return client.exchange.wantlist.isEmpty
            }
            do {
                _ = try await fetched
                Issue.record("a block came from nowhere")
            } catch let error as ExchangeError {
                #expect(error.code == .timedOut)
                #expect(error.answers == [server.id: .dontHave])
            }
            try await eventually("the want was taken back") {
                server.exchange.wantlist(of: client.id)?.isEmpty == true
            }
            #expect(server.exchange.subscriptions.withLockedValue { $0.count } == 0)
        }
    }

    @Test func cancellingTheCallerTakesTheWantBack() async throws {
        let (server, client) = (node(1), node(2))
        try await running(server, client) {
            network.connect(server.id, client.id)
            try await withThrowingTaskGroup(of: FetchedBlock.self) { group in
                group.addTask { try await client.exchange.want(cid("nowhere")) }
                try await eventually("the server knows of the want") {
                    server.exchange.wantlist(of: client.id)?.count == 1
                }
                group.cancelAll()
                let error = await #expect(throws: ExchangeError.self) { try await group.next() }
                #expect(error?.code == .cancelled)
            }
            try await eventually("the want was taken back") {
                server.exchange.wantlist(of: client.id)?.isEmpty == true
            }
            #expect(client.exchange.wantlist.isEmpty)
        }
    }

    @Test func stoppingTheExchangeEndsItsWants() async throws {
        let client = node(1)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await client.exchange.run() }
            group.addTask {
                let error = await #expect(throws: ExchangeError.self) { try await client.exchange.want(cid("nowhere")) }
                #expect(error?.code == .stopped || error?.code == .cancelled)
            }
            while client.exchange.wantlist.isEmpty { await Task.yield() }
            group.cancelAll()
        }
        // Nor does a later one wait for somebody who never comes.
        let error = await #expect(throws: ExchangeError.self) { try await client.exchange.want(cid("elsewhere")) }
        #expect(error?.code == .stopped)
        await client.exchange.withSession { session in
            _ = await #expect(throws: ExchangeError.self) {
                for try await _ in session.blocks(for: [cid("elsewhere")]) {}
            }
        }
        try await client.store.put(block("here"))
        #expect(try await client.exchange.want(cid("here")).source == .local)
    }

    @Test func blocksWithLongHashesAreExchangedAndDenied() async throws {
        let (server, client) = (node(1), node(2))
        let blocks = try [100, 5_000].map { try Block(ByteBuffer(repeating: 7, count: $0), hash: .sha2_512) }
        let absent = try Block(ByteBuffer(string: "absent"), hash: .sha2_512).cid
        try await server.store.put(blocks)
        try await running(server, client) {
            network.connect(server.id, client.id)
            for block in blocks {
                let fetched = try await client.exchange.want(block.cid)
                #expect(fetched.block == block)
            }
            let error = await #expect(throws: ExchangeError.self) {
                try await client.exchange.want(absent, providers: .only([Provider(server.id)]))
            }
            #expect(error?.code == .notFound)
        }
    }

    @Test func aPeerThatIsConnectedAndCannotBeAskedIsGivenUpInTheEnd() async throws {
        /// Connections stand, and no stream can be opened on them.
        struct Mute: ExchangeNetwork {
            func open(to peer: PeerID) async throws -> any ExchangeOutlet { throw ExchangeError(.stopped, "no stream") }
            func connect(to provider: Provider) async throws {}
        }
        let exchange = Exchange(
            store: MemoryBlockstore(), network: Mute(), time: clock.timeSource, logger: Logger(label: "test"))
        exchange.connected(peer(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await exchange.run() }
            let outcome = NIOLockedValueBox<ExchangeError?>(nil)
            group.addTask {
                do throws(ExchangeError) {
                    _ = try await exchange.want(cid("a"), providers: .only([Provider(peer(1))]))
                } catch { outcome.withLockedValue { $0 = error } }
            }
            try await eventually("the want ends") {
                clock.advance(by: .seconds(1))
                return outcome.withLockedValue { $0 } != nil
            }
            #expect(outcome.withLockedValue { $0?.code } == .notFound)
            group.cancelAll()
        }
    }

    @Test func aBlockInItsOwnNameNeedsNobody() async throws {
        let multihash = try Array("inline".utf8).withUnsafeBytes { try Multihash(code: .identity, digest: $0) }
        let fetched = try await node(1).exchange.want(CID(codec: .raw, multihash: multihash))
        #expect(String(buffer: fetched.block.bytes) == "inline")
        #expect(fetched.source == .local)
    }

    @Test func aHashThatCannotBeVerifiedIsRefusedAtOnce() async throws {
        let multihash = try [UInt8](repeating: 1, count: 32).withUnsafeBytes {
            try Multihash(code: .blake3, digest: $0)
        }
        let error = await #expect(throws: ExchangeError.self) {
            try await node(1).exchange.want(CID(codec: .raw, multihash: multihash))
        }
        #expect(error?.code == .unsupportedCID)
    }

    @Test func aPeerIsThereFromItsFirstConnectionToItsLast() async throws {
        let client = node(1)
        client.exchange.connected(peer(2))
        client.exchange.connected(peer(2))
        client.exchange.disconnected(peer(2))
        #expect(client.exchange.ledger(of: peer(2)) != nil)
        client.exchange.disconnected(peer(2))
        #expect(client.exchange.ledger(of: peer(2)) == nil)
        client.exchange.disconnected(peer(2))
        client.exchange.connected(peer(2))
        #expect(client.exchange.ledger(of: peer(2)) != nil)
    }

    @Test func connectionsThatComeAndGoOnManyThreadsLeaveThePeerAsItIs() async throws {
        let client = node(1)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<500 {
                        client.exchange.connected(peer(2))
                        client.exchange.disconnected(peer(2))
                    }
                    client.exchange.connected(peer(2))
                }
            }
        }
        _ = client.exchange.client.withLockedValue { client in
            let waiter = client.register(cid("a"), providers: .any, deadline: nil, now: .zero)
            #expect(client.open([waiter], now: .zero).wake == [peer(2)])
            return client.abandon(waiter, .cancelled, "", now: .zero)
        }
    }

    @Test func twoCallersShareOneRequest() async throws {
        let client = node(1)
        let server = network.addScripted(peer(2))
        try await running(client) {
            network.connect(client.id, server.id)
            async let first = client.exchange.want(cid("a"))
            async let second = client.exchange.want(cid("a"))
            try await eventually("both wait") { client.exchange.waiterCount == 2 }
            var frames = server.frames.makeAsyncIterator()
            let request = try MessageDecoder.message(in: try #require(await frames.next()))
            #expect(request.entries.map(\.cid) == [cid("a")])
            server.send(response(block("a")), to: client.id)
            #expect(try await [first.block, second.block] == [block("a"), block("a")])
        }
    }

    @Test func bytesThatDoNotMatchAreRefusedAndNeverStoredAndTheNextPeerIsAsked() async throws {
        let (client, honest) = (node(1), node(3))
        let liar = network.addScripted(peer(2))
        try await honest.store.put(block("truth"))
        try await running(client, honest) {
            network.connect(client.id, liar.id)
            async let fetched = client.exchange.want(cid("truth"))
            var frames = liar.frames.makeAsyncIterator()
            _ = await frames.next()
            liar.send(response(block("lie")), to: client.id)
            try await eventually("the lie is counted") { client.exchange.statistics.refusedBlocks == 1 }
            network.connect(client.id, honest.id)
            #expect(try await fetched.source == .network(honest.id))
            #expect(try await !client.store.has(cid("lie").multihash))
        }
    }

    @Test func aBlockThatNobodyAskedForIsNeverStored() async throws {
        let client = node(1)
        let pusher = network.addScripted(peer(2))
        try await running(client) {
            network.connect(client.id, pusher.id)
            pusher.send(response(block("unasked")), to: client.id)
            try await eventually("it is counted") { client.exchange.statistics.refusedBlocks == 1 }
            #expect(try await !client.store.has(cid("unasked").multihash))
        }
    }

    @Test func aPeerThatStopsReadingCostsTheOthersNothing() async throws {
        let (server, client) = (node(1), node(2))
        let stalled = network.addScripted(peer(3))
        let blocks = (0..<40).map { number in block(String(repeating: "\(number) ", count: 50_000)) }
        try await server.store.put(blocks)
        network.stall(stalled.id)
        try await running(server, client) {
            network.connect(server.id, stalled.id)
            network.connect(server.id, client.id)
            stalled.send(request(blocks.map(\.cid)), to: server.id)
            try await eventually("the stalled peer's window is full") {
                server.exchange.statistics.limitHits["outstandingBytesPerPeer"] != nil
            }
            for block in blocks { #expect(try await client.exchange.want(block.cid).block == block) }
            let bound = BitswapLimits().initialOutstandingBytesPerPeer
            #expect((1...bound).contains(server.exchange.outstandingBytes(to: stalled.id)))
        }
    }

    @Test func garbageIsCountedAndTheExchangeGoesOn() async throws {
        let (server, client) = (node(1), node(2))
        let garbler = network.addScripted(peer(3))
        try await server.store.put(block("a"))
        try await running(server, client) {
            network.connect(server.id, garbler.id)
            network.connect(server.id, client.id)
            garbler.send(ByteBuffer(bytes: [3, 0xff, 0xff, 0xff]), to: server.id)
            try await eventually("it is counted") { server.exchange.statistics.malformedMessages == 1 }
            #expect(try await client.exchange.want(cid("a")).block == block("a"))
        }
    }

    private func response(_ block: Block) -> ByteBuffer {
        var encoder = MessageEncoder(version: .v1_2_0, entries: [], isFull: false, capacity: 0)
        block.bytes.withUnsafeReadableBytes { encoder.append(block: $0, cid: block.cid) }
        return encoder.finish(pendingBytes: 0)
    }

    private func request(_ cids: [CID]) -> ByteBuffer {
        let entries = cids.map { Message.Entry(cid: $0, kind: .want(.block, sendDontHave: true)) }
        var encoder = MessageEncoder(version: .v1_2_0, entries: entries, isFull: false, capacity: 0)
        return encoder.finish(pendingBytes: 0)
    }
}
