import Bitswap
import Libp2p
import Logging
import Metrics
import Multiformats
import NIOConcurrencyHelpers
import PeerIdentity
import Routing

/// Keeps a node connected: reads what each ``PeerDiscovery`` finds into the ``PeerBook``, and dials whom that says.
final class PeerKeeper: Sendable {
    typealias Observer = @Sendable (DiscoveryMethod, PeerDiscoveryEvent) -> Void

    private enum Job {
        case dial(PeerBook.Dial)
        case wait(until: Duration)
    }

    private struct State {
        var book: PeerBook
        /// Connections of each peer.
        var connections: [PeerID: Int] = [:]
        /// When it is looked next whether a dial is due.
        var alarm: Duration?
        var hasChanged = false
    }

    private let state: NIOLockedValueBox<State>
    private let observers = NIOLockedValueBox<[Observer]>([])
    private let jobs = AsyncStream.makeStream(of: Job.self)
    private let swarm: Swarm
    private let memory: PeerMemory?
    private let time: TimeSource
    /// Peers that were passed over because the book was full.
    private let refused: Counter
    private let logger: Logger

    private static let shortestRetry = Duration.seconds(1)
    private static let longestRetry = Duration.seconds(60)
    private static let saveInterval = Duration.seconds(30)
    private static let watchInterval = Duration.seconds(1)

    /// - Parameter memory: where peers are remembered; nil for nowhere.
    init(
        _ swarm: Swarm, isReachable: Bool, memory: PeerMemory?, time: TimeSource = .monotonic,
        metrics: any MetricsFactory, logger: Logger
    ) {
        refused = Counter(label: "bitswap_found_peers_refused_total", factory: metrics)
        self.swarm = swarm
        self.memory = memory
        self.time = time
        self.logger = logger
        state = NIOLockedValueBox(State(book: PeerBook(ownPeer: swarm.peerID, isReachable: isReachable)))
        swarm.observe { [weak self] event in
            switch event {
            case .connected(let connection): self?.connected(connection)
            case .disconnected(let connection, _): self?.disconnected(connection)
            default: break
            }
        }
    }

    /// Calls `observer` with what is found from now on, from the task that reads it.
    func observe(_ observer: @escaping Observer) { observers.withLockedValue { $0.append(observer) } }

    /// How a peer was found and how long ago; nil for one that nobody has found.
    func origin(of peer: PeerID) -> (method: DiscoveryMethod, elapsed: Duration)? {
        state.withLockedValue { $0.book.origin(of: peer) }.map { ($0.method, time.now() - $0.since) }
    }

    func addresses(of peer: PeerID) -> [Multiaddr] { state.withLockedValue { $0.book.addresses(of: peer) } }

    /// Peers that were remembered.
    static func remembered(_ memory: PeerMemory) -> PeerList {
        PeerList(memory.load(limit: PeerBook.Limits().remembered), method: .remembered)
    }

    /// Whose address was named is known now that there is a connection to it.
    func met(_ peer: PeerID, at address: Multiaddr) {
        change { _ = $0.found(peer, at: [address], by: .named, now: $1) }
    }

    /// That connection has ended; who named the address dials it again.
    func left(_ peer: PeerID) { change { $0.lost(peer, by: .named, now: $1) } }

    // MARK: Running

    /// Follows the discoveries until the task is cancelled; returns when all of them have ended. To be called once.
    func run(_ discoveries: [any PeerDiscovery]) async {
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                for discovery in discoveries { group.addTask { await self.follow(discovery) } }
                group.addTask { await self.watchNetwork() }
                group.addTask { await self.keepMemory() }
                for await job in jobs.stream {
                    switch job {
                    case .dial(let dial): group.addTask { await self.dial(dial) }
                    case .wait(let due): group.addTask { await self.wait(until: due) }
                    }
                }
                group.cancelAll()
            }
        } onCancel: {
            jobs.continuation.finish()
        }
        save()
    }

    /// Reads what one discovery finds, and begins anew when it fails or ends.
    private func follow(_ discovery: any PeerDiscovery) async {
        var delay = Self.shortestRetry
        while !Task.isCancelled {
            do {
                for try await event in discovery.peers() {
                    delay = Self.shortestRetry
                    took(event, from: discovery.method)
                }
            } catch {
                logger.info(
                    "A way to find peers has failed; trying on",
                    metadata: ["method": "\(discovery.method)", "error": "\(error)"])
            }
            do { try await time.sleep(delay) } catch { return }
            delay = min(delay * 2, Self.longestRetry)
        }
    }

    private func took(_ event: PeerDiscoveryEvent, from method: DiscoveryMethod) {
        switch event {
        case .found(let peer, let addresses):
            switch change({ $0.found(peer, at: addresses, by: method, now: $1) }) {
            case .refused: refused.increment()
            case .known: break
            case .new:
                logger.debug(
                    "Found a peer", metadata: ["peer": "\(peer)", "by": "\(method)", "addresses": "\(addresses)"])
            }
        case .lost(let peer):
            change { $0.lost(peer, by: method, now: $1) }
            logger.debug("A peer is not there any more", metadata: ["peer": "\(peer)", "by": "\(method)"])
        }
        for observer in observers.withLockedValue({ $0 }) { observer(method, event) }
    }

    private func connected(_ connection: Connection) {
        let address = connection.direction == .outbound ? connection.remoteAddress : nil
        state.withLockedValue { state in
            if address != nil { state.hasChanged = true }
            state.connections[connection.peer, default: 0] += 1
        }
        change { $0.connected(connection.peer, at: address, now: $1) }
    }

    private func disconnected(_ connection: Connection) {
        let isLast = state.withLockedValue { state in
            let left = (state.connections[connection.peer] ?? 1) - 1
            state.connections[connection.peer] = left > 0 ? left : nil
            return left <= 0
        }
        if isLast { change { $0.disconnected(connection.peer, now: $1) } }
    }

    /// Changes the book, then has done what is due by that.
    @discardableResult
    private func change<Result>(_ body: (inout PeerBook, Duration) -> Result) -> Result {
        let (result, work) = state.withLockedValue { state in
            let now = time.now()
            let result = body(&state.book, now)
            var work = state.book.takeDials(now: now).map(Job.dial)
            if let due = state.book.nextDue, state.alarm.map({ due < $0 }) ?? true {
                state.alarm = due
                work.append(.wait(until: due))
            }
            return (result, work)
        }
        for job in work { jobs.continuation.yield(job) }
        return result
    }

    private func wait(until due: Duration) async {
        let now = time.now()
        if due > now { do { try await time.sleep(due - now) } catch { return } }
        state.withLockedValue { if $0.alarm == due { $0.alarm = nil } }
        change { _, _ in }
    }

    private func dial(_ dial: PeerBook.Dial) async {
        var failure: PeerBook.Failure?
        do {
            _ = try await swarm.connect(to: dial.peer, addresses: dial.addresses)
        } catch {
            failure = (error as? Libp2pError)?.code == .wrongPeer ? .wrongPeer : .unreachable
            logger.debug(
                "Cannot connect to a peer that was found", metadata: ["peer": "\(dial.peer)", "error": "\(error)"])
        }
        change { $0.dialEnded(dial.peer, failed: failure, now: $1) }
    }

    // MARK: The network and the memory

    /// Tells the swarm when the machine's interfaces have changed: when it moves from one network to another.
    private func watchNetwork() async {
        var known = NetworkInterface.all()
        while true {
            do { try await time.sleep(Self.watchInterval) } catch { return }
            let interfaces = NetworkInterface.all(within: Self.watchInterval / 2)
            guard interfaces != known else { continue }
            known = interfaces
            swarm.networkChanged(to: interfaces)
        }
    }

    private func keepMemory() async {
        guard memory != nil else { return }
        while true {
            do { try await time.sleep(Self.saveInterval) } catch { return }
            save()
        }
    }

    private func save() {
        let peers = state.withLockedValue { state -> [Provider]? in
            defer { state.hasChanged = false }
            return state.hasChanged ? state.book.remembered : nil
        }
        guard let memory, let peers else { return }
        do { try memory.save(peers) } catch {
            state.withLockedValue { $0.hasChanged = true }
            logger.info("The peers could not be saved", metadata: ["path": "\(memory.path)", "error": "\(error)"])
        }
    }
}
