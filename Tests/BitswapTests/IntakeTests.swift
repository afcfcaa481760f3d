import Metrics
import NIOConcurrencyHelpers
import PeerIdentity
import TestSupport
import Testing

@testable import Bitswap

@Suite(.timeLimit(.minutes(5))) struct IntakeTests {
    private let clock = ManualClock()
    private let account = Account(NOOPMetricsHandler.instance)
    private let resets = NIOLockedValueBox<[Intake.StreamID]>([])

    private final class Window: Intake.Window {
        let releases = NIOLockedValueBox(0)
        func release() { releases.withLockedValue { $0 += 1 } }
    }

    private func intake(
        bytes: Int = 100_000, download: Int? = nil, perPeer: Int? = nil
    ) -> Intake {
        var limits = BitswapLimits()
        limits.messageBytes = 1_000
        limits.incomingBytes = bytes
        let bandwidth = BandwidthLimits(download: download, downloadPerPeer: perPeer)
        return Intake(limits: limits, bandwidth: bandwidth, time: clock.timeSource, account: account)
    }

    private func hold(_ bytes: Int, _ stream: Intake.StreamID, in intake: Intake) {
        intake.holds(bytes, of: stream) { [resets] in resets.withLockedValue { $0.append(stream) } }
    }

    private var hits: Int { account.statistics.limitHits["incomingBytes", default: 0] }

    // MARK: Parts of messages

    @Test func atTheLimitEverythingIsKeptAndPastItTheSlowestGoes() {
        let intake = intake(bytes: 100_000)
        let (slow, fast) = (intake.join(), intake.join())
        hold(50_000 - 512, slow, in: intake)
        clock.advance(by: .seconds(10))
        hold(50_000 - 512, fast, in: intake)
        #expect(intake.bytes == 100_000)
        #expect(hits == 0)
        hold(50_000 - 511, fast, in: intake)
        #expect(resets.withLockedValue { $0 } == [slow])
        #expect(intake.bytes == 50_001)
        #expect(hits == 1)
    }

    @Test func manyThatTrickleMakeRoomForOneThatComesFast() {
        let intake = intake(bytes: 1 << 20)
        let trickling = (0..<1_500).map { _ in intake.join() }
        for stream in trickling { hold(100, stream, in: intake) }
        clock.advance(by: .seconds(60))
        for stream in trickling { hold(150, stream, in: intake) }
        let fast = intake.join()
        for piece in 1...12 { hold(piece * (64 << 10) - 512, fast, in: intake) }
        let gone = resets.withLockedValue { $0 }
        #expect(!gone.contains(fast))
        #expect(!gone.isEmpty)
        #expect(intake.bytes <= 1 << 20)
    }

    @Test func whatEndsOrIsWholeCountsNoMore() {
        let intake = intake()
        let (a, b) = (intake.join(), intake.join())
        hold(40_000, a, in: intake)
        hold(40_000, b, in: intake)
        hold(0, a, in: intake)
        intake.leave(b)
        intake.leave(b)
        #expect(intake.bytes == 0)
        hold(99_000, a, in: intake)
        #expect(resets.withLockedValue { $0 }.isEmpty)
    }

    // MARK: Blocks that wait for the store

    @Test func pastHalfOfTheMemoryNothingMoreIsAskedForUntilTheStoreHasCaughtUp() {
        let intake = intake(bytes: 100_000)
        let window = Window()
        #expect(!intake.unstored(50_000))
        #expect(!intake.isShut)
        #expect(intake.admits(window, of: peer(1)))
        #expect(intake.unstored(1))
        #expect(intake.isShut)
        #expect(hits == 1)
        #expect(!intake.admits(window, of: peer(1)))
        #expect(!intake.unstored(10), "that is no news")
        #expect(intake.unstored(-20))
        #expect(!intake.isShut)
        #expect(window.releases.withLockedValue { $0 } == 1)
    }

    // MARK: Bandwidth

    @Test func withoutALimitNothingIsEverShut() {
        let intake = intake()
        #expect(!intake.received(.max / 4, from: peer(1)))
        #expect(!intake.isShut && intake.shutPeers.isEmpty)
    }

    @Test func aQuarterOfASecondComesAtOnceAndWhatIsPastItIsWaitedFor() async throws {
        let intake = intake(download: 100_000)
        let window = Window()
        #expect(!intake.received(24_999, from: peer(1)))
        #expect(intake.received(50_001, from: peer(2)), "now it is 50,000 too many")
        #expect(intake.isShut)
        #expect(!intake.admits(window, of: peer(3)), "nobody may send more")
        try await whileTimePasses(intake) {
            for _ in 0..<9 {
                clock.advance(by: .milliseconds(50))
                await Task.yield()
            }
            #expect(intake.isShut, "450 ms are not enough")
            #expect(window.releases.withLockedValue { $0 } == 0)
            try await eventually("it opens") {
                clock.advance(by: .milliseconds(50))
                return !intake.isShut
            }
            #expect(clock.now >= .milliseconds(500))
            #expect(window.releases.withLockedValue { $0 } == 1)
        }
    }

    @Test func aPeerThatSendsTooMuchIsTheOnlyOneThatWaits() async throws {
        let intake = intake(perPeer: 100_000)
        let (own, other) = (Window(), Window())
        #expect(intake.received(75_000, from: peer(1)))
        #expect(!intake.received(20_000, from: peer(2)))
        #expect(!intake.isShut)
        #expect(intake.shutPeers == [peer(1)])
        #expect(!intake.admits(own, of: peer(1)))
        #expect(intake.admits(other, of: peer(2)))
        try await whileTimePasses(intake) {
            try await eventually("it opens") {
                clock.advance(by: .milliseconds(50))
                return intake.shutPeers.isEmpty
            }
            #expect(clock.now >= .milliseconds(500))
            #expect(own.releases.withLockedValue { $0 } == 1)
        }
    }

    @Test func whenTheStoreHasCaughtUpTimeBringsBackTheBandwidth() async throws {
        let intake = intake(bytes: 100_000, download: 100_000)
        let window = Window()
        #expect(intake.unstored(60_000), "memory is short")
        try await whileTimePasses(intake) {
            #expect(!intake.received(75_000, from: peer(1)), "bandwidth as well: that is no news")
            #expect(!intake.admits(window, of: peer(1)))
            // Whoever keeps the time has seen that there is nothing to wait for yet.
            for _ in 0..<20 {
                clock.advance(by: .milliseconds(1))
                await Task.yield()
            }
            #expect(!intake.unstored(-60_000), "bandwidth is still short")
            try await eventually("it opens") {
                clock.advance(by: .milliseconds(50))
                return !intake.isShut
            }
            #expect(window.releases.withLockedValue { $0 } == 1)
        }
    }

    @Test func aWindowWaitsOnceHoweverOftenItIsTried() {
        let intake = intake(bytes: 100_000)
        let windows = (0..<3).map { _ in Window() }
        #expect(intake.unstored(50_001))
        for _ in 0..<100 {
            for window in windows { #expect(!intake.admits(window, of: peer(1))) }
        }
        #expect(intake.unstored(-50_001))
        #expect(windows.map { $0.releases.withLockedValue { $0 } } == [1, 1, 1])
        #expect(intake.unstored(50_001))
        #expect(!intake.admits(windows[0], of: peer(1)), "and again")
        #expect(intake.unstored(-50_001))
        #expect(windows.map { $0.releases.withLockedValue { $0 } } == [2, 1, 1])
    }

    @Test func aPeerThatIsGoneIsForgotten() {
        let intake = intake(perPeer: 100_000)
        #expect(intake.received(75_000, from: peer(1)))
        weak var left: Window?
        do {
            let window = Window()
            left = window
            #expect(!intake.admits(window, of: peer(1)))
        }
        #expect(left != nil)
        intake.forget(peer(1))
        #expect(left == nil)
        #expect(intake.shutPeers.isEmpty)
        #expect(!intake.received(20_000, from: peer(1)))
    }

    private func whileTimePasses(_ intake: Intake, _ body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await intake.keepTime {} }
            try await body()
            group.cancelAll()
        }
    }
}
