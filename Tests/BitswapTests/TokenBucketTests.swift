import Testing

@testable import Bitswap

@Suite struct TokenBucketTests {
    @Test func aQuarterOfASecondGoesAtOnceAndThenTheRateHolds() {
        var bucket = TokenBucket(rate: 100_000, now: .zero)
        var now = Duration.zero
        var taken = 0
        while now < .seconds(10) {
            while bucket.isOpen(at: now) {
                bucket.take(1_000, now: now)
                taken += 1_000
            }
            #expect(bucket.opens(after: now) > now)
            now = bucket.opens(after: now)
        }
        #expect((1_000_000...1_026_000).contains(taken))
    }

    @Test func whatPassesTheBudgetIsPaidBack() {
        var bucket = TokenBucket(rate: 1_000_000, now: .zero)
        bucket.take(5_250_000, now: .zero)
        #expect(bucket.isOpen(at: .seconds(4.99)) == false)
        #expect(bucket.isOpen(at: .seconds(5.01)) == true)
        bucket.take(1_000_000, now: .seconds(5.01))
        bucket.giveBack(1_000_000)
        #expect(bucket.isOpen(at: .seconds(5.01)) == true)
    }

    @Test func noMoreIsSavedThanFits() {
        var bucket = TokenBucket(rate: 1_000_000, now: .zero)
        bucket.take(250_001, now: .seconds(999))
        #expect(bucket.isOpen(at: .seconds(999)) == false)
    }
}
