import Libp2p

/// How long to wait before an address is dialled again. Pure.
struct RetryPause {
    private static let shortest = Duration.seconds(1)
    private static let longest = Duration.seconds(60)
    /// A connection that ends sooner counts as a failure.
    private static let shortestConnection = Duration.seconds(10)

    private var pause = Self.shortest
    private var random: RandomSource

    init(random: RandomSource) { self.random = random }

    /// - Parameter connection: how long the one lasted that has ended; nil when there was none.
    mutating func next(after connection: Duration?) -> Duration {
        let hasFailed = connection.map { $0 < Self.shortestConnection } ?? true
        pause = hasFailed ? min(pause * 2, Self.longest) : Self.shortest
        // Spread, so that many nodes do not come back to one at the same moment.
        return pause * Double.random(in: 0.5...1, using: &random)
    }
}
