import Multiformats
import PeerIdentity

/// The number by which the client knows a peer: small, quick to look up, and in an order that is the same in every run.
typealias PeerKey = Int

/// A peer as the client knows it, connected or not.
// Sendable: part of one Client, and reached through it alone. Not checked for exclusive access at run time, which took a
// quarter of the client's decisions.
final class ClientPeer: @unchecked Sendable {
    /// A block that it was asked for and has not given yet.
    struct Debt {
        let want: Want
        let size: Int
        /// Bytes that it owed before this block.
        var ahead = 0
        /// Nil: the want is not sent yet.
        var sentAt: Duration?
        /// What it had delivered by then.
        var deliveredBefore = 0
        /// When it is to be asked what keeps it.
        var due: Duration
    }

    let id: PeerID
    let key: PeerKey
    @exclusivity(unchecked) var isConnected = false
    var standing: PeerStanding = []
    /// It has given us a block once, or said HAVE.
    @exclusivity(unchecked) var isUseful = false
    /// It is in the list of those that are asked for blocks of which nobody is known to have them.
    @exclusivity(unchecked) var isListed = false
    @exclusivity(unchecked) var queue = PeerWants()
    @exclusivity(unchecked) var estimate = PeerEstimate()
    @exclusivity(unchecked) private(set) var debts: [Want.ID: Debt] = [:]
    /// Bytes that it is expected to send for ``debts``.
    @exclusivity(unchecked) private(set) var owedBytes = 0
    @exclusivity(unchecked) var claims = Claims()
    /// Rises with what it sends that nobody asked for, sinks with what it was asked for.
    @exclusivity(unchecked) var offence = 0.0
    /// The mutation in which it was last woken.
    @exclusivity(unchecked) var wokenIn: UInt64 = 0
    var dialing = Dialing()

    /// How it goes with connecting to the peer.
    struct Dialing {
        var addresses: [Multiaddr] = []
        var isUnderWay = false
        /// When it is tried again.
        var due: Duration?
        var failures = 0
    }

    init(_ id: PeerID, key: PeerKey) {
        self.id = id
        self.key = key
    }

    /// Nothing more is asked of it for now: it has sent as much as it may.
    @exclusivity(unchecked) var isThrottled = false

    /// It lied too often to be asked for anything.
    var isUntrusted: Bool { offence >= 4 }

    /// The block is asked for, at `now` for the second time if it is owed already.
    func owe(_ want: Want, size: Int, due: Duration, now: Duration) {
        let delivered = estimate.delivered
        let isOwed = update(want.id) {
            $0.due = due
            $0.deliveredBefore = delivered
            if $0.sentAt != nil { $0.sentAt = now }
        }
        guard !isOwed else { return }
        debts[want.id] = Debt(want: want, size: size, due: due)
        owedBytes += size
    }

    /// Returns whether it owes the block.
    @discardableResult
    func update(_ want: Want.ID, _ change: (inout Debt) -> Void) -> Bool {
        guard let index = debts.index(forKey: want) else { return false }
        change(&debts.values[index])
        return true
    }

    /// Returns whether it owed the block.
    @discardableResult
    func forgive(_ want: Want.ID) -> Bool {
        guard let debt = debts.removeValue(forKey: want) else { return false }
        owedBytes -= debt.size
        return true
    }

    /// - Parameter isGone: the connection is; else there is just no way to ask it.
    func disconnected(isGone: Bool) {
        isConnected = false
        if isGone { queue = PeerWants() } else { queue.forget() }
        debts = [:]
        owedBytes = 0
        claims.removeAll()
        estimate.disconnected()
    }

    /// Whether it is asked for as many blocks as may be.
    func hasAllWants(_ limits: BitswapLimits) -> Bool { debts.count >= limits.outstandingWantsPerPeer }

    /// Whether one more block may be asked for: the window is kept to half a block.
    func hasRoom(_ limits: BitswapLimits) -> Bool {
        guard isConnected, !isThrottled, !hasAllWants(limits) else { return false }
        guard !debts.isEmpty else { return true }
        let window = estimate.window(initial: limits.initialRequestWindow, maximum: limits.requestWindow)
        return owedBytes + owedBytes / debts.count / 2 <= window
    }
}
