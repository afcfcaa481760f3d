import Multiformats
import Testing

@testable import Bitswap

@Suite struct SubscriptionsTests {
    private let peers = (0..<3).map { ExchangePeer(peer($0), limits: BitswapLimits()) }
    private func keys(_ texts: String...) -> [Multihash] { texts.map { cid($0).multihash } }

    @Test func whoWaitsForABlockIsGivenInTheOrderOfAsking() throws {
        var subscriptions = Subscriptions(limit: 100)
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
        var subscriptions = Subscriptions(limit: 100)
        subscriptions.add([cid("a")], of: peers[0])
        subscriptions.add([cid("a")], of: peers[1])
        subscriptions.remove([cid("a"), cid("b")], of: peers[0])
        #expect(subscriptions.count == 1)
        #expect(subscriptions.take(keys("a")).map(\.subscriber.peer.id) == [peer(1)])
        #expect(subscriptions.count == 0)
    }

    @Test func everyComingIsCounted() {
        var subscriptions = Subscriptions(limit: 100)
        let before = subscriptions.arrivals
        #expect(subscriptions.take(keys("a")).isEmpty)
        #expect(subscriptions.arrivals != before)
    }

    @Test func howeverMuchIsWantedThereIsRoomForAnother() {
        var subscriptions = Subscriptions(limit: 1_000)
        var counts = [0, 0, 0]
        for round in 0..<3_000 {
            let who = round % 2
            guard subscriptions.room(for: counts[who]) > counts[who] else { continue }
            subscriptions.add([cid("\(round)")], of: peers[who])
            counts[who] += 1
        }
        #expect(counts[0] + counts[1] < 700)
        #expect(counts[0] > 300 && counts[1] > 300)
        #expect(subscriptions.room(for: 0) > 150, "the third finds room")
    }
}
