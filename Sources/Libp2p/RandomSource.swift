import NIOConcurrencyHelpers

/// Where decisions get their chance from.
public struct RandomSource: RandomNumberGenerator, Sendable {
    private let draw: @Sendable () -> UInt64

    /// - Parameter draw: gives 64 random bits; called from any thread, one at a time for one owner.
    public init(_ draw: @escaping @Sendable () -> UInt64) { self.draw = draw }

    public func next() -> UInt64 { draw() }

    /// Good enough for decisions of which there are many, and much quicker than the system's: SplitMix64 (Steele, Lea and
    /// Flood, 2014).
    ///
    /// - Parameter seed: the same gives the same; nil asks the system.
    public static func seeded(_ seed: UInt64? = nil) -> RandomSource {
        let state = NIOLockedValueBox(seed ?? system.next())
        return RandomSource {
            var bits = state.withLockedValue { state in
                state &+= 0x9E37_79B9_7F4A_7C15
                return state
            }
            bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
            bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
            return bits ^ bits >> 31
        }
    }

    /// The system's generator.
    public static let system = RandomSource {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}
