public import Libp2p
public import Multiformats
public import PeerIdentity

/// Which peers there are, who says so, and which of them to dial when. Pure: time and chance come in, dials go out.
///
/// A peer that somebody has found is dialled, soon and at a bounded rate, and again whenever its connection is lost, ever more
/// rarely while that fails. It is forgotten when nobody finds it any more and there is no connection with it. Of two nodes
/// that find each other the one with the lower peer ID dials at once and the other waits a moment, so that they do not both.
public struct PeerBook: Sendable {
    /// Bounds of a book, and of its dialling.
    public struct Limits: Sendable, Hashable {
        /// Peers that are known. Others are passed over.
        public var peers = 2_048
        /// Addresses of one peer, over all who have found it.
        public var addressesPerPeer = 32
        /// Dials at a time.
        public var dials = 8
        /// Dials begun in a second, over a longer time.
        public var dialsPerSecond = 16
        /// Dials that may begin at once.
        public var dialBurst = 32
        /// Connections with peers that nobody chose, past which no more of these are dialled.
        public var connections = 256
        /// Peers that are remembered for the next start.
        public var remembered = 64

        public init() {}
    }

    /// A dial that is due. Its end is told by ``dialEnded(_:failed:now:)``.
    public struct Dial: Sendable, Hashable {
        public let peer: PeerID
        public let addresses: [Multiaddr]
    }

    /// Who has found a peer first, and when.
    public struct Origin: Sendable, Hashable {
        public let method: DiscoveryMethod
        /// By the clock of ``found(_:at:by:now:)``: time since an arbitrary start.
        public let since: Duration
    }

    /// How a dial has failed.
    public enum Failure: Sendable, Hashable {
        case unreachable
        /// Somebody else is there.
        case wrongPeer
    }

    private struct Entry {
        var findings: [(method: DiscoveryMethod, addresses: [Multiaddr])] = []
        var origin: Origin
        var isDialling = false
        /// When it is dialled next; nil while there is no need to.
        var due: Duration?
        var failures = 0

        var isChosen: Bool { findings.contains { $0.method.isChosen } }
    }

    private let ownPeer: PeerID
    private let limits: Limits
    /// Whether others can dial this node.
    private let isReachable: Bool
    private var random: RandomSource
    private var entries: [PeerID: Entry] = [:]
    /// Since when each peer is connected, found or not.
    private var connectedSince: [PeerID: Duration] = [:]
    private var dialling = 0
    /// Dials that may begin at once, as of a time.
    private var tokens: Double
    private var tokensAt = Duration.zero
    /// Where peers were reached, the latest last.
    private var reached: [(peer: PeerID, address: Multiaddr)] = []

    private static let haste = Duration.milliseconds(50)
    /// So long the higher of two peer IDs waits for the lower one to dial.
    private static let courtesy = Duration.milliseconds(400)
    private static let shortestDelay = Duration.seconds(1)
    private static let longestDelay = Duration.seconds(120)
    private static let impostorDelay = Duration.seconds(60)
    /// A connection that lasts less counts as a failure.
    private static let shortConnection = Duration.seconds(10)
    private static let patienceWithRemembered = 3

    /// - Parameter isReachable: whether others can dial this node: only then does it wait for a peer with a lower ID.
    public init(ownPeer: PeerID, isReachable: Bool, limits: Limits = Limits(), random: RandomSource = .system) {
        self.ownPeer = ownPeer
        self.isReachable = isReachable
        self.limits = limits
        self.random = random
        tokens = Double(limits.dialBurst)
    }

    public var count: Int { entries.count }

    /// Nil for a peer that nobody has found.
    public func origin(of peer: PeerID) -> Origin? { entries[peer]?.origin }

    /// Where a peer may be reached: what chosen methods say before what others do.
    public func addresses(of peer: PeerID) -> [Multiaddr] {
        guard let findings = entries[peer]?.findings else { return [] }
        var seen: Set<Multiaddr> = []
        let ordered = findings.filter(\.method.isChosen) + findings.filter { !$0.method.isChosen }
        return Array(ordered.flatMap(\.addresses).filter { seen.insert($0).inserted }.prefix(limits.addressesPerPeer))
    }

    // MARK: What is found

    /// What became of a peer that was found.
    public enum Reception: Sendable, Hashable {
        case new
        case known
        /// There are as many as may be, or it is this node itself.
        case refused
    }

    /// A method has found a peer at these addresses, which replace those it told before.
    @discardableResult
    public mutating func found(
        _ peer: PeerID, at addresses: [Multiaddr], by method: DiscoveryMethod, now: Duration
    ) -> Reception {
        guard peer != ownPeer else { return .refused }
        let isNew = entries[peer] == nil
        guard !isNew || entries.count < limits.peers else { return .refused }
        var entry = entries[peer] ?? Entry(origin: Origin(method: method, since: now))
        let known = Set(entry.findings.flatMap(\.addresses))
        entry.findings.removeAll { $0.method == method }
        entry.findings.append((method, Array(addresses.prefix(limits.addressesPerPeer))))
        let isElsewhere = !known.isSuperset(of: addresses)
        if connectedSince[peer] == nil, !entry.isDialling, entry.due == nil || isElsewhere {
            // A peer that has moved is not to wait for what failed at its old place, but not to be dialled at every word.
            let soon = now + jitter(Self.haste) + courtesy(towards: peer, entry)
            entry.due = isNew || entry.due == nil ? soon : max(soon, min(entry.due ?? soon, now + Self.shortestDelay))
        }
        entries[peer] = entry
        return isNew ? .new : .known
    }

    /// A method does not find the peer any more.
    public mutating func lost(_ peer: PeerID, by method: DiscoveryMethod, now: Duration) {
        entries[peer]?.findings.removeAll { $0.method == method }
        forget(peer)
    }

    private mutating func forget(_ peer: PeerID) {
        guard let entry = entries[peer], entry.findings.isEmpty else { return }
        entries[peer]?.due = nil
        if connectedSince[peer] == nil, !entry.isDialling { entries[peer] = nil }
    }

    // MARK: Connections

    /// The first connection with a peer is there.
    ///
    /// - Parameter address: where it was dialled; nil if it has dialled us.
    public mutating func connected(_ peer: PeerID, at address: Multiaddr?, now: Duration) {
        if let address {
            reached.removeAll { $0.peer == peer }
            reached.append((peer, address))
            if reached.count > limits.remembered { reached.removeFirst() }
        }
        connectedSince[peer] = now
        entries[peer]?.due = nil
    }

    /// The last connection with a peer is gone.
    public mutating func disconnected(_ peer: PeerID, now: Duration) {
        let lasted = connectedSince.removeValue(forKey: peer).map { now - $0 } ?? .zero
        guard var entry = entries[peer] else { return }
        entry.failures = lasted < Self.shortConnection ? entry.failures + 1 : 0
        entry.due = now + delay(entry.failures) + courtesy(towards: peer, entry)
        entries[peer] = entry
        forget(peer)
    }

    /// A dial has ended. That there is a connection is told by ``connected(_:at:now:)`` too, before or after.
    public mutating func dialEnded(_ peer: PeerID, failed failure: Failure?, now: Duration) {
        guard var entry = entries[peer], entry.isDialling else { return }
        dialling -= 1
        entry.isDialling = false
        if let failure {
            entry.failures += 1
            if entry.failures >= Self.patienceWithRemembered {
                entry.findings.removeAll { $0.method == .remembered }
            }
            if connectedSince[peer] == nil {
                entry.due = now + (failure == .wrongPeer ? Self.impostorDelay : .zero) + delay(entry.failures)
            }
        }
        entries[peer] = entry
        forget(peer)
    }

    private mutating func delay(_ failures: Int) -> Duration {
        let longest = min(Self.shortestDelay * (1 << min(failures, 10)), Self.longestDelay)
        return longest / 2 + jitter(longest / 2)
    }

    private mutating func courtesy(towards peer: PeerID, _ entry: Entry) -> Duration {
        isReachable && ownPeer > peer && !entry.isChosen ? Self.courtesy + jitter(Self.haste) : .zero
    }

    private mutating func jitter(_ longest: Duration) -> Duration {
        longest * Double.random(in: 0...1, using: &random)
    }

    // MARK: Time

    /// When ``takeDials(now:)`` will have something, unless something else happens before; nil for never.
    public var nextDue: Duration? {
        guard dialling < limits.dials else { return nil }
        guard let due = candidates.lazy.map(\.due).min() else { return nil }
        let wait = max(0, 1 - tokens) / Double(limits.dialsPerSecond)
        return max(due, tokensAt + .seconds(wait))
    }

    /// The dials that are due and within the limits. Each is under way then.
    public mutating func takeDials(now: Duration) -> [Dial] {
        let passed = max(.zero, now - tokensAt) / .seconds(1)
        tokens = min(Double(limits.dialBurst), tokens + passed * Double(limits.dialsPerSecond))
        tokensAt = max(tokensAt, now)
        var dials: [Dial] = []
        let due = candidates.filter { $0.due <= now }.sorted {
            ($0.isChosen ? 0 : 1, $0.due, $0.peer) < ($1.isChosen ? 0 : 1, $1.due, $1.peer)
        }
        var room = limits.connections - unchosenConnections
        for candidate in due where dialling < limits.dials && tokens >= 1 - 1e-9 {
            guard candidate.isChosen || room > 0 else { continue }
            if !candidate.isChosen { room -= 1 }
            tokens -= 1
            dialling += 1
            entries[candidate.peer]?.isDialling = true
            entries[candidate.peer]?.due = nil
            dials.append(Dial(peer: candidate.peer, addresses: addresses(of: candidate.peer)))
        }
        return dials
    }

    /// Those that wait to be dialled and may be.
    private var candidates: [(peer: PeerID, due: Duration, isChosen: Bool)] {
        let hasRoom = unchosenConnections < limits.connections
        return entries.compactMap { peer, entry in
            guard let due = entry.due, !entry.isDialling, hasRoom || entry.isChosen else { return nil }
            return (peer, due, entry.isChosen)
        }
    }

    private var unchosenConnections: Int {
        entries.count { (connectedSince[$0.key] != nil || $0.value.isDialling) && !$0.value.isChosen }
    }

    // MARK: Memory

    /// Where peers were reached, for the next start: the latest first.
    public var remembered: [Provider] {
        reached.reversed().map { Provider($0.peer, addresses: [$0.address]) }
    }
}
