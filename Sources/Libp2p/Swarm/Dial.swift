import Multiformats
import NIOCore
import NIOPosix
import PeerIdentity

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// One dial under way: performs what ``DialStateMachine`` decides, all on one event loop, where the connection will
/// live too.
final class Dial: Sendable {
    private struct State {
        var machine: DialStateMachine
        var channels: [DialStateMachine.AttemptID: any Channel] = [:]
        var connections: [DialStateMachine.AttemptID: Connection] = [:]
        var pause: Scheduled<Void>?
        var timeout: Scheduled<Void>?
        /// Why the dial was stopped before it ended by itself.
        var stopReason: Libp2pError?
    }

    /// Whom to expect; `nil` if anybody will do.
    let peer: PeerID?
    private let swarm: Swarm
    private let eventLoop: any EventLoop
    private let state: NIOLoopBoundBox<State>
    private let onEnd: @Sendable (Dial, Result<Connection, Libp2pError>) -> Void

    /// - Parameter onEnd: called once, on the event loop.
    init(
        peer: PeerID?, addresses: [Multiaddr], swarm: Swarm, eventLoop: any EventLoop,
        onEnd: @escaping @Sendable (Dial, Result<Connection, Libp2pError>) -> Void
    ) {
        self.peer = peer
        self.swarm = swarm
        self.eventLoop = eventLoop
        self.onEnd = onEnd
        let machine = DialStateMachine(
            addresses: Self.named(addresses, peer), budget: swarm.configuration.limits.addressesPerDial)
        state = .makeBoxSendingValue(State(machine: machine), eventLoop: eventLoop)
    }

    func start() {
        eventLoop.execute { [self] in
            let limit = swarm.configuration.dialTimeout
            // A stop may have come first.
            guard !state.value.machine.isOver else { return }
            state.value.timeout = eventLoop.scheduleTask(in: TimeAmount(limit)) { [self] in
                stopOnLoop(Libp2pError(.timeout, "No connection within \(limit)."))
            }
            perform(state.value.machine.begin())
        }
    }

    /// Another caller knows more addresses.
    func add(_ addresses: [Multiaddr]) {
        eventLoop.execute { [self] in perform(state.value.machine.add(Self.named(addresses, peer))) }
    }

    /// The same address with and without the peer is tried once.
    private static func named(_ addresses: [Multiaddr], _ peer: PeerID?) -> [Multiaddr] {
        guard let peer else { return addresses }
        return addresses.map { address in
            guard address.peerMultihash == nil else { return address }
            return (try? address.appending(peer: peer.multihash)) ?? address
        }
    }

    /// Nobody wants the connection any more, or the swarm ends.
    func stop(_ reason: Libp2pError) {
        eventLoop.execute { [self] in stopOnLoop(reason) }
    }

    private func stopOnLoop(_ reason: Libp2pError) {
        state.value.stopReason = reason
        perform(state.value.machine.stop(reason))
    }

    private func perform(_ actions: [DialStateMachine.Action]) {
        for action in actions {
            switch action {
            case .start(let id, let address):
                start(id, address)
            case .startPause:
                state.value.pause = eventLoop.scheduleTask(in: TimeAmount(swarm.configuration.dialStagger)) { [self] in
                    perform(state.value.machine.pauseEnded())
                }
            case .succeed(let id, let abandoned):
                let connection = state.value.connections[id]
                end(abandoned)
                if let connection {
                    onEnd(self, .success(connection))
                } else {
                    onEnd(self, .failure(Libp2pError(.internal, "A dial ended without a connection.")))
                }
            case .fail(let abandoned):
                let error = summary()
                end(abandoned)
                onEnd(self, .failure(error))
            }
        }
    }

    private func end(_ abandoned: [DialStateMachine.AttemptID]) {
        state.value.timeout?.cancel()
        state.value.pause?.cancel()
        for id in abandoned {
            state.value.channels[id]?.close(promise: nil)
        }
        state.value.channels = [:]
        state.value.connections = [:]
    }

    private func start(_ id: DialStateMachine.AttemptID, _ address: Multiaddr) {
        do throws(Libp2pError) {
            let endpoint = try TCPEndpoint(address)
            if let expected = endpoint.peer, let peer, expected != peer {
                throw Libp2pError(.wrongPeer, "The address is one of \(expected), not of \(peer).")
            }
            switch endpoint.host {
            case .address(let socketAddress):
                connect(id, to: socketAddress, expecting: endpoint.peer ?? peer)
            case .name(let name, let family):
                NameResolver.resolve(name, family, port: endpoint.port, on: eventLoop).whenComplete { [self] result in
                    resolved(id, result, expecting: endpoint.peer ?? peer)
                }
            }
        } catch {
            // Not within the machine's own call: an action must not feed it while it acts.
            eventLoop.execute { [self] in failed(id, error) }
        }
    }

    private func resolved(
        _ id: DialStateMachine.AttemptID, _ result: Result<[SocketAddress], any Error>, expecting: PeerID?
    ) {
        switch result {
        case .success(let socketAddresses):
            guard !socketAddresses.isEmpty else {
                failed(id, Libp2pError(.dialFailed, "The name has no address."))
                return
            }
            // An address with a zone cannot be written as a plain multiaddr: it is connected to at once.
            if let only = socketAddresses.first, only.isLinkLocalIPv6 {
                connect(id, to: only, expecting: expecting)
                return
            }
            let addresses = socketAddresses.compactMap { address -> Multiaddr? in
                guard let plain = Multiaddr(tcp: address) else { return nil }
                guard let expecting else { return plain }
                return try? plain.appending(peer: expecting.multihash)
            }
            perform(state.value.machine.attemptResolved(id, to: addresses))
        case .failure(let error):
            failed(id, Libp2pError(dialing: error, timeout: swarm.configuration.connectTimeout))
        }
    }

    private func connect(_ id: DialStateMachine.AttemptID, to address: SocketAddress, expecting: PeerID?) {
        guard !state.value.machine.isOver else { return }
        let ready = eventLoop.makePromise(of: Connection.self)
        ready.futureResult.whenComplete { [self] result in
            switch result {
            case .success(let connection):
                guard !state.value.machine.isOver else {
                    // Too late: somebody else won, or nobody waits.
                    connection.close().whenComplete { _ in }
                    return
                }
                state.value.connections[id] = connection
                perform(state.value.machine.attemptSucceeded(id))
            case .failure(let error):
                failed(id, Libp2pError(dialing: error, timeout: swarm.configuration.connectTimeout))
            }
        }
        let bootstrap = ClientBootstrap(group: eventLoop)
            .tcpOptions()
            .connectTimeout(TimeAmount(swarm.configuration.connectTimeout))
            .channelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    guard !state.value.machine.isOver else { throw ChannelError.alreadyClosed }
                    try swarm.setUpOutbound(channel, to: address, expecting: expecting, ready: ready)
                    state.value.channels[id] = channel
                }
            }
        // Success goes on with the handshake; only a failure ends here.
        bootstrap.connect(to: address).whenFailure { ready.fail($0) }
    }

    private func failed(_ id: DialStateMachine.AttemptID, _ error: Libp2pError) {
        state.value.channels[id] = nil
        perform(state.value.machine.attemptFailed(id, error))
    }

    private func summary() -> Libp2pError {
        let failures = state.value.machine.failures
        let stopReason = state.value.stopReason
        let target = peer.map { "peer \($0)" } ?? "the peer"
        guard let first = failures.first else {
            return stopReason.map { Libp2pError($0.code, "Cannot connect to \(target): \($0.message)") }
                ?? Libp2pError(.dialFailed, "Cannot connect to \(target): no address of it is known.")
        }
        let code = failures.allSatisfy { $0.error.code == first.error.code } ? first.error.code : .dialFailed
        let reasons = failures.map { "\($0.address): \($0.error.message)" }
        if failures.count == 1 {
            return Libp2pError(code, "Cannot connect to \(reasons[0])", underlying: first.error.underlying)
        }
        return Libp2pError(
            stopReason?.code ?? code, "Cannot connect to \(target): \(reasons.joined(separator: " "))")
    }
}

extension Libp2pError {
    /// What a failed attempt to connect says to a person.
    init(dialing error: any Error, timeout: Duration) {
        switch error {
        case let error as Libp2pError:
            self = error
        case let error as ConnectionLedger.Refusal:
            self.init(refused: error)
        case ChannelError.connectTimeout:
            self.init(.timeout, "No answer within \(timeout).")
        case let error as IOError where error.errnoCode == ECONNREFUSED:
            self.init(.dialFailed, "Connection refused: nothing listens there.", underlying: error)
        case let error as IOError:
            self.init(.dialFailed, String(cString: strerror(error.errnoCode)) + ".", underlying: error)
        default:
            self.init(.dialFailed, "The connection could not be made.", underlying: error)
        }
    }

    init(refused refusal: ConnectionLedger.Refusal) {
        switch refusal {
        case .connections, .inboundConnections:
            self.init(.limitReached, "This node has as many connections as it is allowed to have.")
        case .source:
            self.init(.limitReached, "There are too many connections from one address.")
        case .pendingHandshakes, .pendingHandshakesOfSource:
            self.init(.limitReached, "There are too many connections in their handshake.")
        case .peer:
            self.init(.limitReached, "There are too many connections with this peer.")
        case .shuttingDown:
            self.init(.shutDown, "This node is shutting down.")
        }
    }
}
