import Testing

@testable import Bitswap

@Suite struct WayTests {
    /// How often the task of the way is woken by what was done; raising twice before it looks is once.
    private func wakes(of way: Way) async -> Int {
        way.end()
        var count = 0
        for await _ in way.wake.raised { count += 1 }
        return count
    }

    @Test func whoComesSecondIsSeenToByTheFirst() async {
        let way = Way(to: peer(1))
        #expect(way.take())
        #expect(!way.take())
        way.release()
        #expect(way.take(), "it is free again")
        way.release()
        #expect(await wakes(of: way) == 1)
    }

    @Test func nobodyIsWokenForNothing() async {
        let way = Way(to: peer(1))
        #expect(way.take())
        way.release()
        #expect(await wakes(of: way) == 0)
    }

    @Test func whatIsLeftIsForTheTask() async {
        let way = Way(to: peer(1))
        #expect(way.take())
        way.release(lookAgain: true)
        #expect(await wakes(of: way) == 1)
    }

    @Test func aWayThatIsNotOpenHasNoIdleOutlet() {
        #expect(Way(to: peer(1)).idleOutlet == nil)
    }
}
