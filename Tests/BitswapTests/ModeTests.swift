import Blockstore
import Libp2p
import Multiformats
import NIOConcurrencyHelpers
import NIOCore
import PeerIdentity
import TestSupport
import Testing

@testable import Bitswap

/// Exchanges that do not serve, or do not fetch.
@Suite(.timeLimit(.minutes(5))) struct ModeTests {
    private let nodes = ServingNodes()

    // MARK: Without its server

    private func withoutServer(
        version: BitswapVersion = .v1_2_0, _ body: (ServingNodes.Node, MemoryNetwork.Scripted) async throws -> Void
    ) async throws {
        var configuration = Exchange.Configuration()
        configuration.servesBlocks = false
        let server = nodes.node(1, configuration)
        try await server.store.put(block("held"))
        let asker = nodes.network.addScripted(peer(2), version: version)
        try await nodes.running(server) {
            nodes.network.connect(server.id, asker.id)
            try await body(server, asker)
        }
    }

    @Test func everyWantIsDeniedAndNothingIsLookedUpOrKept() async throws {
        try await withoutServer { server, asker in
            asker.send(
                wantlist([
                    entry("held"), entry("silent", sendDontHave: false), entry("absent", .have),
                    entry("held silently", .have, sendDontHave: false),
                ]), to: server.id)
            var frames = asker.frames.makeAsyncIterator()
            let answer = try MessageDecoder.message(in: try #require(await frames.next()))
            #expect(Set(answer.presences.map(\.cid)) == [cid("held"), cid("absent")])
            #expect(answer.presences.allSatisfy { !$0.has } && answer.blocks.isEmpty)
            try await eventually("no want is left") { server.exchange.wantlist(of: asker.id)?.isEmpty == true }
            #expect(server.exchange.subscriptions.withLockedValue { $0.count } == 0)
            #expect(server.store.lookups.isEmpty)
            #expect(server.exchange.statistics.wantsDropped == 0)
            #expect(server.exchange.statistics.limitHits.isEmpty)
            // What comes later changes nothing; who asks again is told again.
            server.exchange.offer([block("held")])
            asker.send(wantlist([entry("held")]), to: server.id)
            let again = try MessageDecoder.message(in: try #require(await frames.next()))
            #expect(again.presences == [Message.Presence(cid: cid("held"), has: false)])
        }
    }

    @Test(arguments: [BitswapVersion.v1_1_0, .unversioned])
    func aPeerOfAnOlderVersionHearsNothing(_ version: BitswapVersion) async throws {
        try await withoutServer(version: version) { server, asker in
            asker.send(wantlist([entry("held"), entry("silent", sendDontHave: false)]), to: server.id)
            try await eventually("it is dealt with") {
                server.exchange.statistics.wantBlocksReceived == 2
                    && server.exchange.wantlist(of: asker.id)?.isEmpty == true
            }
            #expect(server.exchange.statistics.messagesSent == 0)
        }
    }

    @Test func itFetchesAllTheSame() async throws {
        var configuration = Exchange.Configuration()
        configuration.servesBlocks = false
        let (client, server) = (nodes.node(1, configuration), nodes.node(2))
        try await server.store.put(block("a"))
        try await nodes.running(server, client) {
            nodes.network.connect(server.id, client.id)
            let fetched = try await client.exchange.want(cid("a"))
            #expect(fetched.source == .network(server.id))
        }
    }

    // MARK: Without its client

    /// Says that everybody has everything, and counts how often it was asked.
    private final class EagerRouter: ContentRouting {
        let questions = NIOLockedValueBox(0)

        func providers(of cid: CID) -> any AsyncSequence<Provider, any Error> {
            questions.withLockedValue { $0 += 1 }
            return AsyncThrowingStream { continuation in
                continuation.yield(Provider(peer(9)))
                continuation.finish()
            }
        }

        func provide(_ cid: CID) async throws {}
    }

    private func withoutClient(
        _ body: (ServingNodes.Node, MemoryNetwork.Scripted) async throws -> Void
    ) async throws {
        var configuration = Exchange.Configuration()
        configuration.fetchesBlocks = false
        configuration.routerDelay = .zero
        let router = EagerRouter()
        let node = nodes.node(1, configuration, router: router)
        let other = nodes.network.addScripted(peer(2))
        try await nodes.running(node) {
            nodes.network.connect(node.id, other.id)
            try await body(node, other)
            #expect(node.exchange.statistics.messagesSent == 0)
            #expect(node.exchange.statistics.wantBlocksSent + node.exchange.statistics.wantHavesSent == 0)
            #expect(node.exchange.wantlist.isEmpty && node.exchange.waiterCount == 0)
            #expect(router.questions.withLockedValue { $0 } == 0)
        }
    }

    private func expectNotFetched(_ error: (any Error)?, _ wanted: CID) {
        let error = error as? ExchangeError
        #expect(error?.code == .notFound)
        #expect(error?.message.contains("\(wanted)") == true)
        #expect(error?.message.contains("fetches none") == true)
        #expect(error?.answers.values.contains { $0 != .notYetAsked } == false)
    }

    @Test func aWantOfAnAbsentBlockEndsAtOnceAndNobodyIsAsked() async throws {
        try await withoutClient { node, other in
            for providers in [Providers.any, .only([other.id]), .preferring([peer(3)])] {
                let error = await #expect(throws: ExchangeError.self) {
                    try await node.exchange.want(cid("absent"), providers: providers)
                }
                expectNotFetched(error, cid("absent"))
            }
            await node.exchange.withSession(providers: .preferring([peer(3)])) { session in
                let error = await #expect(throws: ExchangeError.self) { try await session.want(cid("absent")) }
                expectNotFetched(error, cid("absent"))
            }
        }
    }

    @Test func whatIsInTheOwnStoreIsThere() async throws {
        try await withoutClient { node, _ in
            try await node.store.put([block("a"), block("b")])
            #expect(try await node.exchange.want(cid("a")).source == .local)
            try await node.exchange.withSession { session in
                var blocks: [Block] = []
                for try await fetched in session.blocks(for: [cid("a"), cid("b")], order: .request) {
                    blocks.append(fetched.block)
                }
                #expect(blocks == [block("a"), block("b")])
            }
        }
    }

    @Test(arguments: [BlockSequence.Order.request, .arrival])
    func aSequenceEndsWithTheFirstBlockThatIsAbsent(_ order: BlockSequence.Order) async throws {
        try await withoutClient { node, _ in
            try await node.store.put(block("a"))
            await node.exchange.withSession { session in
                let error = await #expect(throws: (any Error).self) {
                    for try await _ in session.blocks(for: [cid("a"), cid("absent")], order: order) {}
                }
                expectNotFetched(error, cid("absent"))
            }
        }
    }

    @Test func whatIsPutAfterAWantIsThereForTheNext() async throws {
        try await withoutClient { node, _ in
            _ = await #expect(throws: ExchangeError.self) { try await node.exchange.want(cid("late")) }
            try await node.store.put(block("late"))
            node.exchange.offer([block("late")])
            #expect(try await node.exchange.want(cid("late")).source == .local)
        }
    }

    @Test func whatPeersSendUnaskedIsRefused() async throws {
        try await withoutClient { node, other in
            var encoder = MessageEncoder(version: .v1_2_0, entries: [], isFull: false, capacity: 0)
            block("unasked").bytes.withUnsafeReadableBytes { encoder.append(block: $0, cid: cid("unasked")) }
            other.send(encoder.finish(pendingBytes: 0), to: node.id)
            try await eventually("it is counted") { node.exchange.statistics.refusedBlocks == 1 }
            #expect(try await !node.store.has(cid("unasked").multihash))
        }
    }

    @Test func itServesAllTheSame() async throws {
        var configuration = Exchange.Configuration()
        configuration.fetchesBlocks = false
        let (server, client) = (nodes.node(1, configuration), nodes.node(2))
        try await server.store.put(block("a"))
        try await nodes.running(server, client) {
            nodes.network.connect(server.id, client.id)
            let fetched = try await client.exchange.want(cid("a"))
            #expect(fetched.source == .network(server.id))
        }
    }
}
