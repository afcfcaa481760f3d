import Foundation
import TestSupport
import Testing

@testable import Bitswap

@Suite struct HistogramTests {
    private func histogram(_ values: [Int]) -> Histogram {
        var histogram = Histogram()
        for value in values { histogram.record(value) }
        return histogram
    }

    @Test func ofNothingThereIsNothingToSay() {
        #expect(Histogram().mean == nil)
        #expect(Histogram().quantile(0.5) == nil)
    }

    @Test func valuesFallIntoBucketsThatDouble() {
        let histogram = histogram([0, 1, 2, 3, 4, 7, 8, -5])
        #expect(histogram.counts == [2, 1, 2, 2, 1])
        #expect(histogram.count == 8)
        #expect(histogram.sum == 25)
        #expect(histogram.maximum == 8)
        #expect(histogram.mean == 25.0 / 8)
    }

    @Test func theLargestValuesDoNotTrap() {
        let histogram = histogram([.max, .max, .min, 1])
        #expect(histogram.sum == .max)
        #expect(histogram.quantile(1) == .max)
        #expect(histogram.quantile(0) == 0)
        #expect(histogram.counts.count == 64)
    }

    @Test(arguments: 0..<32) func aQuantileIsAtMostTwiceTheTrueOne(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let values = (0..<500).map { _ in
            Int.random(in: 0...(1 << Int.random(in: 0...40, using: &random)), using: &random)
        }
        let histogram = histogram(values)
        for part in [0.01, 0.5, 0.9, 0.99, 1] {
            let exact = values.sorted()[Int((Double(values.count) * part).rounded(.up)) - 1]
            let told = try #require(histogram.quantile(part))
            #expect(told >= exact && told <= max(1, 2 * exact), "seed \(seed), \(part) of them")
        }
    }

    @Test func comesBackFromJSONAsItWas() throws {
        let histogram = histogram([1, 5, 1 << 30])
        #expect(try JSONDecoder().decode(Histogram.self, from: JSONEncoder().encode(histogram)) == histogram)
    }
}
