import Bitswap
import Blockstore
import Multiformats
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

/// Sessions, on a simulated network.
@Suite(.timeLimit(.minutes(5))) struct SessionTests {
    private static let link = LinkProperties(latency: .milliseconds(20), bandwidth: 10_000_000)
    private let blocks = madeUpBlocks(200, bytes: 10_000, seed: 1)

    /// CIDs of which it is known how many were taken.
    private struct Counted: AsyncSequence, Sendable {
        let cids: [CID]
        let taken = NIOLockedValueBox(0)
        /// When each was.
        let times = NIOLockedValueBox<[Duration]>([])
        var now: @Sendable () -> Duration = { .zero }

        struct AsyncIterator: AsyncIteratorProtocol {
            let base: Counted
            mutating func next() async -> CID? {
                let index = base.taken.withLockedValue { taken in
                    taken += 1
                    return taken - 1
                }
                base.times.withLockedValue { $0.append(base.now()) }
                return index < base.cids.count ? base.cids[index] : nil
            }
        }

        func makeAsyncIterator() -> AsyncIterator { AsyncIterator(base: self) }
    }

    @Test(arguments: [BlockSequence.Order.arrival, .request])
    func manyBlocksComeEachOnce(_ order: BlockSequence.Order) async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            let client = simulation.node()
            for _ in 0..<3 {
                let server = simulation.node()
                try await server.store.put(blocks)
                simulation.connect(server, client, Self.link)
            }
            try await client.store.put(Array(blocks[50..<60]))
            var got: [CID] = []
            var local = 0
            try await client.exchange.withSession { session in
                for try await fetched in session.blocks(for: blocks.map(\.cid), order: order) {
                    got.append(fetched.block.cid)
                    if fetched.source == .local { local += 1 }
                }
            }
            #expect(Set(got) == Set(blocks.map(\.cid)) && got.count == blocks.count)
            if order == .request { #expect(got == blocks.map(\.cid)) }
            #expect(local == 10)
            #expect(client.traffic.duplicateBlocksReceived == 0)
        }
    }

    /// Whoever is asked whether it has such a block gives it: until the client knows how small they are, each gives some.
    @Test(arguments: [500, 5_000])
    func smallBlocksOfSeveralHoldersComeOnceButForTheFirst(_ count: Int) async throws {
        let small = madeUpBlocks(count, bytes: 500, seed: 2)
        try await Simulation.run(seed: 1) { simulation in
            let client = simulation.node()
            for _ in 0..<3 {
                let server = simulation.node()
                try await server.store.put(small)
                simulation.connect(server, client, Self.link)
            }
            var got = 0
            try await client.exchange.withSession { session in
                for try await _ in session.blocks(for: small.map(\.cid)) { got += 1 }
            }
            #expect(got == count)
            #expect(client.traffic.duplicateBlocksReceived <= 40)
        }
    }

    @Test(arguments: [BlockSequence.Order.arrival, .request])
    func noMoreIsTakenThanThereIsRoomFor(_ order: BlockSequence.Order) async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            let (server, client) = (simulation.node(), simulation.node())
            try await server.store.put(blocks)
            simulation.connect(server, client, Self.link)
            let cids = Counted(cids: blocks.map(\.cid))
            try await client.exchange.withSession { session in
                var iterator = session.blocks(for: cids, order: order, bytes: 100_000).makeAsyncIterator()
                _ = try await iterator.next()
                try await simulation.sleep(for: .seconds(10))
                // Ten blocks wait to be read, one was; one more was asked for while their size was not known.
                let taken = cids.taken.withLockedValue { $0 }
                #expect(taken >= 10 && taken <= 13, "\(taken)")
                var count = 1
                while try await iterator.next() != nil { count += 1 }
                #expect(count == blocks.count)
            }
        }
    }

    @Test(arguments: [(3, 3), (4, 3)]) func soManyAreWantedAtATime(_ count: Int, _ wanted: Int) async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            var configuration = Exchange.Configuration()
            configuration.limits.wantsPerSequence = 3
            let client = simulation.node(configuration: configuration)
            let blocks = Array(blocks[..<count])
            try await client.exchange.withSession { session in
                var iterator = session.blocks(for: blocks.map(\.cid), timeout: nil).makeAsyncIterator()
                try await simulation.sleep(for: .seconds(1))
                #expect(client.exchange.wantlist.count == wanted)
                try await client.store.put(blocks[0])
                client.exchange.offer([blocks[0]])
                _ = try await iterator.next()
                try await simulation.sleep(for: .seconds(1))
                #expect(client.exchange.wantlist.count == count - 1, "one has made room for another")
            }
        }
    }

    /// What comes when too much waits to be read is read again from the store, but for what is in its CID and in no store.
    @Test(arguments: [BlockSequence.Order.arrival, .request])
    func whatIsInItsCIDComesThoughTooMuchWaitsToBeRead(_ order: BlockSequence.Order) async throws {
        let inline = CID(codec: .raw, multihash: try Multihash(code: .identity, digest: Array("inline".utf8)))
        // The first is small, so that many more are asked for at once than there is room for.
        let fetched = madeUpBlocks(1, bytes: 1_000, seed: 3) + blocks[..<60]
        let all = fetched.map(\.cid) + [inline]
        try await Simulation.run(seed: 1) { simulation in
            let (server, client) = (simulation.node(), simulation.node())
            try await server.store.put(fetched)
            simulation.connect(server, client, Self.link)
            let taken = NIOLockedValueBox(0)
            let cids = AsyncStream<CID> {
                let index = taken.withLockedValue { taken in
                    defer { taken += 1 }
                    return taken
                }
                // The others have come by then.
                if index == fetched.count { try? await simulation.sleep(for: .seconds(5)) }
                return index < all.count ? all[index] : nil
            }
            var got: [CID] = []
            try await client.exchange.withSession { session in
                // Room for the first and 39 others, to the byte.
                let sequence = session.blocks(for: cids, order: order, bytes: 391_000)
                try await simulation.sleep(for: .seconds(10))
                for try await block in sequence { got.append(block.block.cid) }
            }
            #expect(Set(got) == Set(all) && got.count == all.count)
        }
    }

    /// Whatever goes wrong with the store, a sequence tells it as the exchange's own error.
    @Test func whatCannotBeReadAgainIsToldAsTheStoresFailure() async throws {
        let fetched = madeUpBlocks(1, bytes: 1_000, seed: 3) + blocks[..<60]
        try await Simulation.run(seed: 1) { simulation in
            let (server, client) = (simulation.node(), simulation.node())
            try await server.store.put(fetched)
            simulation.connect(server, client, Self.link)
            try await client.exchange.withSession { session in
                let sequence = session.blocks(for: fetched.map(\.cid), bytes: 100_000)
                try await simulation.sleep(for: .seconds(10))
                try await client.store.close()
                let error = await #expect(throws: ExchangeError.self) { for try await _ in sequence {} }
                #expect(error?.code == .storeFailed)
                #expect((error?.underlying as? BlockstoreError)?.code == .closed)
            }
        }
    }

    /// One by one each would be a look-up and a message of its own.
    @Test(arguments: [BlockSequence.Order.arrival, .request])
    func whatIsTakenIsTakenTogether(_ order: BlockSequence.Order) async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            let (server, client) = (simulation.node(), simulation.node())
            try await server.store.put(blocks)
            simulation.connect(server, client, Self.link)
            let cids = Counted(cids: blocks.map(\.cid), now: simulation.timeSource.now)
            var count = 0
            try await client.exchange.withSession { session in
                // Room for 40.
                for try await _ in session.blocks(for: cids, order: order, bytes: 400_000) { count += 1 }
            }
            #expect(count == blocks.count)
            let times = Set(cids.times.withLockedValue { $0 }).count
            #expect(times <= blocks.count / 8, "\(times)")
        }
    }

    @Test func whatIsLeftIsWantedNoMoreAnywhere() async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            let (server, client) = (simulation.node(), simulation.node())
            try await server.store.put(Array(blocks[..<10]))
            simulation.connect(server, client, Self.link)
            try await client.exchange.withSession { session in
                var count = 0
                for try await _ in session.blocks(for: blocks.map(\.cid)) {
                    count += 1
                    if count == 10 { break }
                }
            }
            #expect(client.exchange.wantlist.isEmpty)
            try await simulation.sleep(for: .seconds(1))
            #expect(server.exchange.ledger(of: client.id)?.wants == 0)
        }
    }

    @Test func aReaderThatIsCancelledTakesItsWantsBack() async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            let (server, client) = (simulation.node(), simulation.node())
            simulation.connect(server, client, Self.link)
            await client.exchange.withSession { session in
                await withTaskGroup(of: Void.self) { group in
                    group.addTask {
                        let error = await #expect(throws: ExchangeError.self) {
                            for try await _ in session.blocks(for: blocks.map(\.cid)) {}
                        }
                        #expect(error?.code == .cancelled)
                    }
                    group.addTask { try? await simulation.sleep(for: .seconds(1)) }
                    await group.next()
                    #expect(client.exchange.wantlist.count > 100)
                    group.cancelAll()
                }
                #expect(client.exchange.wantlist.isEmpty)
            }
            try? await simulation.sleep(for: .seconds(1))
            #expect(server.exchange.ledger(of: client.id)?.wants == 0)
        }
    }

    @Test func nothingForTooLongEndsTheSequence() async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            let (server, client) = (simulation.node(), simulation.node())
            try await server.store.put(Array(blocks[..<10]))
            simulation.connect(server, client, Self.link)
            await client.exchange.withSession { session in
                var count = 0
                do {
                    for try await _ in session.blocks(for: blocks.map(\.cid), timeout: .seconds(5)) { count += 1 }
                    Issue.record("blocks came from nowhere")
                } catch {
                    let error = error as? ExchangeError
                    #expect(error?.code == .timedOut)
                    #expect(error?.answers == [server.id: .dontHave])
                }
                #expect(count == 10)
            }
            #expect(simulation.now >= .seconds(5) && simulation.now < .seconds(6))
        }
    }

    @Test func onlyThoseThatAreNamedAreAsked() async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            let (named, other, client) = (simulation.node(), simulation.node(), simulation.node())
            try await other.store.put(blocks)
            for server in [named, other] { simulation.connect(server, client, Self.link) }
            let error = await #expect(throws: ExchangeError.self) {
                try await client.exchange.withSession(providers: .only([named.id])) { session in
                    _ = try await session.want(blocks[0].cid, timeout: .seconds(60))
                }
            }
            #expect(error?.code == .notFound)
            #expect(error?.answers == [named.id: .dontHave])
            #expect(simulation.now < .seconds(1))
            #expect(other.traffic.bytesSent == 0)
        }
    }

    @Test func whoHadOneBlockIsAskedForTheNext() async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            let client = simulation.node()
            let servers = (0..<10).map { _ in simulation.node() }
            try await servers[3].store.put(blocks)
            for server in servers { simulation.connect(server, client, Self.link) }
            try await client.exchange.withSession { session in
                for block in blocks { _ = try await session.want(block.cid) }
            }
            let others = servers.filter { $0 !== servers[3] }.map(\.traffic.dontHavesSent)
            // Each block is asked of two others beside it, less and less often, and never of all.
            #expect(others.reduce(0, +) < 2 * blocks.count)
            #expect(client.traffic.duplicateBlocksReceived == 0)
        }
    }

    @Test func eventsTellTheStory() async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            let (empty, server, client) = (simulation.node(), simulation.node(), simulation.node())
            try await server.store.put(blocks)
            for peer in [empty, server] { simulation.connect(peer, client, Self.link) }
            let cid = blocks[0].cid
            let events = try await client.exchange.withSession { session in
                let events = session.events
                _ = try await session.want(cid)
                return events
            }
            var told: Set<SessionEvent> = []
            for await event in events { told.insert(event) }
            #expect(told.contains(.opened(cid)))
            #expect(told.contains(.received(cid, server.id, bytes: 10_000)))
            #expect(
                told.contains { event in
                    if case .asked(cid, server.id, _) = event { return true }
                    return false
                })
        }
    }

    @Test func aResultOutlivesItsSession() async throws {
        try await Simulation.run(seed: 1) { [blocks] simulation in
            let client = simulation.node()
            let escaped = await client.exchange.withSession { $0 }
            let error = await #expect(throws: ExchangeError.self) { _ = try await escaped.want(blocks[0].cid) }
            #expect(error?.code == .cancelled)
        }
    }
}
