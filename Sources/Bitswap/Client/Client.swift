import Blockstore
import Multiformats
import PeerIdentity

/// The client's side of the exchange as a pure state machine: which blocks are wanted, by whom, and what each peer said.
///
/// No clock, no network, no lock. Time comes in as the duration since an arbitrary start. Every mutation returns the
/// ``Effects`` that the caller performs once it has left its lock; messages are not among them: a peer's entries are
/// *pulled* by ``takeEntries(for:limit:version:)`` when that peer's way out is free, so what is pending for a stalled peer
/// stays one entry per want.
struct Client {
    typealias WaiterID = UInt64

    /// What a mutation asks of its caller.
    struct Effects {
        /// Peers that have something to be sent now.
        var wake: [PeerID] = []
        /// Waiters that are done, with how.
        var finished: [(WaiterID, Result<Delivery, ExchangeError>)] = []
    }

    struct Delivery: Sendable {
        var block: Block
        var peer: PeerID?
    }

    private struct Waiter {
        var deadline: Duration?
        /// When not empty, only these peers may be asked on this waiter's behalf.
        var providers: Set<PeerID>
    }

    private struct Want {
        let cid: CID
        var waiters: [WaiterID: Waiter] = [:]
        /// The peer that owes us the block, and since when it has been asked (nil: the entry is not sent yet).
        var blockPeer: PeerID?
        /// What each asked peer said.
        var answers: [PeerID: PeerAnswer] = [:]
        /// Peers that were asked for the block itself and let the time pass, or had to be passed over.
        var stalled: Set<PeerID> = []
        /// The block is here and on its way into the store; nothing is to be asked any more.
        var isStoring = false
        /// Peers may be asked: the look-up in the own store is over.
        var isOpen = false

        /// Nil: any connected peer.
        var allowed: Set<PeerID>? {
            if waiters.values.contains(where: { $0.providers.isEmpty }) { return nil }
            return waiters.values.reduce(into: []) { $0.formUnion($1.providers) }
        }
    }

    private var wants: [Multihash: Want] = [:]
    private var peers: [PeerID: PeerWants] = [:]
    private var waiterKeys: [WaiterID: Multihash] = [:]
    private var lastWaiter: WaiterID = 0
    private let limits: BitswapLimits
    private let stallTime: Duration

    init(limits: BitswapLimits, stallTime: Duration) {
        self.limits = limits
        self.stallTime = stallTime
    }

    var isIdle: Bool { wants.isEmpty }
    func isWanted(_ key: Multihash) -> Bool { wants[key] != nil }
    var waiterCount: Int { waiterKeys.count }
    var wantlist: [CID] { wants.values.map(\.cid) }

    // MARK: Callers

    /// Registers a waiter; nothing is asked of any peer before ``open(_:now:)``.
    mutating func register(_ cid: CID, providers: Set<PeerID>, deadline: Duration?) -> WaiterID {
        lastWaiter += 1
        wants[cid.multihash, default: Want(cid: cid)].waiters[lastWaiter] = Waiter(
            deadline: deadline, providers: providers)
        waiterKeys[lastWaiter] = cid.multihash
        return lastWaiter
    }

    /// The block is not in the own store: peers may be asked.
    mutating func open(_ waiter: WaiterID, now: Duration) -> Effects {
        var effects = Effects()
        guard let key = waiterKeys[waiter] else { return effects }
        wants[key]?.isOpen = true
        advance(key, &effects)
        return effects
    }

    /// Ends one waiter; the want itself ends, at every peer, with its last one.
    mutating func abandon(_ waiter: WaiterID, _ code: ExchangeError.Code, _ message: String) -> Effects {
        var effects = Effects()
        abandon(waiter, code, message, &effects)
        return effects
    }

    private mutating func abandon(
        _ waiter: WaiterID, _ code: ExchangeError.Code, _ message: String, _ effects: inout Effects
    ) {
        guard let key = waiterKeys.removeValue(forKey: waiter) else { return }
        let answers = (wants[key]?.answers ?? [:]).reduce(into: [PeerID: PeerAnswer]()) {
            $0[$1.key] = $1.value == .silent && peers[$1.key]?.hasOffended == true ? .sentOtherBytes : $1.value
        }
        wants[key]?.waiters[waiter] = nil
        effects.finished.append((waiter, .failure(ExchangeError(code, message, answers: answers))))
        if wants[key]?.waiters.isEmpty == true {
            let isStoring = wants.removeValue(forKey: key)?.isStoring == true
            if !isStoring { withdraw(key, &effects) }
        }
    }

    mutating func abandonAll(_ code: ExchangeError.Code, _ message: String) -> Effects {
        var effects = Effects()
        for waiter in Array(waiterKeys.keys) { abandon(waiter, code, message, &effects) }
        return effects
    }

    // MARK: Peers

    mutating func connected(_ peer: PeerID) -> Effects {
        var effects = Effects()
        guard peers[peer] == nil else { return effects }
        peers[peer] = PeerWants()
        for key in wants.keys { advance(key, &effects) }
        return effects
    }

    mutating func disconnected(_ peer: PeerID) -> Effects {
        var effects = Effects()
        guard let gone = peers.removeValue(forKey: peer) else { return effects }
        for key in gone.keys {
            guard wants[key] != nil else { continue }
            wants[key]?.answers[peer] = .disconnected
            wants[key]?.stalled.remove(peer)
            if wants[key]?.blockPeer == peer { wants[key]?.blockPeer = nil }
            advance(key, &effects)
        }
        return effects
    }

    /// The way to `peer` was lost while it is still connected: what it was told, it may not know.
    mutating func outletLost(_ peer: PeerID) -> Effects {
        var effects = Effects()
        guard peers[peer]?.restart() == true else { return effects }
        effects.wake.append(peer)
        return effects
    }

    /// The entries to send to `peer` now, at most `limit`; `isFull` when they replace all it knows of ours.
    mutating func takeEntries(
        for peer: PeerID, limit: Int, version: BitswapVersion, now: Duration
    ) -> (entries: [Message.Entry], isFull: Bool) {
        guard peers[peer] != nil else { return ([], false) }
        let taken = peers[peer]?.take(
            limit: limit, outstanding: limits.outstandingWantsPerPeer, version: version, now: now)
        guard let taken else { return ([], false) }
        for key in taken.asked { wants[key]?.answers[peer] = .silent }
        return (taken.entries, taken.isFull)
    }

    func hasEntries(for peer: PeerID) -> Bool { peers[peer]?.hasPending ?? false }

    // MARK: What peers say

    mutating func received(presences: [Message.Presence], from peer: PeerID) -> Effects {
        var effects = Effects()
        for presence in presences {
            let key = presence.cid.multihash
            // Only what was asked of this peer counts: nobody fills our memory with answers to no question.
            guard peers[peer]?.outstanding(key) != nil, var want = wants[key], !want.isStoring else { continue }
            want.answers[peer] = presence.has ? .have : .dontHave
            if !presence.has, want.blockPeer == peer {
                want.blockPeer = nil
                want.stalled.remove(peer)
            }
            wants[key] = want
            advance(key, &effects)
        }
        return effects
    }

    /// Whether anything is outstanding at `peer`: if nothing is, what it sends is not worth a hash.
    func awaitsBlock(from peer: PeerID) -> Bool { peers[peer]?.awaitsAnything ?? false }

    /// Whether `peer` was asked for this block, and the block is still to come.
    enum Expectation {
        case wanted(CID)
        case alreadyHere, unrequested
    }

    /// A block with this multihash came from `peer`. When it is wanted it counts as here from now on: the caller stores it
    /// and calls ``stored(_:)`` or ``storeFailed(_:_:)``; everybody else who was asked is told to forget it.
    mutating func received(block key: Multihash, from peer: PeerID) -> (Expectation, Effects) {
        var effects = Effects()
        guard peers[peer]?.settle(key) == true else { return (.unrequested, effects) }
        guard let want = wants[key], !want.isStoring else { return (.alreadyHere, effects) }
        wants[key]?.isStoring = true
        withdraw(key, &effects)
        if peers[peer]?.hasPending == true { effects.wake.append(peer) }
        return (.wanted(want.cid), effects)
    }

    /// `peer` sent a block that was not asked of it, or whose bytes are not those of its CID: what it owes is asked of others.
    mutating func offended(_ peer: PeerID) -> Effects {
        var effects = Effects()
        peers[peer]?.hasOffended = true
        for key in peers[peer]?.keys ?? [] where wants[key]?.blockPeer == peer {
            wants[key]?.stalled.insert(peer)
            wants[key]?.blockPeer = nil
            advance(key, &effects)
        }
        return effects
    }

    /// The block is in the store, fetched from `peer` or put by the application (nil): all its waiters are done.
    mutating func stored(_ block: Block, from peer: PeerID?) -> Effects {
        var effects = Effects()
        guard let want = wants.removeValue(forKey: block.cid.multihash) else { return effects }
        for waiter in want.waiters.keys {
            waiterKeys[waiter] = nil
            effects.finished.append((waiter, .success(Delivery(block: block, peer: peer))))
        }
        if !want.isStoring { withdraw(block.cid.multihash, &effects) }
        return effects
    }

    mutating func storeFailed(_ key: Multihash, _ error: any Error) -> Effects {
        var effects = Effects()
        guard let want = wants.removeValue(forKey: key) else { return effects }
        for waiter in want.waiters.keys {
            waiterKeys[waiter] = nil
            let failure = ExchangeError(
                .storeFailed, "the block \(want.cid) came but could not be stored", underlying: error)
            effects.finished.append((waiter, .failure(failure)))
        }
        return effects
    }

    // MARK: Time

    /// Ends waiters whose time is over and moves wants on whose peer has let its time pass.
    mutating func tick(now: Duration) -> Effects {
        var effects = Effects()
        for (key, want) in wants {
            for (waiter, state) in want.waiters {
                guard let deadline = state.deadline, deadline <= now else { continue }
                abandon(waiter, .timedOut, "no peer gave the block \(want.cid) in time", &effects)
            }
            guard let peer = want.blockPeer, let asked = peers[peer]?.outstanding(key), asked.type == .block,
                asked.since + stallTime <= now, wants[key] != nil
            else { continue }
            // It may still answer; but the next one is asked beside it, if there is one.
            if candidate(for: want, besides: peer) != nil {
                wants[key]?.stalled.insert(peer)
                wants[key]?.blockPeer = nil
                advance(key, &effects)
            }
        }
        return effects
    }

    // MARK: Decisions

    /// Asks whoever should be asked for the want now, given all that is known.
    private mutating func advance(_ key: Multihash, _ effects: inout Effects) {
        guard let want = wants[key], want.isOpen, !want.isStoring else { return }
        if want.blockPeer == nil, let peer = candidate(for: want, besides: nil) {
            wants[key]?.blockPeer = peer
            if want.answers[peer] != .have { wants[key]?.answers[peer] = .notYetAsked }
            ask(peer, want.cid, .block, &effects)
        }
        let allowed = want.allowed
        for peer in peers.keys where wants[key]?.answers[peer] == nil || want.answers[peer] == .disconnected {
            guard allowed?.contains(peer) ?? true else { continue }
            wants[key]?.answers[peer] = .notYetAsked
            ask(peer, want.cid, .have, &effects)
        }
    }

    /// The connected peer to ask for the block itself: one that said HAVE, else one not asked before, else one that is not
    /// known to lack it.
    private func candidate(for want: Want, besides excluded: PeerID?) -> PeerID? {
        func rank(_ peer: PeerID) -> Int? {
            guard peer != excluded, peers[peer] != nil, !want.stalled.contains(peer) else { return nil }
            switch want.answers[peer] {
            case .have: return 0
            case nil, .disconnected: return 1
            case .notYetAsked: return 2
            // A peer that knows no HAVE stays silent to the question; one that does not may just be slow.
            case .silent: return peers[peer]?.answersHave == false ? 2 : nil
            case .dontHave, .sentOtherBytes: return nil
            }
        }
        let allowed = want.allowed
        let candidates = allowed.map(Array.init) ?? Array(peers.keys)
        return candidates.compactMap { peer in rank(peer).map { (peer, $0) } }
            .min { ($0.1, peers[$0.0]?.load ?? 0) < ($1.1, peers[$1.0]?.load ?? 0) }?.0
    }

    private mutating func ask(_ peer: PeerID, _ cid: CID, _ type: WantType, _ effects: inout Effects) {
        peers[peer]?.want(cid, type)
        effects.wake.append(peer)
    }

    /// Takes a want back wherever it was sent or is about to be.
    private mutating func withdraw(_ key: Multihash, _ effects: inout Effects) {
        for peer in peers.keys where peers[peer]?.cancel(key) == true { effects.wake.append(peer) }
    }
}
