import Blockstore
import Libp2p
import Logging
import Multiformats
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import Bitswap

/// What the client keeps and asks of peers, at its limits and one past them.
@Suite(.timeLimit(.minutes(5))) struct ClientLimitTests {
    private func harness(_ set: (inout BitswapLimits) -> Void) -> ClientHarness {
        var limits = BitswapLimits()
        set(&limits)
        return ClientHarness(limits: limits)
    }

    // MARK: What is outstanding

    @Test func aWantIsKeptBackWhenAsManyBlocksAreOwedAsMayBe() {
        var it = harness { $0.outstandingWantsPerPeer = 3 }
        it.connect(1)
        let session = it.session()
        it.want((1...3).map { cid("\($0)") }, in: session)
        #expect(!it.takeEffects().keepsWantsBack)
        it.want([cid("4")], in: session)
        #expect(it.takeEffects().keepsWantsBack)
        #expect(it.take(1).cids(.block).count == 3)
    }

    @Test(arguments: [(WantType.block, 8), (.have, 6)])
    func aWantIsKeptBackWhenThePeerKnowsOfAsManyAsItMay(_ type: WantType, _ limit: Int) {
        var queue = PeerWants()
        func take() -> PeerWants.Taken { queue.take(limit: 99, outstanding: 8, version: .v1_2_0, now: .zero) }
        for number in 1...limit { queue.want(cid("\(number)"), type) }
        var taken = take()
        #expect(taken.cids(type).count == limit && !taken.keepsWantsBack)
        queue.want(cid("one more"), type)
        taken = take()
        #expect(taken.isEmpty && taken.keepsWantsBack)
    }

    @Test func whatIsKeptBackIsCountedOnceForAllThatIsWantedTogether() {
        let exchange = exchange { $0.outstandingWantsPerPeer = 3 }
        exchange.connected(peer(1))
        want((1...3).map { "\($0)" }, of: exchange)
        #expect(exchange.statistics.limitHits == [:])
        want((4...9).map { "\($0)" }, of: exchange)
        #expect(exchange.statistics.limitHits == ["outstandingWantsPerPeer": 1])
    }

    @Test(arguments: [false, true]) func pastTheBytesOfAllWantlistsALittleIsSentAtATime(isPast: Bool) async throws {
        let network = MemoryNetwork()
        let other = network.addScripted(peer(1))
        let exchange = exchange(on: network) { $0.unansweredQuestions = 100 }
        network.add(exchange, as: peer(0))
        let limit = exchange.configuration.limits.wantlistBytes
        exchange.wantlistBytes.withLockedValue { $0 = limit + (isPast ? 1 : 0) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await network.run() }
            group.addTask { await exchange.run() }
            network.connect(peer(0), peer(1))
            want((0..<100).map(String.init), of: exchange)
            var frames = other.frames.makeAsyncIterator()
            let frame = try #require(await frames.next())
            #expect(try MessageDecoder.message(in: frame).entries.count == (isPast ? 64 : 100))
            #expect((exchange.statistics.limitHits["wantlistBytes"] != nil) == isPast)
            group.cancelAll()
        }
    }

    private func exchange(
        on network: MemoryNetwork = MemoryNetwork(), _ set: (inout BitswapLimits) -> Void = { _ in }
    ) -> Exchange {
        var configuration = Exchange.Configuration()
        set(&configuration.limits)
        return Exchange(
            store: MemoryBlockstore(), network: network.face(of: peer(0)), configuration: configuration,
            time: ManualClock().timeSource, logger: Logger(label: "test"))
    }

    /// Wants blocks of peer 1, all in one go.
    private func want(_ texts: [String], of exchange: Exchange) {
        exchange.perform(
            exchange.client.withLockedValue { client in
                let session = client.beginSession(.preferring([peer(1)]), isEphemeral: false)
                let waiters = texts.compactMap { client.register(cid($0), in: session, deadline: nil, now: .zero) }
                return client.open(waiters, now: .zero)
            })
    }

    // MARK: Who is asked

    @Test(arguments: [(4, 4), (5, 4)]) func aBlockIsAskedOfSoManyPeers(_ count: Int, _ asked: Int) {
        var it = harness { $0.questionsPerWant = 4 }
        for number in 1...count { it.connect(number) }
        it.want(cid("a"))
        #expect((1...count).count { !it.take($0).isEmpty } == asked)
    }

    @Test func whoAnswersMakesRoomForAQuestionToAnother() {
        var it = harness { $0.questionsPerWant = 1 }
        it.connect(1, 2)
        it.want(cid("a"))
        let asked = (1...2).filter { !it.take($0).isEmpty }
        #expect(asked.count == 1)
        it.dontHave(cid("a"), from: asked[0])
        #expect(it.take(3 - asked[0]).type(of: cid("a")) != nil)
    }

    @Test func aPeerIsAskedSoManyQuestionsBeforeItAnswers() {
        var it = harness { $0.unansweredQuestions = 3 }
        it.connect(1)
        let session = it.session()
        it.want((1...3).map { cid("\($0)") }, in: session)
        #expect(it.take(1).entries.count == 3)
        it.want([cid("4")], in: session)
        #expect(it.take(1).isEmpty)
        it.dontHave(cid("1"), from: 1)
        #expect(it.take(1).type(of: cid("4")) != nil)
    }

    // MARK: What is remembered

    @Test func aSessionRemembersSoManyPeers() {
        let session = SessionState(id: 1, reach: .any, named: [], isEphemeral: false)
        for key in 1...3 {
            #expect(session.answered(key, has: key < 3, isFirst: true, limit: 3, now: .zero) == (key < 3))
        }
        #expect(session.standings.keys.sorted() == [1, 2, 3])
        #expect(session.answered(4, has: true, isFirst: true, limit: 3, now: .zero))
        #expect(session.standings.keys.sorted() == [1, 2, 4], "the one of no use has made room")
        session.found(5, limit: 3)
        session.asked(6, limit: 3, now: .zero)
        #expect(session.standings.keys.sorted() == [1, 2, 4] && session.members == [1, 2, 4], "all are of use")
    }

    @Test func soManyPeersAreRememberedThatAreGone() {
        var it = harness { $0.rememberedPeers = 4 }
        for number in 1...4 { _ = it.client.key(of: peer(number)) }
        #expect(it.client.peers.count == 4)
        _ = it.client.key(of: peer(5))
        #expect(Set(it.client.peerKeys.keys) == Set((3...5).map(peer)), "the oldest make room, some at a time")
    }

    /// The older ones were all of use, and the new ones not yet.
    @Test func whoJustCameIsNotForgottenForThoseThatAreGone() {
        var it = harness { $0.rememberedPeers = 4 }
        for number in 1...4 {
            let key = it.client.key(of: peer(number))
            it.client.peers[key]?.isUseful = true
        }
        it.connect(5)
        #expect(it.client.isConnected(peer(5)))
        it.want(cid("a"), .only([peer(6), peer(7)]))
        let effects = it.takeEffects()
        #expect(effects.finished.isEmpty, "nobody was forgotten who is named")
        #expect(effects.dials.map(\.peer) == [peer(6), peer(7)])
    }

    @Test func soManyAddressesOfAPeerAreRemembered() throws {
        var it = harness { $0.addressesPerPeer = 3 }
        let addresses = try (1...4).map { try Multiaddr("/ip4/127.0.0.1/tcp/\($0)") }
        it.want(cid("a"), .only([Provider(peer(1), addresses: Array(addresses[..<3]))]))
        #expect(it.takeEffects().dials.first?.addresses == Array(addresses[..<3]))
        it.want(cid("b"), .only([Provider(peer(2), addresses: addresses)]))
        #expect(it.takeEffects().dials.first?.addresses == Array(addresses[1...]), "the last ones")
    }

    @Test func soManySessionsAskTheRouterAtATime() {
        let searches = Searches(limit: 2)
        #expect(searches.begin(1) != nil)
        #expect(searches.begin(2) != nil)
        #expect(searches.begin(3) == nil)
        searches.ended(1)
        #expect(searches.begin(2) == nil, "it has one under way")
        #expect(searches.begin(3) != nil)
    }
}
