/// How many bytes of answers may be on their way to one peer at a time: what it drains in a tenth of a second. Pure.
///
/// A message that was written behind so many bytes and drained so much later measures the peer's rate. The window grows
/// while it is what limits, by doubling, and shrinks at once to what the rate allows, so that little waits where it can be
/// neither cancelled nor given to somebody else.
struct ResponseWindow {
    static let target: Duration = .milliseconds(100)

    private(set) var bytes: Int
    /// The least that a window is, however slow its peer.
    let minimum: Int
    private let maximum: Int
    private let largestMessage: Int

    init(limits: BitswapLimits) {
        maximum = limits.outstandingBytesPerPeer
        minimum = min(limits.minimumOutstandingBytesPerPeer, maximum)
        largestMessage = limits.responseBytes
        bytes = min(limits.initialOutstandingBytesPerPeer, maximum)
    }

    /// Bytes that one message aims at: a quarter of the window, so that the next is made while the peer drains the last.
    var messageBytes: Int { min(max(bytes / 4, minimum), largestMessage) }

    /// A message was drained `latency` after it had been written as the last of `ahead` bytes.
    mutating func drained(ahead: Int, after latency: Duration) {
        // The finest that a clock and a scheduler can be trusted with.
        let seconds = max(latency.inSeconds, 0.000_1)
        let sustained = Int(min(Double(ahead) * Self.target.inSeconds / seconds, 1e15))
        if sustained < ahead {
            bytes = max(minimum, min(bytes, sustained))
        } else if 2 * ahead >= bytes {
            bytes = max(minimum, min(maximum, 2 * bytes, sustained))
        }
    }

    /// The peer has drained nothing for so long that it was given up: it begins with little.
    mutating func collapse() { bytes = minimum }
}
