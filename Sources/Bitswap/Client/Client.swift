import Blockstore
import DequeModule
import Libp2p
import Multiformats
import PeerIdentity

/// The client's side of the exchange as a pure state machine: which blocks are wanted, by whom, and what each peer said.
///
/// No clock, no network, no lock, no chance of its own. Time comes in as the duration since an arbitrary start. Every
/// mutation returns the ``Effects`` that the caller performs once it has left its lock; messages are not among them: a
/// peer's entries are *pulled* by ``takeEntries(for:limit:version:now:)`` when that peer's way out is free, so what is
/// pending for a stalled peer stays one entry per want.
///
/// Nothing is decided by the order of a dictionary: the same calls and the same chance give the same run.
struct Client {
    typealias WaiterID = UInt64

    /// What a mutation asks of its caller.
    struct Effects {
        /// Peers that have something to be sent now.
        var wake: [PeerID] = []
        /// Waiters that are done, with how.
        var finished: [(WaiterID, Result<Delivery, ExchangeError>)] = []
        /// Peers to connect to; each ends in ``dialEnded(_:isConnected:now:)``.
        var dials: [Provider] = []
        /// Blocks whose providers are to be looked for.
        var searches: [Search] = []
        /// Sessions that ask the router no more.
        var endedSessions: [SessionState.ID] = []
        var events: [(SessionState.ID, SessionEvent)] = []
        /// A want has to wait because as many are outstanding at a peer as may be.
        var keepsWantsBack = false
        /// When ``tick(now:)`` is due, if that is earlier than was said before.
        var alarm: Duration?

        mutating func merge(_ other: Self) {
            wake += other.wake
            finished += other.finished
            dials += other.dials
            searches += other.searches
            endedSessions += other.endedSessions
            events += other.events
            if other.keepsWantsBack { keepsWantsBack = true }
            if let theirs = other.alarm { alarm = alarm.map { min($0, theirs) } ?? theirs }
        }
    }

    struct Delivery: Sendable {
        var block: Block
        var peer: PeerID?
    }

    struct Search {
        var cid: CID
        var session: SessionState.ID
    }

    struct Waiter {
        let want: Want
        let session: SessionState.ID
        let deadline: Duration?
    }

    enum Due {
        case waiter(WaiterID)
        case debt(Want.ID, PeerKey)
        case search(SessionState.ID)
        case dial(PeerKey)
    }

    let limits: BitswapLimits
    let timing: Timing
    var random: RandomSource

    var wants: [Multihash: Want] = [:]
    var waiters: [WaiterID: Waiter] = [:]
    var sessions: [SessionState.ID: SessionState] = [:]
    var peers: [PeerKey: ClientPeer] = [:]
    var peerKeys: [PeerID: PeerKey] = [:]
    /// Connected peers that may be asked for what nobody is known to have, in the order of their coming.
    var listed: [PeerKey] = []
    var connected: [PeerKey] = []
    var deadlines = DeadlineQueue<Due>()
    /// Rises with what sessions are given.
    var virtualTime: UInt64 = 0
    var observers = 0
    /// Nothing more is asked of anybody for now.
    var isThrottled = false
    /// Nothing more is asked of anybody.
    private var isStopped = false

    // What a mutation leaves to be settled at its end.
    var effects = Effects()
    var released: [Want] = []
    var roomy: [PeerKey] = []
    var mutation: UInt64 = 1

    private var lastID: UInt64 = 0
    private var lastPeerKey: PeerKey = 0
    private var strangers: [PeerKey] = []

    /// When what is done, besides what follows from what peers deliver.
    struct Timing {
        var routerDelay: Duration = .seconds(1)
        var searchInterval: Duration = .seconds(10)
        var longestSearchInterval: Duration = .seconds(60)
        /// In which a peer that gives nothing counts as stalled.
        var patience: ClosedRange<Duration> = .seconds(1)...(.seconds(10))
    }

    init(limits: BitswapLimits, timing: Timing = Timing(), random: RandomSource) {
        self.limits = limits
        self.timing = timing
        self.random = random
    }

    var isIdle: Bool { wants.isEmpty }
    var wantCount: Int { wants.count }
    func isWanted(_ key: Multihash) -> Bool { wants[key] != nil }
    var waiterCount: Int { waiters.count }
    var wantlist: [CID] { wants.values.map(\.cid) }

    mutating func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    // MARK: Sessions

    mutating func beginSession(_ providers: Providers, isEphemeral: Bool) -> SessionState.ID {
        var named: [PeerKey] = []
        for provider in providers.named {
            let key = key(of: provider.peer, beside: named)
            hint(key, provider.addresses)
            if !named.contains(key) { named.append(key) }
        }
        let id = nextID()
        sessions[id] = SessionState(
            id: id, reach: providers.reach == .only ? .only : .any, named: named, isEphemeral: isEphemeral)
        sessions[id]?.virtualTime = virtualTime
        return id
    }

    /// Ends a session with all that is still wanted in it.
    mutating func endSession(_ id: SessionState.ID, now: Duration) -> Effects {
        guard let session = sessions[id] else { return flush(now) }
        for want in session.wants where !want.isOver {
            for waiter in want.waiters where waiters[waiter]?.session == id {
                finish(waiter, .cancelled, "the session of the request for \(want.cid) ended")
            }
        }
        forgetSession(id)
        return flush(now)
    }

    private mutating func forgetSession(_ id: SessionState.ID) {
        guard let session = sessions.removeValue(forKey: id) else { return }
        session.forgetWants()
        if session.isObserved { observers -= 1 }
        if session.searches > 0 { effects.endedSessions.append(id) }
    }

    /// From now on ``Effects/events`` tells of this session.
    mutating func observe(_ id: SessionState.ID) {
        guard sessions[id]?.isObserved == false else { return }
        sessions[id]?.isObserved = true
        observers += 1
    }

    // MARK: Callers

    /// Registers a waiter; nothing is asked of any peer before ``open(_:now:)``. Nil when the session has ended.
    ///
    /// - Parameter isOrdered: blocks are to come in the order of their registration, as far as that costs nothing.
    mutating func register(
        _ cid: CID, in session: SessionState.ID, deadline: Duration?, isOrdered: Bool = false, now: Duration
    ) -> WaiterID? {
        guard let state = sessions[session] else { return nil }
        let id = nextID()
        let want = wants[cid.multihash] ?? addWant(cid, now: now)
        want.waiters.append(id)
        if isOrdered, want.place == nil { want.place = id }
        if !want.sessions.contains(where: { $0 === state }) {
            want.sessions.append(state)
            state.opened(want)
        }
        waiters[id] = Waiter(want: want, session: session, deadline: deadline)
        if let deadline { deadlines.insert(.waiter(id), at: deadline) }
        return id
    }

    /// Registers a waiter in a session of its own.
    mutating func register(_ cid: CID, providers: Providers, deadline: Duration?, now: Duration) -> WaiterID {
        let session = beginSession(providers, isEphemeral: true)
        // The session was made just now.
        return register(cid, in: session, deadline: deadline, now: now) ?? 0
    }

    private mutating func addWant(_ cid: CID, now: Duration) -> Want {
        let want = Want(id: nextID(), cid: cid, since: now, tie: random.next())
        wants[cid.multihash] = want
        return want
    }

    /// The blocks are not in the own store: peers may be asked.
    mutating func open(_ opened: [WaiterID], now: Duration) -> Effects {
        var lastSession: SessionState.ID?
        for id in opened {
            if isStopped {
                finish(id, .stopped, Self.stopped)
                continue
            }
            guard let waiter = waiters[id], let session = sessions[waiter.session] else { continue }
            let want = waiter.want
            guard want.phase != .storing else { continue }
            if want.phase == .looking {
                want.phase = .open
                emit(want) { .opened($0) }
            } else if want.sessions.first !== session {
                gather(want, for: session, now: now)
            }
            if waiter.session != lastSession {
                lastSession = waiter.session
                startDials(of: session)
                scheduleSearch(of: waiter.session, after: timing.routerDelay, now: now)
            }
            release(want)
        }
        return flush(now)
    }

    /// Ends one waiter; the want itself ends, at every peer, with its last one.
    mutating func abandon(
        _ waiter: WaiterID, _ code: ExchangeError.Code, _ message: String, underlying: (any Error)? = nil,
        now: Duration
    ) -> Effects {
        finish(waiter, code, message, underlying: underlying)
        return flush(now)
    }

    /// The blocks are not in the own store, and peers are not asked.
    mutating func end(_ ended: [WaiterID], now: Duration) -> Effects {
        for id in ended {
            guard let cid = waiters[id]?.want.cid else { continue }
            finish(id, .notFound, "the block \(cid) is not in the own store, and this node fetches none from peers")
        }
        return flush(now)
    }

    /// Ends all waiters, and from now on those whose blocks are not in the own store.
    mutating func stop(now: Duration) -> Effects {
        isStopped = true
        for waiter in waiters.keys.sorted() { finish(waiter, .stopped, Self.stopped) }
        return flush(now)
    }

    private static let stopped = "the exchange was stopped"

    /// Takes back waiters that nobody is to hear of. Returns those that had not ended before.
    mutating func withdraw(_ withdrawn: [WaiterID], now: Duration) -> (live: [WaiterID], effects: Effects) {
        let live = withdrawn.filter { waiters[$0] != nil }
        for waiter in live { leave(waiter) }
        return (live, flush(now))
    }

    mutating func finish(
        _ waiter: WaiterID, _ code: ExchangeError.Code, _ message: String, underlying: (any Error)? = nil
    ) {
        guard let known = waiters[waiter] else { return }
        let answers = answers(to: known.want, in: known.session)
        if observers > 0, sessions[known.session]?.isObserved == true {
            effects.events.append((known.session, .failed(known.want.cid, code)))
        }
        effects.finished.append(
            (waiter, .failure(ExchangeError(code, message, underlying: underlying, answers: answers))))
        leave(waiter)
    }

    /// Takes a waiter out, and what only it wanted.
    private mutating func leave(_ id: WaiterID) {
        guard let waiter = waiters.removeValue(forKey: id) else { return }
        let want = waiter.want
        want.waiters.removeAll { $0 == id }
        if want.waiters.isEmpty {
            remove(want)
            if want.phase != .storing { withdraw(want, from: nil) }
        } else if !want.waiters.contains(where: { waiters[$0]?.session == waiter.session }) {
            let session = want.sessions.first { $0.id == waiter.session }
            want.sessions.removeAll { $0 === session }
            session?.ended(want)
            // Claims were laid in the name of that session; they are laid again in the name of another.
            for key in want.audience { want.update(key) { $0.isClaimed = false } }
            release(want)
        }
        endIfEphemeral(waiter.session)
    }

    /// A session that was made for one waiter ends with it.
    mutating func endIfEphemeral(_ session: SessionState.ID) {
        if sessions[session]?.isEphemeral == true { forgetSession(session) }
    }

    /// Forgets a want; its waiters are the caller's business.
    mutating func remove(_ want: Want) {
        guard !want.isOver else { return }
        wants[want.cid.multihash] = nil
        want.isOver = true
        for session in want.sessions { session.ended(want) }
    }

    /// Takes a want back wherever it was sent or is about to be.
    mutating func withdraw(_ want: Want, from deliverer: PeerKey?) {
        for key in want.audience where key != deliverer {
            guard let peer = peers[key] else { continue }
            if peer.forgive(want.id) {
                if peer.debts.isEmpty { peer.estimate.stoppedWaiting() }
                roomy.append(key)
            }
            if peer.queue.cancel(want.cid.multihash) { wake(peer) }
            if want[key]?.answer == nil { for session in want.sessions { session.withdrew(key) } }
        }
    }

    /// What each peer has said of a want: of those that were asked, and those that a session names.
    private func answers(to want: Want, in session: SessionState.ID) -> [PeerID: PeerAnswer] {
        var answers: [PeerID: PeerAnswer] = [:]
        for key in sessions[session]?.named ?? [] {
            guard let peer = peers[key], !peer.isConnected else { continue }
            answers[peer.id] = isUnreachable(key) ? .unreachable : .notYetAsked
        }
        for key in want.audience {
            guard let peer = peers[key], let relation = want[key], relation.asked != nil || relation.isGone else {
                continue
            }
            guard answers[peer.id] != .unreachable else { continue }
            let answer = relation.inWords
            answers[peer.id] = answer == .silent && peer.offence >= 0.5 ? .sentOtherBytes : answer
        }
        return answers
    }

    // MARK: Peers by number

    /// - Parameter others: not to be forgotten for the sake of a new one.
    mutating func key(of id: PeerID, beside others: [PeerKey] = []) -> PeerKey {
        if let key = peerKeys[id] { return key }
        lastPeerKey += 1
        peerKeys[id] = lastPeerKey
        peers[lastPeerKey] = ClientPeer(id, key: lastPeerKey)
        becameStranger(lastPeerKey, beside: others)
        return lastPeerKey
    }

    /// Peers that are not connected are remembered up to a limit, those of use longer than those of none.
    mutating func becameStranger(_ key: PeerKey, beside others: [PeerKey] = []) {
        strangers.append(key)
        guard strangers.count > limits.rememberedPeers else { return }
        // Those that came back since are no strangers; what is left is thinned by a quarter at a time.
        var seen: Set<PeerKey> = []
        let known = strangers.filter { peers[$0]?.isConnected == false && seen.insert($0).inserted }
        // Not the one that is about to be connected, dialled or named.
        let kept = sessions.values.reduce(into: Set(others + [key])) { $0.formUnion($1.named) }
        var excess = known.count - limits.rememberedPeers * 3 / 4
        var forgotten: Set<PeerKey> = []
        for isUseful in [false, true] {
            for key in known where excess > 0 && peers[key]?.isUseful == isUseful && !kept.contains(key) {
                forgotten.insert(key)
                excess -= 1
            }
        }
        for key in forgotten {
            if let id = peers.removeValue(forKey: key)?.id { peerKeys[id] = nil }
        }
        strangers = known.filter { !forgotten.contains($0) }
    }

    mutating func hint(_ key: PeerKey, _ addresses: [Multiaddr]) {
        for address in addresses where peers[key]?.dialing.addresses.contains(address) == false {
            peers[key]?.dialing.addresses.append(address)
        }
        let excess = (peers[key]?.dialing.addresses.count ?? 0) - limits.addressesPerPeer
        if excess > 0 { peers[key]?.dialing.addresses.removeFirst(excess) }
    }

    // MARK: The end of a mutation

    mutating func wake(_ peer: ClientPeer) {
        guard peer.isConnected, peer.wokenIn != mutation else { return }
        peer.wokenIn = mutation
        effects.wake.append(peer.id)
    }

    mutating func release(_ want: Want) { released.append(want) }

    mutating func emit(_ want: Want, _ event: (CID) -> SessionEvent) {
        guard observers > 0, !want.isOver else { return }
        for session in want.sessions where session.isObserved {
            effects.events.append((session.id, event(want.cid)))
        }
    }

    /// Settles what the mutation has left open, and gives its effects.
    mutating func flush(_ now: Duration) -> Effects {
        settle(now)
        effects.alarm = takeAlarm()
        mutation += 1
        var taken = Effects()
        swap(&taken, &effects)
        return taken
    }
}
