import Testing

@testable import Bitswap

@Suite struct PeerEstimateTests {
    /// A peer of 100 ms that has given one block of 1,000 bytes in a second.
    private func known() -> PeerEstimate {
        var estimate = PeerEstimate()
        estimate.answered(after: .milliseconds(100))
        estimate.beganWaiting(now: .zero)
        estimate.received(1_000, now: .milliseconds(1_100), owesMore: false)
        return estimate
    }

    @Test func theWayThereAndBackIsNotThePeersSpeed() throws {
        #expect(try #require(known().rate) == 1_000)
    }

    @Test(arguments: [Duration.zero, .milliseconds(99)])
    func whatComesSoonerThanAnAnswerCanSaysNothingOfTheRate(_ delay: Duration) throws {
        var estimate = known()
        estimate.beganWaiting(now: .seconds(2))
        estimate.received(1 << 20, now: .seconds(2) + delay, owesMore: false)
        #expect(try #require(estimate.rate) == 1_000)
        #expect(estimate.delivered == 1_000 + 1 << 20)
    }

    @Test func whatComesInARoundTripCounts() throws {
        var estimate = known()
        estimate.beganWaiting(now: .seconds(2))
        estimate.received(1_000, now: .seconds(2) + .milliseconds(100), owesMore: false)
        #expect(try #require(estimate.rate) > 1_000)
    }
}
