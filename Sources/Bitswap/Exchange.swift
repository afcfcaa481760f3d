public import Blockstore
import DequeModule
public import Libp2p
public import Logging
public import Metrics
import Multiformats
import NIOCore
public import PeerIdentity
import NIOConcurrencyHelpers

/// A Bitswap exchange over one blockstore: it fetches blocks that are wanted, verifies and keeps them, and serves what the
/// store holds to whoever asks.
///
/// One exchange serves any number of peers and callers. Its state is two kinds of pure state machine, each behind a lock of
/// its own that is never held across a callback: one ``Client`` for what we want, and a ``Ledger`` for each peer that wants
/// something of us. ``run()`` must be running for anything to be sent or stored.
///
/// Specification: ipfs/specs, bitswap-protocol.md.
public final class Exchange: Sendable {
    /// How an exchange works.
    public struct Configuration: Sendable {
        /// Bounds on what peers can make it hold.
        public var limits = BitswapLimits()
        /// Bytes a second that are sent and taken; no limits to begin with.
        public var bandwidth = BandwidthLimits()
        /// How long nobody is known to have a block before the content router is asked.
        public var routerDelay: Duration = .seconds(1)
        /// How often a block is looked for again that nobody is known to have, to begin with; it becomes rarer.
        public var searchInterval: Duration = .seconds(10)
        /// Who is given which blocks.
        public var access = AccessPolicy()
        /// Whether peers are given blocks. Off: their wants are answered with DONT_HAVE, if they ask to be told, without a
        /// look into the store, and none is kept.
        public var servesBlocks = true
        /// Whether peers are asked for blocks. Off: a want is answered from the own store or ends at once as `notFound`; no
        /// peer is asked, dialled or looked for.
        public var fetchesBlocks = true

        public init() {}
    }

    let configuration: Configuration
    let store: any Blockstore
    /// The store, if what is little can be done on the thread that wants it done.
    let immediateStore: (any ImmediateBlockstore)?
    let network: any ExchangeNetwork
    let time: TimeSource
    let logger: Logger
    let client: NIOLockedValueBox<Client>
    let peers = NIOLockedValueBox<[PeerID: ExchangePeer]>([:])
    let subscriptions: NIOLockedValueBox<Subscriptions>
    /// What the wants of all peers take that are no subscriptions.
    let wantBudget: NIOLockedValueBox<SharedBudget>
    /// Bytes of our wantlists that peers have not taken yet.
    let wantlistBytes = NIOLockedValueBox(0)
    let schedule: ResponseSchedule
    let account: Account
    let intake: Intake
    let frames = FramePool()
    let ingest = Ingest()
    let callers = Callers()
    let router: (any ContentRouting)?
    let searches: Searches
    let observers = NIOLockedValueBox<[SessionState.ID: AsyncStream<SessionEvent>.Continuation]>([:])
    private let jobs = AsyncStream.makeStream(of: Job.self)

    /// What a task of its own is needed for.
    enum Job {
        case ask(Way)
        case answer(Way)
        case dial(Provider)
        case search(Client.Search)
        case store([Ingest.Arrival])
        case conclude([Ingest.Arrival], [Block], BlockstoreError?)
        case wait(until: Duration)
    }

    /// - Parameters:
    ///   - store: where fetched blocks are kept and served blocks are read.
    ///   - network: how peers are reached; see ``SwarmNetwork``.
    ///   - router: who is asked for peers that have a block when none that is connected has.
    ///   - time: the clock; tests bring their own.
    ///   - random: the chance in its decisions; with the same chance and the same events it decides the same.
    ///   - metrics: where the exchange's metrics go, which are all named `bitswap_…`.
    public init(
        store: any Blockstore, network: any ExchangeNetwork, router: (any ContentRouting)? = nil,
        configuration: Configuration = Configuration(), time: TimeSource = .monotonic,
        random: RandomSource = .seeded(), metrics: any MetricsFactory = MetricsSystem.factory, logger: Logger
    ) {
        account = Account(metrics)
        self.store = store
        immediateStore = store as? any ImmediateBlockstore
        self.network = network
        self.configuration = configuration
        let bandwidth = configuration.bandwidth
        var limits = configuration.limits
        limits.shrinkWindows(to: bandwidth)
        schedule = ResponseSchedule(limits: limits, bandwidth: bandwidth, now: time.now())
        intake = Intake(limits: limits, bandwidth: bandwidth, time: time, account: account)
        subscriptions = NIOLockedValueBox(Subscriptions(bytes: limits.subscriptionBytes))
        wantBudget = NIOLockedValueBox(SharedBudget(limit: limits.wantBytes, least: limits.leastWantBytesPerPeer))
        self.time = time
        self.logger = logger
        self.router = router
        searches = Searches(limit: configuration.limits.concurrentSearches)
        client = NIOLockedValueBox(
            Client(
                limits: limits,
                timing: Client.Timing(
                    routerDelay: configuration.routerDelay, searchInterval: configuration.searchInterval),
                random: random))
    }

    /// Runs the exchange until the calling task is cancelled. Then every open want ends with `.stopped`.
    ///
    /// To be called once.
    public func run() async {
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                group.addTask {
                    await self.schedule.keepTime(self.time, account: self.account) { self.giveUp($0) }
                }
                group.addTask { await self.intake.keepTime { self.throttle() } }
                for await job in jobs.stream {
                    switch job {
                    case .ask(let way): group.addTask { await self.ask(way) }
                    case .answer(let way): group.addTask { await self.answer(way) }
                    case .dial(let provider): group.addTask { await self.dial(provider) }
                    case .search(let search): group.addTask { await self.search(search) }
                    case .store(let batch): group.addTask { await self.store(batch) }
                    case .conclude(let batch, let blocks, let error):
                        group.addTask { self.conclude(batch, blocks, error) }
                    case .wait(let time): group.addTask { await self.tick(at: time) }
                    }
                }
                group.cancelAll()
            }
        } onCancel: {
            jobs.continuation.finish()
        }
        perform(client.withLockedValue { $0.stop(now: time.now()) })
    }

    /// Lets ``run()`` do it, now or when it runs.
    func start(_ job: Job) { jobs.continuation.yield(job) }

    // MARK: Blocks that arrive in the store

    /// Tells the exchange of blocks that the application has put into the store: callers and peers that wait for them get
    /// them.
    public func offer(_ blocks: [Block]) {
        perform(client.withLockedValue { $0.stored(blocks, from: nil, now: time.now()).effects })
        announce(blocks)
    }

    // MARK: Peers that come and go

    /// A connection to a peer was made: it may be asked. Called by the network, once for each connection.
    ///
    /// - Parameter standing: what the network knows of it. A peer of no standing that was never of use is not asked for
    ///   blocks that nobody is known to have, but for a few now and then.
    public func connected(_ peer: PeerID, as standing: PeerStanding = .named) {
        // The locks are nested, always in this order, so that peers and client agree on who is there when connections of
        // one peer come and go on several threads at once.
        let (isNew, effects) = peers.withLockedValue { peers -> (Bool, Client.Effects) in
            if let known = peers[peer] {
                known.state.withLockedValue { $0.connections += 1 }
                return (false, client.withLockedValue { $0.connected(peer, as: standing, now: time.now()) })
            }
            let newcomer = ExchangePeer(
                peer, limits: configuration.limits, since: time.now(),
                ask: { [jobs = jobs.continuation] in jobs.yield(.ask($0)) },
                answer: { [jobs = jobs.continuation] in jobs.yield(.answer($0)) })
            let turn = schedule.join(newcomer, now: time.now())
            newcomer.state.withLockedValue { $0.turn = turn }
            peers[peer] = newcomer
            return (true, client.withLockedValue { $0.connected(peer, as: standing, now: time.now()) })
        }
        if isNew { account.peerCame() }
        perform(effects)
    }

    /// One of several connections with a peer is to be used no longer: what follows goes on another. Called by the network.
    public func rerouted(_ peer: PeerID) {
        let known = peers.withLockedValue { $0[peer] }
        known?.requests.renew()
        known?.responses.renew()
    }

    /// A connection to a peer is gone. Called by the network, once for each connection.
    public func disconnected(_ peer: PeerID) {
        let (gone, effects) = peers.withLockedValue { peers -> (ExchangePeer?, Client.Effects) in
            let isLast = peers[peer]?.state.withLockedValue { state in
                state.connections -= 1
                return state.connections == 0
            }
            guard isLast == true else { return (nil, Client.Effects()) }
            return (peers.removeValue(forKey: peer), client.withLockedValue { $0.disconnected(peer, now: time.now()) })
        }
        guard let gone else { return }
        account.peerWent()
        intake.forget(peer)
        gone.requests.end()
        gone.responses.end { [schedule, time] in
            if let turn = gone.state.withLockedValue({ $0.turn }) { schedule.leave(turn, now: time.now()) }
        }
        forgetWants(of: gone, forGood: true)
        perform(effects)
    }
}
