import Blockstore
import Libp2p
import Logging
import Multiformats
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import Bitswap

/// What the client asks of peers, at its limits and one past them.
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
                let session = client.beginSession(.preferring([peer(1)]), isEphemeral: false, now: .zero)
                let waiters = texts.compactMap { client.register(cid($0), in: session, deadline: nil, now: .zero) }
                return client.open(waiters, now: .zero)
            })
    }
}
