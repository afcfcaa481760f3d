import Blockstore
import Logging
import Multiformats
import NIOConcurrencyHelpers
import PeerIdentity
import TestSupport
import Testing

@testable import Bitswap

@Suite(.timeLimit(.minutes(5))) struct AccessPolicyTests {
    // MARK: Decisions

    @Test func asMadeItServesEverybody() {
        #expect(AccessPolicy().servesEverybody)
        #expect(AccessPolicy().decision(on: cid("a"), for: peer(1)) == .serve)
        #expect(Exchange.Configuration().access.servesEverybody)
    }

    @Test func listsCombine() throws {
        var access = AccessPolicy()
        access.allowedPeers = [peer(1), peer(2)]
        access.deniedPeers = [peer(2)]
        access.deny([cid("secret")])
        #expect(!access.servesEverybody && !access.mayIgnore)
        #expect(access.decision(on: cid("a"), for: peer(1)) == .serve)
        #expect(access.decision(on: cid("a"), for: peer(2)) == .denyAsAbsent)
        #expect(access.decision(on: cid("a"), for: peer(3)) == .denyAsAbsent)
        #expect(access.decision(on: cid("secret"), for: peer(1)) == .denyAsAbsent)
        let v0 = try CID(version: .v0, codec: .dagPB, multihash: cid("secret").multihash)
        #expect(access.decision(on: v0, for: peer(1)) == .denyAsAbsent)
        access.allowedPeers = []
        #expect(access.decision(on: cid("a"), for: peer(1)) == .denyAsAbsent)
    }

    @Test func eachListAloneIsAPolicy() {
        var (allowing, denying, keeping) = (AccessPolicy(), AccessPolicy(), AccessPolicy())
        allowing.allowedPeers = [peer(1)]
        denying.deniedPeers = [peer(1)]
        keeping.deny([cid("secret")])
        for policy in [allowing, denying, keeping] { #expect(!policy.servesEverybody) }
        #expect([peer(1), peer(2)].map { allowing.decision(on: cid("a"), for: $0) } == [.serve, .denyAsAbsent])
        #expect([peer(1), peer(2)].map { denying.decision(on: cid("a"), for: $0) } == [.denyAsAbsent, .serve])
        #expect([cid("secret"), cid("a")].map { keeping.decision(on: $0, for: peer(1)) } == [.denyAsAbsent, .serve])
    }

    @Test(arguments: AccessPolicy.Decision.allCases, [false, true])
    func theStricterOfListAndFilterHolds(filtered: AccessPolicy.Decision, isListed: Bool) {
        var access = AccessPolicy { _, _ in filtered }
        if isListed { access.deniedPeers = [peer(1)] }
        #expect(!access.servesEverybody && access.mayIgnore)
        let expected = isListed && filtered == .serve ? .denyAsAbsent : filtered
        #expect(access.decision(on: cid("a"), for: peer(1)) == expected)
    }

    @Test func aFilterIsToldWhoWantsWhat() {
        let access = AccessPolicy { $0 == peer(1) && $1 == cid("a") ? .serve : .ignore }
        #expect(access.decision(on: cid("a"), for: peer(1)) == .serve)
        #expect(access.decision(on: cid("b"), for: peer(1)) == .ignore)
        #expect(access.decision(on: cid("a"), for: peer(2)) == .ignore)
    }

    // MARK: An exchange that has one

    private let nodes = ServingNodes()

    @Test func aDeniedBlockIsSaidToBeAbsentAndTheOthersCome() async throws {
        var configuration = Exchange.Configuration()
        configuration.access.deny([cid("secret")])
        let (server, client) = (nodes.node(1, configuration), nodes.node(2))
        try await server.store.put([block("secret"), block("open")])
        try await nodes.running(server, client) {
            nodes.network.connect(server.id, client.id)
            let fetched = try await client.exchange.want(cid("open"))
            #expect(fetched.source == .network(server.id))
            let error = await #expect(throws: ExchangeError.self) {
                try await client.exchange.want(cid("secret"), providers: .only([server.id]))
            }
            #expect(error?.code == .notFound)
            #expect(error?.answers == [server.id: .dontHave])
            #expect(server.exchange.statistics.wantsDenied > 0)
            #expect(server.exchange.statistics.blocksSent == 1)
        }
    }

    @Test func aDeniedPeerGetsNothingOfWhatAnotherGets() async throws {
        var configuration = Exchange.Configuration()
        configuration.access.allowedPeers = [peer(2)]
        let (server, friend, stranger) = (nodes.node(1, configuration), nodes.node(2), nodes.node(3))
        try await server.store.put(block("a"))
        try await nodes.running(server, friend, stranger) {
            for node in [friend, stranger] { nodes.network.connect(server.id, node.id) }
            let error = await #expect(throws: ExchangeError.self) {
                try await stranger.exchange.want(cid("a"), providers: .only([server.id]))
            }
            #expect(error?.answers == [server.id: .dontHave])
            let fetched = try await friend.exchange.want(cid("a"))
            #expect(fetched.source == .network(server.id))
        }
    }

    /// A scripted peer beside an exchange that denies it the block "secret" and serves "open".
    private func asking(
        _ filter: AccessPolicy.Filter? = nil, holding held: [Block] = [],
        _ body: (ServingNodes.Node, MemoryNetwork.Scripted) async throws -> Void
    ) async throws {
        var configuration = Exchange.Configuration()
        configuration.access = AccessPolicy(filter)
        if filter == nil { configuration.access.deny([cid("secret")]) }
        let server = nodes.node(1, configuration)
        try await server.store.put(held)
        let asker = nodes.network.addScripted(peer(2))
        try await nodes.running(server) {
            nodes.network.connect(server.id, asker.id)
            try await body(server, asker)
        }
    }

    @Test func whatIsDeniedIsLookedUpAndSubscribedLikeWhatIsAbsent() async throws {
        try await asking(holding: [block("secret")]) { server, asker in
            asker.send(wantlist([entry("secret"), entry("absent", sendDontHave: false)]), to: server.id)
            var frames = asker.frames.makeAsyncIterator()
            let answer = try MessageDecoder.message(in: try #require(await frames.next()))
            #expect(answer.presences == [Message.Presence(cid: cid("secret"), has: false)])
            #expect(answer.blocks.isEmpty && answer.pendingBytes == 0)
            #expect(server.store.lookups == [cid("secret").multihash, cid("absent").multihash])
            #expect(server.exchange.subscriptions.withLockedValue { $0.count } == 2)
            #expect(server.exchange.ledger(of: asker.id)?.subscriptions == 2)
            let shown = try #require(server.exchange.wantlist(of: asker.id))
            let secret = try #require(shown.first { $0.cid == cid("secret") })
            #expect(secret.isDenied && secret.isHeld == nil)
            let absent = try #require(shown.first { $0.cid == cid("absent") })
            #expect(!absent.isDenied && absent.isHeld == false)
        }
    }

    @Test func aDeniedBlockStaysAwayWhenItIsPut() async throws {
        try await asking { server, asker in
            asker.send(wantlist([entry("secret", sendDontHave: false), entry("open", .have)]), to: server.id)
            try await eventually("both are waited for") {
                server.exchange.subscriptions.withLockedValue { $0.count } == 2
            }
            var frames = asker.frames.makeAsyncIterator()
            let first = try MessageDecoder.message(in: try #require(await frames.next()))
            #expect(first.presences == [Message.Presence(cid: cid("open"), has: false)])
            for _ in 0..<2 {
                try await server.store.put(block("secret"))
                server.exchange.offer([block("secret")])
            }
            #expect(server.exchange.subscriptions.withLockedValue { $0.count } == 1 + 1)
            try await server.store.put(block("open"))
            server.exchange.offer([block("secret"), block("open")])
            let second = try MessageDecoder.message(in: try #require(await frames.next()))
            #expect(second.blocks.map(\.data) == [block("open").bytes])
            #expect(second.presences.isEmpty)
            #expect(server.exchange.subscriptions.withLockedValue { $0.count } == 1)
            // A cancel ends it as it ends any.
            asker.send(wantlist([Message.Entry(cid: cid("secret"), kind: .cancel)]), to: server.id)
            try await eventually("nothing is waited for") {
                server.exchange.subscriptions.withLockedValue { $0.count } == 0
            }
            #expect(server.exchange.statistics.blocksSent == 1)
        }
    }

    @Test func anIgnoredWantIsNotKeptAndNotAnswered() async throws {
        let filter: AccessPolicy.Filter = { $1.multihash == cid("secret").multihash ? .ignore : .serve }
        try await asking(filter, holding: [block("secret"), block("open")]) { server, asker in
            asker.send(wantlist([entry("secret"), entry("secret", .have), entry("open")]), to: server.id)
            var frames = asker.frames.makeAsyncIterator()
            let answer = try MessageDecoder.message(in: try #require(await frames.next()))
            #expect(answer.blocks.map(\.data) == [block("open").bytes])
            #expect(answer.presences.isEmpty)
            #expect(server.store.lookups == [cid("open").multihash])
            #expect(server.exchange.wantlist(of: asker.id)?.contains { $0.cid == cid("secret") } == false)
            #expect(server.exchange.subscriptions.withLockedValue { $0.count } == 0)
            #expect(server.exchange.statistics.wantsDenied == 2)
            server.exchange.offer([block("secret")])
            asker.send(wantlist([entry("open", .have)]), to: server.id)
            let next = try MessageDecoder.message(in: try #require(await frames.next()))
            #expect(next.blocks.map(\.data) == [block("open").bytes])
            #expect(next.presences.isEmpty)
        }
    }

    @Test func aFullWantlistOfIgnoredWantsReplacesWhatWasWanted() async throws {
        let filter: AccessPolicy.Filter = { $1 == cid("secret") ? .ignore : .serve }
        try await asking(filter) { server, asker in
            asker.send(wantlist([entry("absent")]), to: server.id)
            try await eventually("it is waited for") { server.exchange.wantlist(of: asker.id)?.count == 1 }
            asker.send(wantlist([entry("secret")], isFull: true), to: server.id)
            try await eventually("nothing is wanted") { server.exchange.wantlist(of: asker.id)?.isEmpty == true }
        }
    }

    @Test func aFilterThatChangesItsMindIsAskedAgainWhenTheBlockComes() async throws {
        let isOpen = NIOLockedValueBox(true)
        let filter: AccessPolicy.Filter = { _, cid in
            cid == block("late").cid && !isOpen.withLockedValue { $0 } ? .ignore : .serve
        }
        try await asking(filter) { server, asker in
            asker.send(wantlist([entry("late", sendDontHave: false), entry("open")]), to: server.id)
            try await eventually("both are waited for") {
                server.exchange.subscriptions.withLockedValue { $0.count } == 2
            }
            isOpen.withLockedValue { $0 = false }
            try await server.store.put([block("late"), block("open")])
            server.exchange.offer([block("late"), block("open")])
            var frames = asker.frames.makeAsyncIterator()
            var blocks: [Message.ReceivedBlock] = []
            while blocks.isEmpty { blocks = try MessageDecoder.message(in: try #require(await frames.next())).blocks }
            #expect(blocks.map(\.data) == [block("open").bytes])
            isOpen.withLockedValue { $0 = true }
            server.exchange.offer([block("late")])
            let next = try MessageDecoder.message(in: try #require(await frames.next()))
            #expect(next.blocks.map(\.data) == [block("late").bytes])
        }
    }
}
