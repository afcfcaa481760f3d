import HeapModule

/// Who may send the next message of answers, and of how many bytes: fair by bytes between peers when something is scarce,
/// and no delay when nothing is. Pure.
///
/// Scarce can be the memory for answers under way, which all peers share, and the bandwidth, of the node or of a peer. A
/// peer that wants to send asks (``request(_:_:now:)``). It gets its grant at once if nobody waits and there is room;
/// else it waits in line, and is granted (``dispatch(now:)``) in the order of start-time fair queueing: each peer has a
/// virtual time, the bytes it was granted by its weight, and the one that is furthest back goes first. A peer that comes
/// late does not catch up on what it did not want, and one that used what nobody else wanted owes nothing for it. A decision
/// takes a few comparisons even among a thousand peers.
///
/// What one peer does not drain must not become the scarcity of others:
/// - Its window adapts to its drain rate (``ResponseWindow``), and past the least one is never more than an eighth of what is
///   free.
/// - Peers that have drained nothing yet share half of the memory; the rest is for those that have.
/// - When somebody waits for memory all the same, the peers that have drained nothing for longest are given up
///   (``starved(now:)``).
struct Scheduler {
    typealias ID = Int

    /// What a peer has to send.
    struct Demand: Equatable {
        /// The least that is worth a message: its first block cannot be cut. 0 when there is nothing.
        var least = 0
        /// All of it.
        var most = 0
    }

    enum Decision: Equatable {
        /// So many bytes may be sent. They count as outstanding from now on.
        case granted(Int)
        /// The peer's window is full: its own draining lets it ask again.
        case full
        /// It has its place in line, or got it just now, for want of this; ``dispatch(now:)`` will grant.
        case queued(Shortage?)
        /// It has nothing to send.
        case idle
    }

    enum Shortage: Equatable {
        case memory, bandwidth
    }

    private enum State: Equatable {
        case idle
        case queued(Demand, start: UInt64)
        case granted(Int)
    }

    private struct Peer {
        var weight: UInt64
        /// Its virtual time: where what it was granted last ends.
        var finish: UInt64 = 0
        var state: State = .idle
        /// Distinguishes its place in line from earlier ones.
        var serial: UInt64 = 0
        var window: ResponseWindow
        var bucket: TokenBucket?
        var outstanding = 0
        /// It has drained something since it was last given up.
        var isProven = false
        /// Its bytes are about to be released, because it was given up.
        var isGivenUp = false
        /// When it last drained something, or began to have something to drain.
        var progress: Duration = .zero
        var hasLeft = false
    }

    private struct Place: Comparable {
        var start: UInt64
        var serial: UInt64
        var id: ID

        static func < (a: Place, b: Place) -> Bool { a.start == b.start ? a.serial < b.serial : a.start < b.start }
        static func == (a: Place, b: Place) -> Bool { a.serial == b.serial }
    }

    private struct Closed: Comparable {
        var opens: Duration
        var serial: UInt64
        var id: ID

        static func < (a: Closed, b: Closed) -> Bool {
            a.opens == b.opens ? a.serial < b.serial : a.opens < b.opens
        }
        static func == (a: Closed, b: Closed) -> Bool { a.serial == b.serial }
    }

    /// Virtual time of one byte at weight 1.
    private static let unit: UInt64 = 256

    private let limits: BitswapLimits
    private let bandwidth: BandwidthLimits
    private var peers: [Peer] = []
    private var free: [ID] = []
    /// Who waits for memory or for the node's bandwidth: peers that have drained something, and the others.
    private var proven: Heap<Place> = []
    private var unproven: Heap<Place> = []
    /// Who waits for its own bandwidth. A closed peer is in no other line.
    private var closed: Heap<Closed> = []
    private var queuedCount = 0
    private var bucket: TokenBucket?
    private var virtualTime: UInt64 = 0
    private var lastSerial: UInt64 = 0
    /// Bytes of answers granted and not drained, of all peers.
    private(set) var outstandingBytes = 0
    /// Those of peers that have drained nothing.
    private var unprovenBytes = 0

    init(limits: BitswapLimits, bandwidth: BandwidthLimits = BandwidthLimits(), now: Duration = .zero) {
        self.limits = limits
        self.bandwidth = bandwidth
        bucket = bandwidth.upload.map { TokenBucket(rate: $0, now: now) }
    }

    // MARK: Peers

    mutating func join(weight: Int = 1, now: Duration) -> ID {
        let peer = Peer(
            weight: UInt64(max(1, weight)), window: ResponseWindow(limits: limits),
            bucket: bandwidth.uploadPerPeer.map { TokenBucket(rate: $0, now: now) })
        if let id = free.popLast() {
            peers[id] = peer
            return id
        }
        peers.append(peer)
        return peers.count - 1
    }

    /// The peer is gone. What of its bytes is outstanding is still to be ``drained(_:bytes:ahead:since:now:)`` or
    /// ``lost(_:bytes:)``.
    mutating func leave(_ id: ID) {
        withdraw(id)
        peers[id].hasLeft = true
        reuse(id)
    }

    private mutating func reuse(_ id: ID) {
        if peers[id].hasLeft, peers[id].outstanding == 0 { free.append(id) }
    }

    func outstandingBytes(of id: ID) -> Int { peers[id].outstanding }
    func window(of id: ID) -> Int { peers[id].window.bytes }

    /// Whether the peer's window has room, so that it is worth while to find out what it could be sent.
    func hasRoom(_ id: ID) -> Bool { peers[id].outstanding < windowBytes(id) }

    /// The window as it is for want of memory.
    private func windowBytes(_ id: ID) -> Int {
        let window = peers[id].window
        return max(window.minimum, min(window.bytes, (limits.outstandingBytes - outstandingBytes) / 8))
    }

    // MARK: Asking

    /// A peer's task says what it has to send now.
    mutating func request(_ id: ID, _ demand: Demand, now: Duration) -> Decision {
        if case .granted(let bytes) = peers[id].state {
            if demand.least > 0, demand.least <= bytes {
                peers[id].state = .idle
                return .granted(bytes)
            }
            withdraw(id)
        }
        guard demand.least > 0 else {
            withdraw(id)
            return .idle
        }
        let bytes = messageBytes(id, demand)
        if peers[id].outstanding > 0, peers[id].outstanding + bytes > windowBytes(id) {
            withdraw(id)
            return .full
        }
        if case .queued(_, let start) = peers[id].state {
            peers[id].state = .queued(demand, start: start)
            return .queued(nil)
        }
        let shortage = shortage(of: bytes, for: id, now)
        if queuedCount == 0, shortage == nil {
            grant(id, bytes, start: max(peers[id].finish, virtualTime), now)
            return .granted(bytes)
        }
        enqueue(id, demand, now)
        return .queued(shortage)
    }

    private func messageBytes(_ id: ID, _ demand: Demand) -> Int {
        max(demand.least, min(demand.most, peers[id].window.messageBytes))
    }

    private mutating func shortage(of bytes: Int, for id: ID, _ now: Duration) -> Shortage? {
        if bytes > room(for: id) { return .memory }
        guard bucket?.isOpen(at: now) ?? true, peers[id].bucket?.isOpen(at: now) ?? true else { return .bandwidth }
        return nil
    }

    /// The memory that a peer may have now. A single message always fits when nothing else is there.
    private func room(for id: ID) -> Int {
        if outstandingBytes == 0 { return .max }
        let free = limits.outstandingBytes - outstandingBytes
        if peers[id].isProven { return free }
        return unprovenBytes == 0 ? free : min(free, limits.outstandingBytes / 2 - unprovenBytes)
    }

    private mutating func grant(_ id: ID, _ bytes: Int, start: UInt64, _ now: Duration) {
        virtualTime = max(virtualTime, start)
        peers[id].finish = start + UInt64(bytes) * Self.unit / peers[id].weight
        if peers[id].outstanding == 0 { peers[id].progress = now }
        add(bytes, to: id)
        peers[id].bucket?.take(bytes, now: now)
        bucket?.take(bytes, now: now)
    }

    private mutating func add(_ bytes: Int, to id: ID) {
        peers[id].outstanding += bytes
        outstandingBytes += bytes
        if !peers[id].isProven { unprovenBytes += bytes }
    }

    private mutating func enqueue(_ id: ID, _ demand: Demand, _ now: Duration) {
        queuedCount += 1
        lastSerial += 1
        let start = max(peers[id].finish, virtualTime)
        peers[id].state = .queued(demand, start: start)
        peers[id].serial = lastSerial
        if let bucket = peers[id].bucket, bucket.opens(after: now) > now {
            closed.insert(Closed(opens: bucket.opens(after: now), serial: lastSerial, id: id))
        } else {
            line(up: id, start: start)
        }
    }

    private mutating func line(up id: ID, start: UInt64) {
        let place = Place(start: start, serial: peers[id].serial, id: id)
        if peers[id].isProven { proven.insert(place) } else { unproven.insert(place) }
    }

    /// Takes back a grant that was not used, or a place in line.
    private mutating func withdraw(_ id: ID) {
        switch peers[id].state {
        case .idle: return
        case .granted(let bytes): settle(id, granted: bytes, actual: 0)
        case .queued: queuedCount -= 1
        }
        peers[id].state = .idle
        peers[id].serial = 0
    }

    // MARK: Using

    /// A message was made of what was granted, or none at all (0). Others may have their turn by it.
    mutating func settle(_ id: ID, granted: Int, actual: Int) {
        let unused = granted - actual
        guard unused != 0 else { return }
        add(-unused, to: id)
        let virtual = UInt64(abs(unused)) * Self.unit / peers[id].weight
        peers[id].finish = unused > 0 ? peers[id].finish - min(peers[id].finish, virtual) : peers[id].finish + virtual
        peers[id].bucket?.giveBack(unused)
        bucket?.giveBack(unused)
        reuse(id)
    }

    /// A message was drained that had been written at `since`, as the last of `ahead` bytes.
    mutating func drained(_ id: ID, bytes: Int, ahead: Int, since: Duration, now: Duration) {
        add(-bytes, to: id)
        peers[id].progress = now
        if !peers[id].isGivenUp {
            peers[id].window.drained(ahead: ahead, after: now - since)
            prove(id)
        }
        release(id)
    }

    /// A message will never be drained.
    mutating func lost(_ id: ID, bytes: Int) {
        add(-bytes, to: id)
        release(id)
    }

    private mutating func release(_ id: ID) {
        if peers[id].outstanding == 0 { peers[id].isGivenUp = false }
        reuse(id)
    }

    private mutating func prove(_ id: ID) {
        guard !peers[id].isProven else { return }
        unprovenBytes -= peers[id].outstanding
        peers[id].isProven = true
        // Its place in line is among the others from now on.
        if case .queued(_, let start) = peers[id].state { line(up: id, start: start) }
    }

    // MARK: Deciding

    /// Grants what can be granted now. Each of the peers asks again, and has it.
    mutating func dispatch(now: Duration) -> [ID] {
        guard queuedCount > 0 else { return [] }
        openBuckets(now)
        var granted: [ID] = []
        while bucket?.isOpen(at: now) ?? true, let (place, bytes) = next(), bytes <= room(for: place.id) {
            if peers[place.id].isProven { proven.removeMin() } else { unproven.removeMin() }
            grant(place.id, bytes, start: place.start, now)
            queuedCount -= 1
            peers[place.id].state = .granted(bytes)
            granted.append(place.id)
        }
        return granted
    }

    /// Peers whose own bandwidth allows more get in line again.
    private mutating func openBuckets(_ now: Duration) {
        while let first = closed.min, first.opens <= now || !isCurrent(first.id, first.serial) {
            closed.removeMin()
            guard isCurrent(first.id, first.serial), case .queued(_, let start) = peers[first.id].state else {
                continue
            }
            line(up: first.id, start: start)
        }
    }

    private func isCurrent(_ id: ID, _ serial: UInt64) -> Bool { serial != 0 && peers[id].serial == serial }

    /// The first in line, with the bytes it would get. Of peers that have drained nothing yet only one that has room: they do
    /// not hold up the others.
    private mutating func next() -> (place: Place, bytes: Int)? {
        let first = head(of: \.proven, isProven: true)
        guard let other = head(of: \.unproven, isProven: false) else { return first }
        guard let first else { return other }
        return other.place < first.place && other.bytes <= room(for: other.place.id) ? other : first
    }

    private mutating func head(
        of line: WritableKeyPath<Self, Heap<Place>>, isProven: Bool
    ) -> (place: Place, bytes: Int)? {
        while let place = self[keyPath: line].min {
            if isCurrent(place.id, place.serial), peers[place.id].isProven == isProven,
                case .queued(let demand, _) = peers[place.id].state
            {
                return (place, messageBytes(place.id, demand))
            }
            self[keyPath: line].removeMin()
        }
        return nil
    }

    /// When ``dispatch(now:)`` or ``starved(now:)`` may have something to do though nothing else happens; nil when not before
    /// something does.
    mutating func wakeTime(now: Duration) -> Duration? {
        guard queuedCount > 0 else { return nil }
        var times: [Duration] = []
        if let first = closed.min { times.append(first.opens) }
        if let next = next() {
            if next.bytes > room(for: next.place.id) {
                if let since = peers.lazy.filter({ $0.outstanding > 0 && !$0.isGivenUp }).map(\.progress).min() {
                    times.append(since + limits.drainTimeout)
                }
            } else if let bucket {
                times.append(bucket.opens(after: now))
            }
        }
        return times.min()
    }

    /// Peers to be given up, because others wait for the memory of what they do not drain: those without progress for
    /// longest, and no more of them than it takes. Their bytes are to be ``lost(_:bytes:)`` next.
    mutating func starved(now: Duration) -> [ID] {
        guard queuedCount > 0, let next = next() else { return [] }
        var missing = next.bytes - room(for: next.place.id)
        guard missing > 0 else { return [] }
        missing -= peers.reduce(0) { $0 + ($1.isGivenUp ? $1.outstanding : 0) }
        let needsUnproven = !peers[next.place.id].isProven
        let candidates = peers.indices
            .filter {
                let peer = peers[$0]
                return peer.outstanding > 0 && !peer.isGivenUp && peer.progress + limits.drainTimeout <= now
                    && !(needsUnproven && peer.isProven && next.bytes <= limits.outstandingBytes - outstandingBytes)
            }
            .sorted { (peers[$0].progress, $0) < (peers[$1].progress, $1) }
        var starved: [ID] = []
        for id in candidates {
            guard missing > 0 else { break }
            missing -= peers[id].outstanding
            giveUp(id)
            starved.append(id)
        }
        return starved
    }

    private mutating func giveUp(_ id: ID) {
        withdraw(id)
        if peers[id].isProven { unprovenBytes += peers[id].outstanding }
        peers[id].isProven = false
        peers[id].isGivenUp = true
        peers[id].window.collapse()
    }
}
