/// What a peer has been seen to deliver: how far away it is, how fast, and how well its word is kept. Pure.
struct PeerEstimate {
    /// Smoothed time from a question to its answer; nil before the first.
    private(set) var roundTrip: Duration?
    private(set) var minimumRoundTrip: Duration?
    /// Bytes of blocks a second while something is owed; nil before the first block.
    private(set) var rate: Double?
    /// Near 1: what it was asked for came; near 0: it stalled or lied.
    private(set) var reliability = 1.0
    /// Bytes that the peer says it has queued for us.
    private(set) var pendingBytes = 0
    /// When bytes last came, of whatever message.
    private(set) var lastProgress: Duration = .zero
    /// Bytes of blocks that it has ever delivered.
    private(set) var delivered = 0

    private var epoch: Epoch?

    /// A stretch of time in which the peer owed us something all along.
    private struct Epoch {
        var start: Duration
        var bytes = 0
        /// The peer owed us nothing before it: the first block takes a round trip more.
        var beganIdle: Bool
        /// The window was full at some time in it, so that what came is what the peer can give.
        var wasFull = false
    }

    /// What a peer of which nothing is known yet is taken for.
    static let presumedRoundTrip = Duration.milliseconds(100)
    static let presumedRate = Double(1 << 20)
    /// The queue that is kept up at a peer, in time: it covers for what the path and the timers of both ends waver.
    static let standingQueue = 0.25
    private static let shortestEpoch = Duration.milliseconds(100)

    /// Something is owed from now on.
    mutating func beganWaiting(now: Duration) {
        if epoch == nil { epoch = Epoch(start: now, beganIdle: true) }
        lastProgress = max(lastProgress, now)
    }

    /// No more could be asked of the peer for the moment.
    mutating func becameFull() { epoch?.wasFull = true }

    mutating func answered(after roundTrip: Duration) {
        let sample = max(roundTrip, .microseconds(10))
        self.roundTrip = self.roundTrip.map { $0 + (sample - $0) / 8 } ?? sample
        minimumRoundTrip = minimumRoundTrip.map { sample < $0 ? sample : $0 + (sample - $0) / 256 } ?? sample
    }

    mutating func progressed(now: Duration) { lastProgress = max(lastProgress, now) }

    mutating func told(pendingBytes: Int) { self.pendingBytes = pendingBytes }

    /// A block that was asked for came, the first time or again. `owesMore` says whether another one is still to come.
    mutating func received(_ bytes: Int, now: Duration, owesMore: Bool) {
        progressed(now: now)
        delivered += bytes
        pendingBytes = max(0, pendingBytes - bytes)
        reliability += (1 - reliability) / 8
        guard var current = epoch else { return }
        let elapsed = now - current.start
        // What comes sooner than an answer can was asked for before, and says nothing of how fast it is.
        guard !current.beganIdle || elapsed >= minimumRoundTrip ?? .zero else {
            if !owesMore { epoch = nil }
            return
        }
        current.bytes += bytes
        guard !owesMore || elapsed >= max(Self.shortestEpoch, (roundTrip ?? .zero) * 2) else { return epoch = current }
        measure(current, elapsed)
        epoch = owesMore ? Epoch(start: now, beganIdle: false) : nil
    }

    private mutating func measure(_ epoch: Epoch, _ elapsed: Duration) {
        // The way there and back is not the peer's speed; but how much of the time it took is a guess.
        let idle = epoch.beganIdle ? minimumRoundTrip ?? .zero : .zero
        let seconds = max(elapsed - idle, elapsed / 4, .microseconds(10)) / .seconds(1)
        let sample = Double(epoch.bytes) / seconds
        guard let rate else { return self.rate = sample }
        // What came while we asked for little says only that the peer is at least so fast.
        if sample > rate || epoch.wasFull { self.rate = (rate + sample) / 2 }
    }

    /// Nothing is owed any more, without a block having come.
    mutating func stoppedWaiting() { epoch = nil }

    mutating func stalled() {
        reliability = max(0.01, reliability * 0.75)
        rate = rate.map { $0 / 2 }
        pendingBytes = 0
    }

    mutating func offended() { reliability = max(0.01, reliability / 2) }

    /// The connection is gone; what was learnt of the peer stays.
    mutating func disconnected() {
        epoch = nil
        pendingBytes = 0
    }

    /// Bytes that may be owed at once: what arrives in a round trip and the standing queue.
    func window(initial: Int, maximum: Int) -> Int {
        guard let rate else { return initial }
        let bytes = rate * ((minimumRoundTrip ?? Self.presumedRoundTrip) / .seconds(1) + Self.standingQueue)
        return Int(min(Double(maximum), max(0, bytes)))
    }

    /// Seconds until a block of `size` bytes comes, behind `ahead` bytes that are owed already.
    func secondsToDeliver(_ size: Int, ahead: Int) -> Double {
        let wait = Double(max(ahead, pendingBytes) + size) / max(1, rate ?? Self.presumedRate)
        return (roundTrip ?? Self.presumedRoundTrip) / .seconds(1) + wait
    }

    /// How long a block of `size` bytes may take, behind `ahead` bytes, before the peer counts as stalled.
    func patience(_ size: Int, ahead: Int, within range: ClosedRange<Duration>) -> Duration {
        guard roundTrip != nil || rate != nil else { return min(max(.seconds(1), range.lowerBound), range.upperBound) }
        let seconds = min(3 * secondsToDeliver(size, ahead: ahead), range.upperBound / .seconds(1))
        return max(.seconds(seconds), range.lowerBound)
    }
}
