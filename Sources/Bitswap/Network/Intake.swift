import DequeModule
import NIOConcurrencyHelpers
import PeerIdentity

/// What comes in from all peers: the memory of messages that are not whole or not stored yet, and the bandwidth.
///
/// While either is short nothing more is asked for (``Exchange/throttle()``) and no stream's window is opened. Messages
/// that come in part could fill the memory all the same, as each stream has a window to begin with: then the streams whose
/// messages come slowest are reset.
final class Intake: Sendable {
    typealias StreamID = UInt64

    /// A stream's window, as far as it waits to be opened.
    protocol Window: AnyObject, Sendable {
        func release()
    }

    private struct Partial {
        var bytes: Int
        var since: Duration
        var reset: @Sendable () -> Void
    }

    private struct State {
        var partials: [StreamID: Partial] = [:]
        var partialBytes = 0
        var unstoredBytes = 0
        var lastID: StreamID = 0
        var bucket: TokenBucket?
        var buckets: [PeerID: TokenBucket] = [:]
        var waiting: Deque<(peer: PeerID, window: any Window)> = []
        /// The windows of ``waiting``: each is in it once.
        var waitingIDs: Set<ObjectIdentifier> = []
        /// Peers whose own bandwidth was used up when they were last looked at.
        var shutPeers: Set<PeerID> = []
        var isShut = false
    }

    /// What a stream with a part of a message takes besides its bytes.
    private static let overhead = 512
    /// A message that has just begun counts as one that comes fast.
    private static let shortestAge: Duration = .milliseconds(10)
    private static let longestSleep: Duration = .milliseconds(50)
    private static let shortestSleep: Duration = .milliseconds(1)

    private let state: NIOLockedValueBox<State>
    private let limit: Int
    private let rates: BandwidthLimits
    private let hasRates: Bool
    private let waiting = Signal()
    private let time: TimeSource
    private let account: Account

    init(limits: BitswapLimits, bandwidth: BandwidthLimits, time: TimeSource, account: Account) {
        limit = max(limits.incomingBytes, 2 * limits.messageBytes)
        rates = bandwidth
        hasRates = bandwidth.download != nil || bandwidth.downloadPerPeer != nil
        self.time = time
        self.account = account
        let now = time.now()
        state = NIOLockedValueBox(State(bucket: bandwidth.download.map { TokenBucket(rate: $0, now: now) }))
    }

    // MARK: Memory

    /// Bytes of messages that are not whole or not stored.
    var bytes: Int { state.withLockedValue { $0.partialBytes + $0.unstoredBytes } }

    func join() -> StreamID {
        state.withLockedValue { state in
            state.lastID += 1
            return state.lastID
        }
    }

    /// A stream holds so many bytes of a message whose rest is still to come. `reset` is called, from any thread, when they
    /// are to be let go of.
    func holds(_ bytes: Int, of stream: StreamID, reset: @escaping @Sendable () -> Void) {
        let resets = state.withLockedValue { state in
            let before = state.partials[stream]?.bytes ?? 0
            if bytes == 0 {
                state.partials[stream] = nil
            } else if state.partials[stream]?.bytes == nil {
                state.partials[stream] = Partial(bytes: bytes + Self.overhead, since: time.now(), reset: reset)
            } else {
                state.partials[stream]?.bytes = bytes + Self.overhead
            }
            state.partialBytes += (bytes == 0 ? 0 : bytes + Self.overhead) - before
            return evict(&state)
        }
        account.hit(.incomingBytes, times: resets.count)
        for reset in resets { reset() }
    }

    /// Streams that have to go, for the memory to be down to three quarters of what it may be: the slowest first.
    private func evict(_ state: inout State) -> [@Sendable () -> Void] {
        guard state.partialBytes > limit else { return [] }
        let now = time.now()
        let slowest = state.partials.map { stream, partial in
            (rate: Double(partial.bytes) / max(now - partial.since, Self.shortestAge).inSeconds, stream: stream)
        }.sorted { ($0.rate, $0.stream) < ($1.rate, $1.stream) }
        var resets: [@Sendable () -> Void] = []
        for (_, stream) in slowest where state.partialBytes > limit / 4 * 3 {
            guard let partial = state.partials.removeValue(forKey: stream) else { continue }
            state.partialBytes -= partial.bytes
            resets.append(partial.reset)
        }
        return resets
    }

    /// The stream is gone.
    func leave(_ stream: StreamID) {
        state.withLockedValue { state in
            if let partial = state.partials.removeValue(forKey: stream) { state.partialBytes -= partial.bytes }
        }
    }

    /// Blocks of so many bytes wait for the store, or, if negative, have been stored or refused. Returns whether more or less
    /// may be asked for by it: see ``isShut``.
    func unstored(_ bytes: Int) -> Bool {
        let (hasChanged, windows, isShut) = state.withLockedValue { state in
            state.unstoredBytes += bytes
            let (hasChanged, windows) = review(&state)
            return (hasChanged, windows, state.isShut)
        }
        for window in windows { window.release() }
        // What was short of memory may now be short of bandwidth alone, which time brings back.
        if hasRates, isShut { waiting.raise() }
        return hasChanged
    }

    // MARK: Bandwidth

    /// Bytes came from a peer. Returns whether less may be asked for by it.
    func received(_ bytes: Int, from peer: PeerID) -> Bool {
        guard hasRates else { return false }
        let now = time.now()
        let (hasChanged, windows) = state.withLockedValue { state in
            state.bucket?.take(bytes, now: now)
            if let rate = rates.downloadPerPeer {
                state.buckets[peer, default: TokenBucket(rate: rate, now: now)].take(bytes, now: now)
                if state.buckets[peer]?.isOpen(at: now) == false, state.shutPeers.insert(peer).inserted {
                    let (_, windows) = review(&state)
                    return (true, windows)
                }
            }
            return review(&state)
        }
        for window in windows { window.release() }
        if hasChanged { waiting.raise() }
        return hasChanged
    }

    /// The peer is gone.
    func forget(_ peer: PeerID) {
        guard hasRates else { return }
        state.withLockedValue { state in
            state.buckets[peer] = nil
            state.shutPeers.remove(peer)
            takeWindows(&state) { $0 == peer }
        }
    }

    // MARK: What is open

    /// Whether nothing more is to be asked of anybody.
    var isShut: Bool { state.withLockedValue { $0.isShut } }
    /// Peers of which nothing more is to be asked.
    var shutPeers: Set<PeerID> { hasRates ? state.withLockedValue { $0.shutPeers } : [] }

    /// Whether a window may be opened now. If not it is released when it may.
    func admits(_ window: any Window, of peer: PeerID) -> Bool {
        state.withLockedValue { state in
            guard state.isShut || state.shutPeers.contains(peer) else { return true }
            if state.waitingIDs.insert(ObjectIdentifier(window)).inserted { state.waiting.append((peer, window)) }
            return false
        }
    }

    /// Finds out what is short now. Returns whether that has changed, and the windows that may be opened by it.
    private func review(_ state: inout State) -> (hasChanged: Bool, windows: [any Window]) {
        let isFull = state.unstoredBytes > limit / 2
        let isShut = isFull || (hasRates && state.bucket?.isOpen(at: time.now()) == false)
        guard isShut != state.isShut else { return (false, []) }
        state.isShut = isShut
        if isShut, isFull { account.hit(.incomingBytes) }
        return (true, isShut ? [] : takeWindows(&state))
    }

    private func takeWindows(_ state: inout State) -> [any Window] {
        guard !state.isShut, !state.waiting.isEmpty else { return [] }
        let shut = state.shutPeers
        return takeWindows(&state) { !shut.contains($0) }
    }

    @discardableResult
    private func takeWindows(_ state: inout State, of isMeant: (PeerID) -> Bool) -> [any Window] {
        let windows = state.waiting.filter { isMeant($0.peer) }.map(\.window)
        state.waiting.removeAll { isMeant($0.peer) }
        for window in windows { state.waitingIDs.remove(ObjectIdentifier(window)) }
        return windows
    }

    /// Lets time pass for those that wait for bandwidth. `changed` is called when more may be asked for. Until its task is
    /// cancelled.
    func keepTime(_ changed: @Sendable () -> Void) async {
        for await _ in waiting.raised {
            while let due = opens() {
                let pause = min(max(due - time.now(), Self.shortestSleep), Self.longestSleep)
                do { try await time.sleep(pause) } catch { return }
                let (hasChanged, windows) = state.withLockedValue { state in
                    let now = time.now()
                    let opened = state.shutPeers.filter { state.buckets[$0]?.isOpen(at: now) ?? true }
                    state.shutPeers.subtract(opened)
                    let (hasChanged, windows) = review(&state)
                    return (hasChanged || !opened.isEmpty, windows + takeWindows(&state))
                }
                for window in windows { window.release() }
                if hasChanged { changed() }
            }
        }
    }

    /// When the next of those opens that are shut for want of bandwidth.
    private func opens() -> Duration? {
        state.withLockedValue { state in
            let now = time.now()
            var times = state.shutPeers.compactMap { state.buckets[$0]?.opens(after: now) }
            if state.isShut, let bucket = state.bucket, case let opens = bucket.opens(after: now), opens > now {
                times.append(opens)
            } else if state.isShut, state.bucket != nil, state.unstoredBytes <= limit / 2 {
                times.append(now)
            }
            return times.min()
        }
    }
}
