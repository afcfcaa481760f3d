import Libp2p
import Logging
import Multiformats
import NIOCore

/// Performs what ``MDNSStateMachine`` says, all on one event loop: opens a socket for each link, feeds it packets and time,
/// and looks every second whether interfaces or addresses have changed.
final class MDNSDriver: Sendable {
    private typealias Link = MDNSStateMachine.Link

    private struct State {
        var machine: MDNSStateMachine
        var sockets: [Link: any Channel] = [:]
        var opening: Set<Link> = []
        /// Links that could not be opened, and when they are tried again.
        var failed: [Link: Duration] = [:]
        var seen: Seen?
        var timer: Scheduled<Void>?
        var watch: RepeatedTask?
        var events = PeerEventQueue()
        var reader: CheckedContinuation<PeerDiscoveryEvent?, Never>?
        var isStopped = false
    }

    /// What the machine was told last.
    private struct Seen: Equatable {
        var networks: [NetworkInterface]
        var links: Set<Link>
        var addresses: [Multiaddr]
    }

    private let addresses: @Sendable () -> [Multiaddr]
    private let eventLoop: any EventLoop
    private let state: NIOLoopBoundBox<State>
    private let account: MDNSAccount
    private let logger: Logger
    private let messageBytes: Int
    /// Succeeds when goodbye is said and every socket closed.
    private let ended: EventLoopPromise<Void>

    private static let watchInterval = TimeAmount.seconds(1)
    private static let retryInterval = Duration.seconds(30)
    /// More are not used.
    private static let mostInterfaces = 32

    init(
        machine: MDNSStateMachine, addresses: @escaping @Sendable () -> [Multiaddr], eventLoop: any EventLoop,
        account: MDNSAccount, logger: Logger
    ) {
        messageBytes = machine.limits.messageBytes
        state = .makeBoxSendingValue(State(machine: machine), eventLoop: eventLoop)
        self.addresses = addresses
        self.eventLoop = eventLoop
        self.account = account
        self.logger = logger
        ended = eventLoop.makePromise()
    }

    /// One that was never started says no goodbye.
    deinit { ended.succeed() }

    // MARK: Reading

    func start() {
        eventLoop.execute { [self] in
            guard !state.value.isStopped else { return }
            state.value.watch = eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.watchInterval) {
                [weak self] _ in self?.look()
            }
        }
    }

    /// The next event; nil when the calling task is cancelled, once goodbye is said.
    func next() async -> PeerDiscoveryEvent? {
        let event = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<PeerDiscoveryEvent?, Never>) in
                eventLoop.execute { [self] in
                    if state.value.isStopped {
                        continuation.resume(returning: nil)
                    } else if let event = state.value.events.next() {
                        continuation.resume(returning: event)
                    } else {
                        state.value.reader = continuation
                    }
                }
            }
        } onCancel: {
            stop()
        }
        if event == nil { try? await ended.futureResult.get() }
        return event
    }

    func stop() {
        eventLoop.execute { [self] in
            guard !state.value.isStopped else { return }
            state.value.isStopped = true
            state.value.timer?.cancel()
            state.value.watch?.cancel()
            let sent = send(state.value.machine.stop().packets)
            let sockets = state.value.sockets.values
            state.value.sockets = [:]
            EventLoopFuture.andAllComplete(sent, on: eventLoop).whenComplete { [ended, eventLoop] _ in
                let closed = sockets.map { $0.close() }
                EventLoopFuture.andAllComplete(closed, on: eventLoop).cascade(to: ended)
            }
            state.value.reader.take()?.resume(returning: nil)
        }
    }

    // MARK: Interfaces

    private var now: Duration { .nanoseconds(Int64(clamping: eventLoop.now.uptimeNanoseconds)) }

    /// Opens and closes sockets for the interfaces that there are, and tells the machine what has changed.
    private func look() {
        let networks = Array(
            NetworkInterface.all().lazy
                .filter { $0.isRunning && ($0.takesMulticast || $0.isLoopback) && !$0.networks.isEmpty }
                .prefix(Self.mostInterfaces))
        var wanted: Set<Link> = []
        for network in networks {
            for address in network.networks.map(\.address) {
                let family: MDNSStateMachine.Family = if case .v4 = address { .ip4 } else { .ip6 }
                wanted.insert(Link(interface: network.index, family: family))
            }
        }
        for (link, channel) in state.value.sockets where !wanted.contains(link) {
            state.value.sockets[link] = nil
            channel.close(promise: nil)
        }
        let now = now
        for link in wanted where state.value.sockets[link] == nil && !state.value.opening.contains(link) {
            if let retry = state.value.failed[link], retry > now { continue }
            if let network = networks.first(where: { $0.index == link.interface }) { open(link, network) }
        }
        state.value.failed = state.value.failed.filter { wanted.contains($0.key) }
        tell(networks)
    }

    private func tell(_ networks: [NetworkInterface]) {
        let seen = Seen(networks: networks, links: Set(state.value.sockets.keys), addresses: addresses())
        guard seen != state.value.seen else { return }
        state.value.seen = seen
        perform(
            state.value.machine.networkChanged(
                to: seen.networks, links: seen.links, addresses: seen.addresses, now: now))
    }

    private func open(_ link: Link, _ network: NetworkInterface) {
        state.value.opening.insert(link)
        let source: Multiaddr.IPv4? =
            if network.isLoopback, case .v4(let address) = network.networks.first?.address { address } else { nil }
        let opened = MDNSSocket.open(link, from: source, on: eventLoop, messageBytes: messageBytes) { [weak self] in
            self?.received($0)
        }
        opened.whenComplete { [self] result in
            state.value.opening.remove(link)
            switch result {
            case .success(let channel):
                guard !state.value.isStopped else { return channel.close(promise: nil) }
                state.value.failed[link] = nil
                state.value.sockets[link] = channel
                channel.closeFuture.whenComplete { [self] _ in
                    if state.value.sockets[link] === channel { state.value.sockets[link] = nil }
                }
                // All at once, or each would make for an announcement of its own.
                if state.value.opening.isEmpty { look() }
            case .failure(let error):
                state.value.failed[link] = now + Self.retryInterval
                logger.debug(
                    "No mDNS on an interface",
                    metadata: ["interface": "\(network.name)", "family": "\(link.family)", "error": "\(error)"])
                if state.value.opening.isEmpty, !state.value.isStopped { look() }
            }
        }
    }

    // MARK: Packets and time

    private func received(_ packet: MDNSSocket.Received) {
        guard !state.value.isStopped else { return }
        account.received(bytes: packet.bytes.count)
        perform(state.value.machine.received(packet.bytes, from: packet.source, on: packet.link, now: now))
    }

    private func perform(_ effects: MDNSStateMachine.Effects) {
        _ = send(effects.packets)
        for limit in effects.hits { account.hit(limit) }
        for event in effects.events {
            logger.trace("mDNS", metadata: ["event": "\(event)"])
            state.value.events.add(event)
        }
        if state.value.reader != nil, let event = state.value.events.next() {
            state.value.reader.take()?.resume(returning: event)
        }
        state.value.timer?.cancel()
        state.value.timer = state.value.machine.nextDue.map { due in
            eventLoop.scheduleTask(in: TimeAmount(max(.zero, due - now))) { [weak self] in
                guard let self else { return }
                perform(state.value.machine.tick(now: now))
            }
        }
    }

    private func send(_ packets: [MDNSStateMachine.Packet]) -> [EventLoopFuture<Void>] {
        packets.compactMap { packet in
            guard let channel = state.value.sockets[packet.link],
                let destination = packet.destination ?? MDNSSocket.group(packet.link.family)
            else { return nil }
            account.sent(bytes: packet.bytes.count)
            let envelope = AddressedEnvelope(remoteAddress: destination, data: ByteBuffer(bytes: packet.bytes))
            return channel.writeAndFlush(envelope)
        }
    }
}
