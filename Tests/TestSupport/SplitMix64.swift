import Foundation

/// A small seeded generator: the same seed gives the same run, so that a failure can be played again.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { self.state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// So many random bytes.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { withUnsafeBytes(of: next()) { bytes.append(contentsOf: $0) } }
        return Array(bytes.prefix(count))
    }

    /// A duration drawn from the exponential distribution with this mean: the time until something happens that may happen
    /// at any moment.
    public mutating func exponential(mean: Duration) -> Duration {
        mean * -log(Double.random(in: Double.leastNormalMagnitude..<1, using: &self))
    }

    /// `bytes` with one to three bytes changed, taken out or put in.
    package mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &self) {
            let index = Int.random(in: 0...bytes.count, using: &self)
            switch next() % 3 {
            case 0 where index < bytes.count: bytes[index] = UInt8(truncatingIfNeeded: next())
            case 1 where index < bytes.count: bytes.remove(at: index)
            default: bytes.insert(UInt8(truncatingIfNeeded: next()), at: index)
            }
        }
        return bytes
    }
}
