public import Bitswap
public import Blockstore
public import Libp2p
public import Logging
public import Metrics
public import Multiformats
public import NIOCore
import NIOPosix
public import PeerIdentity
public import Routing
public import ServiceLifecycle

/// A Bitswap node: an identity, a blockstore, connections to peers, and the exchange of blocks with them.
///
///     let node = try BitswapNode(repository: Repository(path: "/var/lib/bitswap"))
///     try await withThrowingTaskGroup(of: Void.self) { group in
///         group.addTask { try await node.run() }
///         let cid = try await node.blocks.put("Hello")
///         let block = try await node.blocks.get(cid)
///         group.cancelAll()
///     }
///
/// It is a swift-service-lifecycle `Service`: ``run()`` serves until the task is cancelled or a graceful shutdown begins,
/// then closes every connection and the store. Local blocks can be put and read without it; nothing comes from the network,
/// and nothing is served, before it runs. A node that is not run to its end is closed by ``close()``.
public final class BitswapNode: Service {
    /// What a node listens on, whom it connects to, and how it exchanges.
    public struct Configuration: Sendable {
        /// Addresses to listen on. Empty: the node only dials. Port 0 is any free port; see ``BitswapNode/addresses``.
        public var listen: [Multiaddr] = []
        /// Peers to stay connected to: addresses with `/p2p/` or without, or `/dnsaddr` names.
        public var peers: [Multiaddr] = []
        /// Nodes that know many others, to stay connected to: addresses with `/p2p/`, or `/dnsaddr` names.
        public var bootstrap: [Multiaddr] = []
        /// Whether to find peers on the local networks, and to be found there, by mDNS. The networks are then told the node's
        /// peer ID and addresses.
        public var usesMDNS = false
        /// Further ways to find peers; whom they find is dialled, within the limits of a ``PeerBook``.
        public var discoveries: [any PeerDiscovery] = []
        /// Who is asked for peers that have a block.
        public var router: (any ContentRouting)?
        /// Limits, bandwidth and access of the exchange.
        public var exchange = Exchange.Configuration()
        /// Timeouts, limits and security of connections.
        public var swarm = SwarmConfiguration()
        /// What the names of the Bitswap protocol begin with in a private network: blocks are exchanged only with peers that
        /// have the same. Nil in the public one.
        public var protocolPrefix: ProtocolPrefix?

        public init() {}
    }

    /// The node's key pair.
    public let identity: KeyPair
    /// What the node was made with.
    public let configuration: Configuration
    /// Blocks: the own store first, then the network.
    public let blocks: Blocks
    /// Connections to peers.
    public let swarm: Swarm
    /// The exchange, for its statistics, wantlist and ledgers.
    public let exchange: Exchange
    private let store: any Blockstore
    private let keeper: PeerKeeper
    private let discoveries: [any PeerDiscovery]
    private let mdns: MDNSDiscovery?
    private let time: TimeSource
    private let random: RandomSource
    private let logger: Logger
    private let listening: EventLoopPromise<[Multiaddr]>

    /// The node's peer ID.
    public var id: PeerID { identity.peerID }

    /// Makes a node over any store. ``run()`` closes the store in the end.
    ///
    /// - Parameters:
    ///   - eventLoopGroup: where connections live; they are spread over its loops. Not shut down by the node. Nil: the
    ///     process-wide group, one loop a core.
    ///   - metrics: where the metrics `bitswap_…` and `libp2p_…` go.
    public convenience init(
        identity: KeyPair, store: any Blockstore, configuration: Configuration = Configuration(),
        eventLoopGroup: (any EventLoopGroup)? = nil,
        metrics: any MetricsFactory = MetricsSystem.factory,
        logger: Logger = Logger(label: "bitswap")
    ) {
        self.init(
            identity: identity, store: store, configuration: configuration, memory: nil,
            eventLoopGroup: eventLoopGroup, metrics: metrics, logger: logger)
    }

    /// - Parameter memory: where peers are remembered for the next start; nil for nowhere.
    init(
        identity: KeyPair, store: any Blockstore, configuration: Configuration, memory: PeerMemory?,
        eventLoopGroup: (any EventLoopGroup)?, metrics: any MetricsFactory, time: TimeSource = .monotonic,
        random: RandomSource = .system, logger: Logger
    ) {
        self.identity = identity
        self.store = store
        self.configuration = configuration
        self.time = time
        self.random = random
        self.logger = logger
        let eventLoopGroup = eventLoopGroup ?? MultiThreadedEventLoopGroup.singleton
        listening = eventLoopGroup.any().makePromise()
        swarm = Swarm(
            identity: identity, configuration: configuration.swarm, eventLoopGroup: eventLoopGroup, metrics: metrics,
            logger: logger)
        keeper = PeerKeeper(
            swarm, isReachable: !configuration.listen.isEmpty, memory: memory, time: time, metrics: metrics,
            logger: logger)
        let network = SwarmNetwork(swarm, protocolPrefix: configuration.protocolPrefix) { [weak keeper] peer in
            SwarmNetwork.Acquaintance(
                addresses: keeper?.addresses(of: peer) ?? [], isLocal: keeper?.origin(of: peer)?.method == .mdns)
        }
        exchange = Exchange(
            store: store, network: network, router: configuration.router, configuration: configuration.exchange,
            time: time, metrics: metrics, logger: logger)
        mdns =
            configuration.usesMDNS
            ? MDNSDiscovery(
                peer: identity.peerID, addresses: { [swarm] in swarm.listenAddresses }, eventLoopGroup: eventLoopGroup,
                metrics: metrics, logger: logger) : nil
        var discoveries = configuration.discoveries
        if let mdns { discoveries.append(mdns) }
        let named = configuration.peers.filter { !Self.isAnonymous($0) }
        if !named.isEmpty { discoveries.append(PeerList(named)) }
        if !configuration.bootstrap.isEmpty {
            discoveries.append(PeerList(configuration.bootstrap, method: .bootstrap))
        }
        if let memory { discoveries.append(PeerKeeper.remembered(memory)) }
        self.discoveries = discoveries
        network.deliver(to: exchange)
        blocks = Blocks(store: store, exchange: exchange)
    }

    /// Opens a node on a repository, which is made, with a new identity, when it is not there yet.
    ///
    /// - Throws: ``NodeError`` (`cannotCreate`), `IdentityError` and `BlockstoreError`; where a file is at fault, its path is
    ///   named.
    public convenience init(
        repository: Repository, configuration: Configuration = Configuration(),
        durability: LMDBBlockstore.Durability = .synced,
        eventLoopGroup: (any EventLoopGroup)? = nil,
        metrics: any MetricsFactory = MetricsSystem.factory,
        logger: Logger = Logger(label: "bitswap")
    ) throws {
        let identity = try repository.exists ? repository.identity() : repository.create()
        var options = LMDBBlockstore.Configuration()
        options.durability = durability
        let store = try LMDBBlockstore(path: repository.blocksPath, configuration: options)
        self.init(
            identity: identity, store: store, configuration: configuration,
            memory: PeerMemory(path: repository.peersPath), eventLoopGroup: eventLoopGroup, metrics: metrics,
            logger: logger)
    }

    deinit { listening.fail(NodeError(.stopped, "the node was never run")) }

    /// The addresses when the node began to listen, with its `/p2p/` at the end and real ports. For those of now, as
    /// interfaces come and go, see `swarm.listenAddresses`.
    ///
    /// Suspends until ``run()`` listens, also when the calling task is cancelled; throws what kept it from that.
    public var addresses: [Multiaddr] {
        get async throws { try await listening.futureResult.get() }
    }

    /// Calls `observer` with the peers that are found, and that are not there any more, and how, from now on; on the
    /// task that reads the discovery, so it must return soon. Peers that were only dialled by address are not told.
    public func observeDiscoveries(_ observer: @escaping @Sendable (DiscoveryMethod, PeerDiscoveryEvent) -> Void) {
        keeper.observe(observer)
    }

    /// How a peer was found first, and how long ago; ``DiscoveryMethod/named`` for one that
    /// ``stayConnected(to:failed:)`` has reached by its address; nil for one that was only dialled through ``swarm`` or
    /// has come by itself.
    public func origin(of peer: PeerID) -> (method: DiscoveryMethod, elapsed: Duration)? { keeper.origin(of: peer) }

    /// What mDNS has sent and heard; nil when it is not used.
    public var mdnsStatistics: MDNSStatistics? { mdns?.statistics }

    /// Serves until the task is cancelled or a graceful shutdown begins, then closes connections and store. To be called
    /// once.
    ///
    /// - Throws: `Libp2pError` when an address cannot be listened on; the node is closed then. Returns, and does not
    ///   throw, when it is cancelled.
    public func run() async throws {
        do {
            var addresses: [Multiaddr] = []
            for address in configuration.listen { addresses += try await swarm.listen(on: address) }
            listening.succeed(addresses)
        } catch {
            listening.fail(error)
            await close()
            throw error
        }
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.exchange.run() }
                group.addTask { await self.keeper.run(self.discoveries) }
                for address in self.configuration.peers where Self.isAnonymous(address) {
                    group.addTask { await self.stayConnected(to: address) }
                }
            }
        }
        await close()
    }

    /// Whether an address does not say whose it is, so that nobody but who dials it knows.
    private static func isAnonymous(_ address: Multiaddr) -> Bool { !address.isName && address.peerMultihash == nil }

    /// Connects to an address, and again whenever the connection is lost, until the task is cancelled: about a second
    /// later, and after failures, and connections of less than ten seconds, each time after twice as long, up to a minute.
    ///
    /// - Parameter failed: called with the first failure, and with the first one after a connection was lost.
    public func stayConnected(to address: Multiaddr, failed: @Sendable (any Error) -> Void = { _ in }) async {
        var pause = RetryPause(random: random)
        var isToldOf = false
        while !Task.isCancelled {
            var lasted: Duration?
            do {
                let connection = try await swarm.connect(to: address)
                let begin = time.now()
                isToldOf = false
                keeper.met(connection.peer, at: connection.remoteAddress)
                defer { keeper.left(connection.peer) }
                let (end, continuation) = AsyncStream.makeStream(of: Never.self)
                connection.whenClosed.whenComplete { _ in continuation.finish() }
                for await _ in end {}
                lasted = time.now() - begin
            } catch {
                guard !Task.isCancelled else { return }
                if !isToldOf {
                    isToldOf = true
                    logger.info(
                        "could not connect to a peer; trying on",
                        metadata: ["address": "\(address)", "error": "\(error)"])
                    failed(error)
                }
            }
            do { try await time.sleep(pause.next(after: lasted)) } catch { return }
        }
    }

    /// Closes connections and store, as ``run()`` does at its end; for a node that was not run. Calling it again is harmless.
    /// A store that does not close cleanly is logged. Goes on when the calling task is cancelled.
    public func close() async {
        await swarm.shutdown()
        do { try await store.close() } catch {
            logger.info("The store did not close cleanly", metadata: ["error": "\(error)"])
        }
    }
}
