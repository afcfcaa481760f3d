import Testing

@testable import Bitswap

@Suite struct ResponseWindowTests {
    private let limits = BitswapLimits()
    private var window = ResponseWindow(limits: BitswapLimits())

    /// A peer that drains so many bytes a second, and is always given a full window, in messages of the size that the window
    /// asks for.
    private mutating func drain(rate: Double, messages: Int) {
        for _ in 0..<messages {
            window.drained(ahead: window.bytes, after: .seconds(Double(window.bytes) / rate))
        }
    }

    @Test mutating func itIsWhatThePeerDrainsInATenthOfASecond() {
        for rate in [1e6, 10e6, 25e6, 3e6] {
            drain(rate: rate, messages: 20)
            let expected = min(max(rate / 10, 65_536), 4_194_304)
            #expect(abs(Double(window.bytes) - expected) <= expected / 50)
        }
    }

    @Test mutating func aFastPeerHasTheLargestWindowAndMessagesOfAMebibyte() {
        #expect(window.bytes == limits.initialOutstandingBytesPerPeer)
        drain(rate: 1e9, messages: 4)
        #expect(window.bytes == limits.outstandingBytesPerPeer)
        #expect(window.messageBytes == limits.responseBytes)
    }

    @Test mutating func aSlowPeerKeepsTheLeast() {
        drain(rate: 1_000, messages: 1)
        #expect(window.bytes == limits.minimumOutstandingBytesPerPeer)
        #expect(window.messageBytes == limits.minimumOutstandingBytesPerPeer)
    }

    @Test mutating func littleThatIsDrainedFastProvesNothing() {
        for _ in 0..<99 { window.drained(ahead: 1_000, after: .microseconds(1)) }
        #expect(window.bytes == limits.initialOutstandingBytesPerPeer)
        window.drained(ahead: 1_000, after: .milliseconds(5))
        #expect(window.bytes == limits.initialOutstandingBytesPerPeer)
    }
}
