public import Blockstore
import DequeModule
public import Logging
public import Metrics
public import Multiformats
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
    public struct Configuration: Sendable {
        public var limits = BitswapLimits()
        /// How long a peer that was asked for a block may stay silent before the next one is asked beside it.
        public var stallTime: Duration = .seconds(5)
        /// The grain of deadlines and stall times.
        public var tick: Duration = .milliseconds(50)

        public init() {}
    }

    let configuration: Configuration
    let store: any Blockstore
    let network: any ExchangeNetwork
    let time: TimeSource
    let logger: Logger
    let client: NIOLockedValueBox<Client>
    let peers = NIOLockedValueBox<[PeerID: ExchangePeer]>([:])
    let subscriptions: NIOLockedValueBox<Subscriptions>
    let account: Account
    let ingest = Ingest()
    private let callers = NIOLockedValueBox<[Client.WaiterID: Caller]>([:])
    private let arrivals = AsyncStream.makeStream(of: ExchangePeer.self)
    private let clientBusy = Signal()

    private enum Caller {
        case waiting(CheckedContinuation<Result<Client.Delivery, ExchangeError>, Never>)
        case finished(Result<Client.Delivery, ExchangeError>)
    }

    /// - Parameters:
    ///   - store: where fetched blocks are kept and served blocks are read.
    ///   - network: how peers are reached; see ``SwarmNetwork``.
    ///   - time: the clock; tests bring their own.
    ///   - metrics: where the exchange's metrics go, which are all named `bitswap_…`.
    public init(
        store: any Blockstore, network: any ExchangeNetwork, configuration: Configuration = Configuration(),
        time: TimeSource = .monotonic, metrics: any MetricsFactory = MetricsSystem.factory, logger: Logger
    ) {
        account = Account(metrics)
        self.store = store
        self.network = network
        self.configuration = configuration
        self.subscriptions = NIOLockedValueBox(Subscriptions(limit: configuration.limits.subscriptions))
        self.time = time
        self.logger = logger
        self.client = NIOLockedValueBox(Client(limits: configuration.limits, stallTime: configuration.stallTime))
    }

    /// Runs the exchange until the calling task is cancelled. Then every open want ends with `.stopped`.
    ///
    /// To be called once.
    public func run() async {
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.storeArrivals() }
                group.addTask { await self.keepTime() }
                for await peer in arrivals.stream {
                    group.addTask { await self.ask(peer) }
                    group.addTask { await self.answer(peer) }
                }
                group.cancelAll()
            }
        } onCancel: {
            arrivals.continuation.finish()
        }
        perform(client.withLockedValue { $0.abandonAll(.stopped, "the exchange was stopped") })
    }

    // MARK: Wants

    /// Gets a block: from the own store if it is there, else from connected peers.
    ///
    /// A fetched block is verified against `cid` and stored before it is returned. Callers that want the same block at the
    /// same time share one request.
    ///
    /// - Parameters:
    ///   - providers: when not empty, only these peers are asked.
    ///   - timeout: how long to wait for it; nil waits for ever.
    /// - Throws: `timedOut`, with what each peer answered; `cancelled` when the calling task is: the want is then taken back
    ///   at every peer; `storeFailed`; `stopped`; `unsupportedCID`.
    public func want(
        _ cid: CID, from providers: Set<PeerID> = [], timeout: Duration? = nil
    ) async throws(ExchangeError) -> FetchedBlock {
        let start = time.now()
        if cid.multihash.code == .identity {
            // The block is in its own name.
            let bytes = cid.multihash.withUnsafeDigestBytes { ByteBuffer(bytes: $0) }
            return FetchedBlock(block: Block(unchecked: bytes, cid: cid), source: .local, elapsed: time.now() - start)
        }
        guard cid.multihash.code.isSupported else {
            throw ExchangeError(
                .unsupportedCID,
                "\(cid) is made with the hash function \(cid.multihash.code), which cannot be verified here")
        }
        let waiter = client.withLockedValue {
            $0.register(cid, providers: providers, deadline: timeout.map { start + $0 })
        }
        clientBusy.raise()
        let result = await withTaskCancellationHandler {
            await open(waiter, cid)
            return await outcome(of: waiter)
        } onCancel: {
            perform(client.withLockedValue { $0.abandon(waiter, .cancelled, "the request for \(cid) was cancelled") })
        }
        let delivery = try result.get()
        return FetchedBlock(
            block: Block(unchecked: delivery.block.bytes, cid: cid),
            source: delivery.peer.map { .network($0) } ?? .local,
            elapsed: time.now() - start)
    }

    /// Looks into the own store, with the waiter registered already, so that no `put` in between is missed; then asks peers.
    private func open(_ waiter: Client.WaiterID, _ cid: CID) async {
        do {
            if let bytes = try await store.get(cid.multihash) {
                perform(client.withLockedValue { $0.stored(Block(unchecked: bytes, cid: cid), from: nil) })
            } else {
                perform(client.withLockedValue { $0.open(waiter, now: time.now()) })
            }
        } catch {
            perform(
                client.withLockedValue { $0.abandon(waiter, .storeFailed, "the store could not be read: \(error)") })
        }
    }

    private func outcome(of waiter: Client.WaiterID) async -> Result<Client.Delivery, ExchangeError> {
        await withCheckedContinuation { continuation in
            let finished: Result<Client.Delivery, ExchangeError>? = callers.withLockedValue {
                if case .finished(let result) = $0.removeValue(forKey: waiter) { return result }
                $0[waiter] = .waiting(continuation)
                return nil
            }
            if let finished { continuation.resume(returning: finished) }
        }
    }

    /// Does what a change of the client asks for. Never called with a lock held.
    func perform(_ effects: Client.Effects) {
        for (waiter, result) in effects.finished {
            let caller: Caller? = callers.withLockedValue {
                if let caller = $0.removeValue(forKey: waiter) { return caller }
                $0[waiter] = .finished(result)
                return nil
            }
            if case .waiting(let continuation) = caller { continuation.resume(returning: result) }
        }
        guard !effects.wake.isEmpty else { return }
        let woken = peers.withLockedValue { peers in effects.wake.compactMap { peers[$0] } }
        for peer in woken { peer.requests.wake.raise() }
    }

    private func keepTime() async {
        for await _ in clientBusy.raised {
            while !client.withLockedValue({ $0.isIdle }) {
                do { try await time.sleep(configuration.tick) } catch { return }
                perform(client.withLockedValue { $0.tick(now: time.now()) })
            }
        }
    }

    // MARK: Blocks that arrive in the store

    /// Tells the exchange of blocks that the application has put into the store: callers and peers that wait for them get
    /// them.
    public func offer(_ blocks: [Block]) {
        var effects = Client.Effects()
        client.withLockedValue { client in
            for block in blocks { effects.merge(client.stored(block, from: nil)) }
        }
        perform(effects)
        announce(blocks)
    }

    /// Stores fetched blocks, all that have come since the last time in one go, and resumes whoever waits for them.
    private func storeArrivals() async {
        for await _ in ingest.signal.raised {
            while let batch = ingest.takeAll() {
                let blocks = batch.flatMap(\.blocks)
                var effects = Client.Effects()
                do {
                    try await store.put(blocks)
                    client.withLockedValue { client in
                        for arrival in batch {
                            for block in arrival.blocks { effects.merge(client.stored(block, from: arrival.peer)) }
                        }
                    }
                    perform(effects)
                    announce(blocks)
                } catch {
                    logger.info("fetched blocks could not be stored", metadata: ["error": "\(error)"])
                    client.withLockedValue { client in
                        for block in blocks { effects.merge(client.storeFailed(block.cid.multihash, error)) }
                    }
                    perform(effects)
                }
                for arrival in batch { arrival.whenStored?() }
            }
        }
    }

    // MARK: Peers that come and go

    /// A connection to a peer was made: it may be asked. Called by the network, once for each connection.
    public func connected(_ peer: PeerID) {
        // The locks are nested, always in this order, so that peers and client agree on who is there when connections of
        // one peer come and go on several threads at once.
        let (newcomer, effects) = peers.withLockedValue { peers -> (ExchangePeer?, Client.Effects) in
            if let known = peers[peer] {
                known.state.withLockedValue { $0.connections += 1 }
                return (nil, Client.Effects())
            }
            let newcomer = ExchangePeer(peer, limits: configuration.limits, since: time.now())
            peers[peer] = newcomer
            return (newcomer, client.withLockedValue { $0.connected(peer) })
        }
        if let newcomer {
            account.peerCame()
            arrivals.continuation.yield(newcomer)
        }
        perform(effects)
    }

    /// A connection to a peer is gone. Called by the network, once for each connection.
    public func disconnected(_ peer: PeerID) {
        let (gone, effects) = peers.withLockedValue { peers -> (ExchangePeer?, Client.Effects) in
            let isLast = peers[peer]?.state.withLockedValue { state in
                state.connections -= 1
                return state.connections == 0
            }
            guard isLast == true else { return (nil, Client.Effects()) }
            return (peers.removeValue(forKey: peer), client.withLockedValue { $0.disconnected(peer) })
        }
        guard let gone else { return }
        account.peerWent()
        gone.end()
        forgetWants(of: gone, forGood: true)
        perform(effects)
    }
}

/// A block that a want ended in, with where it came from.
public struct FetchedBlock: Sendable {
    public enum Source: Sendable, Hashable {
        case local
        case network(PeerID)
    }
    /// The block, verified, under the CID that was asked for.
    public let block: Block
    public let source: Source
    /// From the call to the block being stored.
    public let elapsed: Duration
}

extension Client.Effects {
    mutating func merge(_ other: Self) {
        wake.append(contentsOf: other.wake)
        finished.append(contentsOf: other.finished)
    }
}
