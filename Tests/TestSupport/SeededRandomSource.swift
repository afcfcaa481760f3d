public import Libp2p
import NIOConcurrencyHelpers

extension RandomSource {
    /// The same seed gives the same numbers.
    public static func seeded(_ seed: UInt64) -> RandomSource {
        let generator = NIOLockedValueBox(SplitMix64(seed: seed))
        return RandomSource { generator.withLockedValue { $0.next() } }
    }
}
