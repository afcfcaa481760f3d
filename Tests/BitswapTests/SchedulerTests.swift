import TestSupport
import Testing

@testable import Bitswap

@Suite(.timeLimit(.minutes(5))) struct SchedulerTests {
    /// Peers with all that they could wish to send, in blocks of a size each, over a node that sends so many bytes a second.
    ///
    /// The bandwidth is the scheduler's own; the network takes whatever is written at once.
    private struct Backlog {
        var scheduler: Scheduler
        var now: Duration = .zero
        var blocks: [Scheduler.ID: Int] = [:]
        var granted: [Scheduler.ID: Int] = [:]
        var order: [Scheduler.ID] = []

        init(limits: BitswapLimits = BitswapLimits(), _ bandwidth: BandwidthLimits) {
            scheduler = Scheduler(limits: limits, bandwidth: bandwidth)
        }

        mutating func join(block: Int, weight: Int = 1) -> Scheduler.ID {
            let id = scheduler.join(weight: weight, now: now)
            blocks[id] = block
            return id
        }

        /// The peer's task runs until it has to wait.
        mutating func run(_ id: Scheduler.ID) {
            guard let block = blocks[id] else { return }
            while case .granted(let bytes) = scheduler.request(id, .init(least: block, most: 1 << 30), now: now) {
                let actual = bytes / block * block
                scheduler.settle(id, granted: bytes, actual: actual)
                scheduler.drained(id, bytes: actual, ahead: actual, since: now, now: now)
                granted[id, default: 0] += actual
                order.append(id)
            }
        }

        /// Lets everybody begin, and forgets what the first had of what was saved up.
        mutating func warmUp() {
            run(for: .seconds(2))
            granted = [:]
        }

        mutating func run(for duration: Duration) {
            let end = now + duration
            for id in blocks.keys.sorted() { run(id) }
            while let wake = scheduler.wakeTime(now: now), wake <= end {
                now = max(wake, now + .microseconds(1))
                for id in scheduler.dispatch(now: now) { run(id) }
            }
            now = end
        }
    }

    private func limits(
        outstanding: Int = 1 << 20, perPeer: Int = 1 << 20, initial: Int = 256 << 10, minimum: Int = 64 << 10
    ) -> BitswapLimits {
        var limits = BitswapLimits()
        limits.outstandingBytes = outstanding
        limits.outstandingBytesPerPeer = perPeer
        limits.initialOutstandingBytesPerPeer = initial
        limits.minimumOutstandingBytesPerPeer = minimum
        return limits
    }

    // MARK: Nothing is scarce

    @Test func whenNothingIsScarceAGrantComesAtOnce() {
        var scheduler = Scheduler(limits: BitswapLimits())
        let peers = (0..<3).map { _ in scheduler.join(now: .zero) }
        for peer in peers {
            #expect(scheduler.request(peer, .init(least: 100, most: 5_000), now: .zero) == .granted(5_000))
            #expect(scheduler.request(peer, .init(least: 100, most: 1 << 30), now: .zero) == .granted(64 << 10))
        }
        #expect(scheduler.outstandingBytes == 3 * (5_000 + 64 << 10))
        #expect(scheduler.wakeTime(now: .zero) == nil)
    }

    @Test func aBlockThatIsLargerThanEveryLimitGoesAlone() {
        var scheduler = Scheduler(limits: limits())
        let peers = (0..<2).map { _ in scheduler.join(now: .zero) }
        #expect(scheduler.request(peers[0], .init(least: 5 << 20, most: 9 << 20), now: .zero) == .granted(5 << 20))
        #expect(scheduler.request(peers[0], .init(least: 1, most: 1), now: .zero) == .full)
        #expect(scheduler.request(peers[1], .init(least: 1, most: 1), now: .zero) == .queued(.memory))
        scheduler.drained(peers[0], bytes: 5 << 20, ahead: 5 << 20, since: .zero, now: .seconds(1))
        #expect(scheduler.dispatch(now: .seconds(1)) == [peers[1]])
    }

    @Test func whatIsNotUsedIsThereForOthers() {
        var scheduler = Scheduler(limits: limits())
        let peer = scheduler.join(now: .zero)
        #expect(scheduler.request(peer, .init(least: 60_000, most: 60_000), now: .zero) == .granted(60_000))
        scheduler.settle(peer, granted: 60_000, actual: 10_000)
        #expect(scheduler.outstandingBytes(of: peer) == 10_000)
        scheduler.lost(peer, bytes: 10_000)
        #expect(scheduler.outstandingBytes == 0)
    }

    // MARK: The window

    @Test func aPeerWhoseWindowIsFullIsNotGrantedMore() {
        var scheduler = Scheduler(limits: limits(outstanding: 16 << 20))
        let peer = scheduler.join(now: .zero)
        for _ in 0..<4 {
            #expect(scheduler.hasRoom(peer))
            #expect(scheduler.request(peer, .init(least: 1, most: 1 << 30), now: .zero) == .granted(64 << 10))
        }
        #expect(!scheduler.hasRoom(peer))
        #expect(scheduler.request(peer, .init(least: 1, most: 1 << 30), now: .zero) == .full)
        #expect(scheduler.dispatch(now: .seconds(9)).isEmpty == true)
        #expect(scheduler.wakeTime(now: .zero) == nil, "only its own draining helps it")
        scheduler.drained(peer, bytes: 64 << 10, ahead: 64 << 10, since: .zero, now: .milliseconds(1))
        #expect(scheduler.request(peer, .init(least: 1, most: 1 << 30), now: .milliseconds(1)) == .granted(64 << 10))
    }

    @Test func noWindowIsMoreThanAnEighthOfWhatIsFree() {
        var scheduler = Scheduler(
            limits: limits(outstanding: 1 << 20, perPeer: 1 << 20, initial: 1 << 20, minimum: 1_000))
        let peer = scheduler.join(now: .zero)
        var outstanding = 0
        while case .granted(let bytes) = scheduler.request(peer, .init(least: 1, most: 10_000), now: .zero) {
            outstanding += bytes
        }
        #expect(outstanding <= (1 << 20) / 8)
        #expect(outstanding >= (1 << 20) / 10)
    }

    // MARK: Fairness

    @Test func bytesAreSharedEquallyWhateverTheSizeOfTheBlocks() {
        var backlog = Backlog(BandwidthLimits(upload: 10 << 20))
        let sizes = [1 << 10, 60_000, 256 << 10, 1 << 20, 2 << 20]
        let ids = sizes.map { backlog.join(block: $0) }
        backlog.warmUp()
        backlog.run(for: .seconds(60))
        let total = ids.reduce(0) { $0 + (backlog.granted[$1] ?? 0) }
        #expect(abs(total - 600 << 20) < 8 << 20, "the bandwidth is used, and not passed")
        for id in ids {
            let share = backlog.granted[id] ?? 0
            #expect(abs(share - total / ids.count) <= 4 << 20, "one message of itself and one of the largest")
        }
    }

    @Test func bytesAreSharedByWeight() {
        var backlog = Backlog(BandwidthLimits(upload: 10 << 20))
        let ids = [1, 2, 5].map { backlog.join(block: 100_000, weight: $0) }
        backlog.warmUp()
        backlog.run(for: .seconds(40))
        let shares = ids.map { Double(backlog.granted[$0] ?? 0) / Double(50 << 20) }
        #expect(abs(shares[0] - 1) < 0.03 && abs(shares[1] - 2) < 0.03 && abs(shares[2] - 5) < 0.06)
    }

    @Test func aNewcomerAmongAThousandHasItsTurnInTheNextRound() {
        var backlog = Backlog(BandwidthLimits(upload: 100 << 20))
        for _ in 0..<1_000 { _ = backlog.join(block: 64 << 10) }
        backlog.warmUp()
        backlog.run(for: .seconds(2))
        let rounds = backlog.order.count
        let newcomer = backlog.join(block: 64 << 10)
        backlog.run(for: .seconds(2))
        let first = backlog.order.firstIndex(of: newcomer) ?? .max
        #expect(first - rounds <= 1_000)
        // It does not catch up on what it did not want.
        #expect(abs((backlog.granted[newcomer] ?? 0) - (2 * 100 << 20) / 1_001) < 256 << 10)
        let shares = backlog.blocks.keys.filter { $0 != newcomer }.map { backlog.granted[$0] ?? 0 }
        #expect((shares.max() ?? 0) - (shares.min() ?? 0) <= 128 << 10)
    }

    @Test func whoUsedWhatNobodyWantedOwesNothing() {
        var backlog = Backlog(BandwidthLimits(upload: 10 << 20))
        let first = backlog.join(block: 100_000)
        backlog.run(for: .seconds(30))
        let alone = backlog.granted[first] ?? 0
        let second = backlog.join(block: 100_000)
        backlog.run(for: .seconds(10))
        let since = (backlog.granted[first] ?? 0) - alone
        #expect(abs(since - (backlog.granted[second] ?? 0)) <= 400_000)
    }

    @Test func aPeerPastItsOwnBandwidthIsNeverChosenAndTheOthersHaveTheRest() {
        var backlog = Backlog(BandwidthLimits(upload: 10 << 20, uploadPerPeer: 1 << 20))
        let few = (0..<3).map { _ in backlog.join(block: 50_000) }
        backlog.run(for: .seconds(20))
        for id in few { #expect(abs((backlog.granted[id] ?? 0) - 20 << 20) < 600_000) }
        let many = (0..<17).map { _ in backlog.join(block: 50_000) }
        backlog.granted = [:]
        backlog.run(for: .seconds(20))
        for id in few + many { #expect(abs((backlog.granted[id] ?? 0) - 10 << 20) < 600_000) }
    }

    // MARK: Scarce memory

    @Test func whoWaitsForMemoryIsServedInTurn() {
        var scheduler = Scheduler(limits: limits(outstanding: 100_000, minimum: 100_000))
        let ids = (0..<3).map { _ in scheduler.join(now: .zero) }
        #expect(scheduler.request(ids[0], .init(least: 80_000, most: 80_000), now: .zero) == .granted(80_000))
        for id in ids[1...] {
            #expect(scheduler.request(id, .init(least: 80_000, most: 80_000), now: .zero) == .queued(.memory))
            #expect(scheduler.request(id, .init(least: 80_000, most: 80_000), now: .zero) == .queued(nil))
        }
        #expect(scheduler.dispatch(now: .zero).isEmpty == true)
        scheduler.drained(ids[0], bytes: 80_000, ahead: 80_000, since: .zero, now: .zero)
        #expect(scheduler.dispatch(now: .zero) == [ids[1]])
        #expect(scheduler.request(ids[1], .init(least: 80_000, most: 80_000), now: .zero) == .granted(80_000))
        scheduler.drained(ids[1], bytes: 80_000, ahead: 80_000, since: .zero, now: .zero)
        #expect(scheduler.dispatch(now: .zero) == [ids[2]])
        scheduler.leave(ids[2])
        #expect(scheduler.outstandingBytes == 0)
    }

    @Test func aGrantThatIsNotWantedAnyMoreGoesToTheNext() {
        var scheduler = Scheduler(limits: limits(outstanding: 100_000, minimum: 100_000))
        let ids = (0..<3).map { _ in scheduler.join(now: .zero) }
        for id in ids { _ = scheduler.request(id, .init(least: 80_000, most: 80_000), now: .zero) }
        scheduler.drained(ids[0], bytes: 80_000, ahead: 80_000, since: .zero, now: .zero)
        #expect(scheduler.dispatch(now: .zero) == [ids[1]])
        #expect(scheduler.request(ids[1], .init(), now: .zero) == .idle)
        #expect(scheduler.dispatch(now: .zero) == [ids[2]])
    }

    @Test func peersThatHaveDrainedNothingShareHalf() {
        var scheduler = Scheduler(limits: limits(outstanding: 1_000_000))
        let good = scheduler.join(now: .zero)
        _ = scheduler.request(good, .init(least: 100, most: 100), now: .zero)
        scheduler.drained(good, bytes: 100, ahead: 100, since: .zero, now: .zero)
        let silent = (0..<50).map { _ in scheduler.join(now: .zero) }
        for id in silent { _ = scheduler.request(id, .init(least: 60_000, most: 60_000), now: .zero) }
        #expect(scheduler.outstandingBytes == 480_000)
        // They wait, and do not hold up one that has.
        #expect(scheduler.request(good, .init(least: 60_000, most: 60_000), now: .zero) == .queued(nil))
        #expect(scheduler.dispatch(now: .zero) == [good])
    }

    @Test func thoseWithoutProgressForLongestAreGivenUpWhenOthersWait() {
        let timeout = limits().drainTimeout
        var scheduler = Scheduler(limits: limits(outstanding: 1_000_000))
        let ids = (0..<9).map { _ in scheduler.join(now: .zero) }
        for (second, id) in ids.enumerated() {
            _ = scheduler.request(id, .init(least: 60_000, most: 60_000), now: .seconds(second))
        }
        #expect(scheduler.outstandingBytes == 480_000)
        let now = Duration.seconds(8)
        #expect(scheduler.starved(now: timeout - .nanoseconds(1)).isEmpty == true, "nobody has had the time")
        #expect(scheduler.wakeTime(now: .zero) == timeout)
        #expect(scheduler.starved(now: now) == [ids[0]], "no more than it takes")
        #expect(scheduler.starved(now: now).isEmpty == true, "its bytes are on their way back")
        scheduler.lost(ids[0], bytes: 60_000)
        #expect(scheduler.dispatch(now: now) == [ids[8]])
        #expect(scheduler.starved(now: .seconds(99)).isEmpty == true, "nobody waits")
    }

    @Test(arguments: 1...30)
    func theMemoryIsNeverPassedAndNothingIsLost(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        let limits = limits(
            outstanding: Int.random(in: 100_000...2_000_000, using: &random), perPeer: 500_000, initial: 200_000,
            minimum: Int.random(in: 1_000...70_000, using: &random))
        let bandwidth = BandwidthLimits(
            upload: Bool.random(using: &random) ? 5_000_000 : nil,
            uploadPerPeer: Bool.random(using: &random) ? 1_000_000 : nil)
        var scheduler = Scheduler(limits: limits, bandwidth: bandwidth)
        var now = Duration.zero
        /// What each peer has written, oldest first; nil when the peer has left.
        var written: [Scheduler.ID: [(bytes: Int, ahead: Int, since: Duration)]] = [:]
        var gone: [(Scheduler.ID, Int)] = []
        for _ in 0..<2_000 {
            now += .microseconds(Int.random(in: 0...3_000, using: &random))
            let id = written.keys.sorted().randomElement(using: &random)
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<5 where written.count < 30: written[scheduler.join(now: now)] = []
            case 5..<60:
                guard let id else { continue }
                let least = Int.random(in: 1...90_000, using: &random)
                let demand = Scheduler.Demand(least: least, most: least + Int.random(in: 0...500_000, using: &random))
                guard case .granted(let bytes) = scheduler.request(id, demand, now: now) else { continue }
                let actual = Int.random(in: 0...bytes, using: &random)
                scheduler.settle(id, granted: bytes, actual: actual)
                if actual > 0 { written[id]?.append((actual, scheduler.outstandingBytes(of: id), now)) }
            case 60..<90:
                guard let id, let first = written[id]?.first else { continue }
                written[id]?.removeFirst()
                scheduler.drained(id, bytes: first.bytes, ahead: first.ahead, since: first.since, now: now)
            case 90..<92:
                guard let id, let lost = written.removeValue(forKey: id) else { continue }
                scheduler.leave(id)
                gone += lost.map { (id, $0.bytes) }
            case 92..<95:
                for (id, bytes) in gone { scheduler.lost(id, bytes: bytes) }
                gone = []
            case 95..<97:
                for id in scheduler.starved(now: now) {
                    for lost in written[id] ?? [] { scheduler.lost(id, bytes: lost.bytes) }
                    written[id] = []
                }
            default: _ = scheduler.dispatch(now: now)
            }
            #expect(scheduler.outstandingBytes <= limits.outstandingBytes)
        }
        // Everything that was written is drained; what was granted and is not asked for any more is given back.
        for (id, bytes) in gone { scheduler.lost(id, bytes: bytes) }
        for (id, messages) in written {
            for message in messages {
                scheduler.drained(id, bytes: message.bytes, ahead: message.ahead, since: message.since, now: now)
            }
            _ = scheduler.request(id, .init(), now: now)
        }
        #expect(scheduler.outstandingBytes == 0)
        #expect(scheduler.dispatch(now: now + .seconds(999)).isEmpty == true)
        #expect(scheduler.wakeTime(now: now) == nil)
    }
}
