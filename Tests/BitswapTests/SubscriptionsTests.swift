import Multiformats
import Testing

@testable import Bitswap

@Suite struct SubscriptionsTests {
    private let peers = (0..<3).map { ExchangePeer(peer($0), limits: BitswapLimits()) }
    private func keys(_ texts: String...) -> [Multihash] { texts.map { cid($0).multihash } }

    @Test func whoWaitsForABlockIsGivenInTheOrderOfAsking() throws {
        var subscriptions = Subscriptions(bytes: 100_000)
        let v0 = try CID(version: .v0, codec: .dagPB, multihash: cid("a").multihash)
        subscriptions.add([cid("a"), cid("b")], of: peers[2])
        subscriptions.add([cid("a")], of: peers[0])
        subscriptions.add([v0], of: peers[1])
        #expect(subscriptions.count == 4)
        let taken = subscriptions.take(keys("x", "a"))
        #expect(taken.map(\.subscriber.peer.id) == [peer(2), peer(0), peer(1)])
        #expect(taken.map(\.subscriber.cid) == [cid("a"), cid("a"), v0], "each as it wrote it")
        #expect(taken.map(\.index) == [1, 1, 1])
        #expect(subscriptions.count == 1)
        #expect(subscriptions.contains(cid("b").multihash))
        #expect(!subscriptions.contains(cid("a").multihash))
    }

    @Test func whatIsTakenBackIsGone() {
        var subscriptions = Subscriptions(bytes: 100_000)
        subscriptions.add([cid("a")], of: peers[0])
        subscriptions.add([cid("a")], of: peers[1])
        subscriptions.remove([cid("a"), cid("b")], of: peers[0])
        #expect(subscriptions.count == 1)
        #expect(subscriptions.take(keys("a")).map(\.subscriber.peer.id) == [peer(1)])
        #expect(subscriptions.count == 0)
    }

    @Test func everyComingIsCounted() {
        var subscriptions = Subscriptions(bytes: 100_000)
        let before = subscriptions.arrivals
        #expect(subscriptions.take(keys("a")).isEmpty)
        #expect(subscriptions.arrivals != before)
    }

    @Test func theirBytesAreCountedAndGivenBack() {
        let one = cid("a").subscriptionBytes
        var subscriptions = Subscriptions(bytes: 100 * one)
        #expect(subscriptions.room(for: 0) == 50 * one)
        subscriptions.add((0..<10).map { cid("\($0)") }, of: peers[0])
        #expect(subscriptions.room(for: 0) == 45 * one)
        subscriptions.remove([cid("0"), cid("none")], of: peers[0])
        _ = subscriptions.take(keys("1", "2", "none"))
        #expect(subscriptions.room(for: 0) == 93 * one / 2)
    }
}
