import Blockstore
import Libp2p
import Logging
import MetricsTestKit
import Multiformats
import NIOConcurrencyHelpers
import PeerIdentity
import TestSupport
import Testing

@testable import Bitswap
@testable import BitswapNode

@Suite(.timeLimit(.minutes(5))) struct RetryPauseTests {
    private static let rising = [2, 4, 8, 16, 32, 60, 60, 60]

    private func expect(
        _ pause: Duration, _ seconds: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let longest = Duration.seconds(seconds)
        #expect((longest / 2...longest).contains(pause), sourceLocation: sourceLocation)
    }

    @Test func failuresMakeItLongerUpToAMinute() {
        var pause = RetryPause(random: .seeded(1))
        for seconds in Self.rising { expect(pause.next(after: nil), seconds) }
    }

    @Test func aConnectionOfTenSecondsMakesItShortAndAShorterOneIsAFailure() {
        var pause = RetryPause(random: .seeded(1))
        for _ in 0..<5 { _ = pause.next(after: nil) }
        expect(pause.next(after: .seconds(10)), 1)
        expect(pause.next(after: .milliseconds(9_999)), 2)
        expect(pause.next(after: nil), 4)
        expect(pause.next(after: .seconds(3_600)), 1)
    }

    @Test func nodesDoNotKeepStep() {
        let pauses = (0..<20 as Range<UInt64>).map { seed in
            var pause = RetryPause(random: .seeded(seed))
            return pause.next(after: nil)
        }
        #expect(Set(pauses).count == pauses.count)
    }

    @Test func aNodeTriesAnAddressOfNobodyEverMoreRarelyAndSaysSoOnce() async throws {
        let pauses = NIOLockedValueBox<[Duration]>([])
        let failures = NIOLockedValueBox(0)
        // Time passes while the node sleeps; after the last pause it is stopped.
        let clock = ManualClock()
        let time = TimeSource(now: { clock.now }) { pause in
            clock.advance(by: pause)
            let isEnough = pauses.withLockedValue { pauses in
                pauses.append(pause)
                return pauses.count == Self.rising.count
            }
            if isEnough { throw CancellationError() }
        }
        let node = BitswapNode(
            identity: try KeyPair.generate(), store: MemoryBlockstore(), configuration: BitswapNode.Configuration(),
            memory: nil, eventLoopGroup: nil, metrics: TestMetrics(), time: time, random: .seeded(1),
            logger: Logger(label: "test"))
        await node.stayConnected(to: try Multiaddr("/ip4/127.0.0.1/tcp/1")) { _ in
            failures.withLockedValue { $0 += 1 }
        }
        for (pause, seconds) in zip(pauses.withLockedValue { $0 }, Self.rising) { expect(pause, seconds) }
        #expect(pauses.withLockedValue { $0.count } == Self.rising.count)
        #expect(failures.withLockedValue { $0 } == 1)
        await node.close()
    }
}
