/// Where decisions get their chance from.
public struct RandomSource: RandomNumberGenerator, Sendable {
    private let draw: @Sendable () -> UInt64

    /// - Parameter draw: gives 64 random bits; called from any thread, one at a time for one owner.
    public init(_ draw: @escaping @Sendable () -> UInt64) { self.draw = draw }

    public func next() -> UInt64 { draw() }

    /// The system's generator.
    public static let system = RandomSource {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}
