/// How often values of which size came up, in buckets that double: 0, 1, 2 to 3, 4 to 7, and so on.
public struct Histogram: Sendable, Hashable, Codable {
    /// How many values were recorded.
    public private(set) var count = 0
    /// Their sum, in their unit; `Int.max` when it does not fit.
    public private(set) var sum = 0
    /// The largest; 0 of none.
    public private(set) var maximum = 0
    /// How many values each bucket has; `counts[n]` is about those that take `n` bits. No longer than the largest value
    /// needs.
    public private(set) var counts: [Int] = []

    public init() {}

    /// Negative values count as 0.
    mutating func record(_ value: Int) {
        let value = max(0, value)
        let bucket = Int.bitWidth - value.leadingZeroBitCount
        while counts.count <= bucket { counts.append(0) }
        counts[bucket] += 1
        count += 1
        let (newSum, hasOverflown) = sum.addingReportingOverflow(value)
        sum = hasOverflown ? .max : newSum
        maximum = max(maximum, value)
    }

    /// Nil when nothing was recorded.
    public var mean: Double? { count == 0 ? nil : Double(sum) / Double(count) }

    /// A value that the given part of all values, 0 to 1, does not exceed; up to twice too large, as buckets go, but never
    /// larger than ``maximum``. Nil when nothing was recorded.
    public func quantile(_ part: Double) -> Int? {
        guard count > 0 else { return nil }
        let wanted = Double(count) * min(1, max(0, part))
        var below = 0
        for (bucket, number) in counts.enumerated() {
            below += number
            if below > 0, Double(below) >= wanted {
                return min(maximum, bucket >= Int.bitWidth - 1 ? .max : (1 << bucket) - 1)
            }
        }
        return maximum
    }
}
