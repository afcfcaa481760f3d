import Logging
public import Multiformats
import NIOCore
import NIOPosix
import PeerIdentity
import NIOConcurrencyHelpers

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

extension Swarm {
    /// Accepts connections at an address: `/ip4` or `/ip6` with `/tcp`; port 0 takes a free one. Does not look at
    /// cancellation.
    ///
    /// - Returns: where the node can be reached, with the real port and `/p2p/ID`. For the unspecified address
    ///   (`0.0.0.0`, `::`) these are the addresses of the interfaces.
    /// - Throws: ``Libp2pError``, which names the address and the reason.
    @discardableResult
    public func listen(on address: Multiaddr) async throws -> [Multiaddr] {
        let endpoint = try TCPEndpoint(address)
        guard case .address(let socketAddress) = endpoint.host else {
            throw Libp2pError(
                .unsupportedAddress, "Cannot listen on \(address): give an IP address, as in /ip4/0.0.0.0/tcp/4001.")
        }
        if let peer = endpoint.peer, peer != peerID {
            throw Libp2pError(.wrongPeer, "Cannot listen on \(address): this node is \(peerID).")
        }
        let channel: any Channel
        do {
            channel = try await bootstrap(for: socketAddress).bind(to: socketAddress).get()
        } catch {
            throw Libp2pError(listening: error, on: address)
        }
        let addresses = channel.localAddress.map(Self.announced) ?? []
        let isShutDown = state.withLockedValue { state in
            if !state.isShutDown {
                state.listeners.append(SwarmState.Listener(channel: channel, addresses: addresses))
            }
            return state.isShutDown
        }
        if isShutDown {
            try? await channel.close()
            throw Libp2pError(refused: .shuttingDown)
        }
        channel.closeFuture.whenComplete { [self] _ in
            state.withLockedValue { $0.listeners.removeAll { $0.channel === channel } }
        }
        logger.debug("Listening", metadata: ["addresses": "\(addresses)"])
        pushIdentify()
        return addresses.map(withOwnPeer)
    }

    /// Where the node can be reached, with `/p2p/ID`.
    public var listenAddresses: [Multiaddr] {
        bareListenAddresses.map(withOwnPeer)
    }

    /// Takes note of what interfaces the machine has now. Addresses of sockets that listen on all of them are brought up to
    /// date, and peers told; connections whose own address is gone from the machine are closed, as nothing comes back to it.
    public func networkChanged(to interfaces: [NetworkInterface]) {
        let hasChanged = state.withLockedValue { state in
            var hasChanged = false
            for index in state.listeners.indices {
                guard let bound = state.listeners[index].channel.localAddress, bound.isUnspecified else { continue }
                let addresses = Self.announced(bound)
                guard addresses != state.listeners[index].addresses else { continue }
                state.listeners[index].addresses = addresses
                hasChanged = true
            }
            return hasChanged
        }
        if hasChanged {
            logger.debug("Listen addresses have changed", metadata: ["addresses": "\(bareListenAddresses)"])
            pushIdentify()
        }
        let own = Set(interfaces.flatMap(\.networks).map(\.address))
        guard !own.isEmpty else { return }
        for connection in connections() {
            guard let address = connection.localAddress.flatMap(IPAddress.init), !own.contains(address) else {
                continue
            }
            logger.debug(
                "The address of a connection is gone",
                metadata: ["peer": "\(connection.peer)", "address": "\(address)"])
            connection.close()
        }
    }

    var bareListenAddresses: [Multiaddr] {
        state.withLockedValue { $0.listeners.flatMap(\.addresses) }
    }

    private func withOwnPeer(_ address: Multiaddr) -> Multiaddr {
        // Fails only for addresses near the limit of a multiaddr's length, which these are not.
        (try? address.appending(peer: peerID.multihash)) ?? address
    }

    private func bootstrap(for address: SocketAddress) -> ServerBootstrap {
        let bootstrap = ServerBootstrap(group: eventLoopGroup)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPauseHandler(logger: logger))
                }
            }
            .tcpChildOptions()
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try setUpInbound(channel) }
            }
        guard address.protocol == .inet6 else { return bootstrap }
        // IPv4 is asked for by itself; otherwise listening on both with one port would fail.
        return bootstrap.serverChannelOption(
            ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only), value: 1)
    }

    private func setUpInbound(_ channel: any Channel) throws {
        guard let address = channel.remoteAddress else { throw ChannelError.alreadyClosed }
        let ticket = try admit(channel) { ledger throws(ConnectionLedger.Refusal) in
            try ledger.admitInbound(from: ConnectionLedger.Source(address))
        }
        try setUp(channel, ticket, .inbound, address, expecting: nil, ready: nil)
    }

    /// Counts a socket, or refuses it.
    func admit(
        _ channel: any Channel,
        _ body: (inout ConnectionLedger) throws(ConnectionLedger.Refusal) -> ConnectionLedger.Ticket
    ) throws(ConnectionLedger.Refusal) -> ConnectionLedger.Ticket {
        let result = state.withLockedValue { state in
            Result { () throws(ConnectionLedger.Refusal) in
                guard !state.isShutDown else { throw .shuttingDown }
                return try body(&state.ledger)
            }
        }
        switch result {
        case .success(let ticket):
            let counts = state.withLockedValue { ($0.ledger.inbound, $0.ledger.total) }
            account.connections(inbound: counts.0, outbound: counts.1 - counts.0)
            return ticket
        case .failure(let refusal):
            account.connectionRefused(refusal)
            logger.debug("Connection refused", metadata: ["reason": "\(refusal.rawValue)"])
            throw refusal
        }
    }

    /// Puts the first handlers of a connection into its pipeline; the rest follows as the peers agree.
    func setUp(
        _ channel: any Channel, _ ticket: ConnectionLedger.Ticket, _ direction: Connection.Direction,
        _ address: SocketAddress, expecting peer: PeerID?, ready: EventLoopPromise<Connection>?
    ) throws {
        guard let remoteAddress = Multiaddr(tcp: address) else { throw ChannelError.alreadyClosed }
        let handler = ConnectionHandler(
            swarm: self, direction: direction, remoteAddress: remoteAddress,
            expectedPeer: peer, ticket: ticket, ready: ready)
        let id = ObjectIdentifier(handler)
        let isShutDown = state.withLockedValue { state in
            state.sockets[id] = channel
            return state.isShutDown
        }
        do {
            // The shutdown closes only sockets that it has seen.
            if isShutDown { throw ConnectionLedger.Refusal.shuttingDown }
            try channel.pipeline.syncOperations.addHandler(handler)
        } catch {
            socketEnded(id, ticket)
            throw error
        }
        try channel.pipeline.syncOperations.addHandler(
            ConnectionHandler.negotiation(configuration.securityProtocols.map(\.id), direction, self),
            position: .before(handler))
    }

    /// The addresses under which a listening socket can be reached.
    private static func announced(_ bound: SocketAddress) -> [Multiaddr] {
        guard bound.isUnspecified, let port = bound.port else {
            return [Multiaddr(tcp: bound)].compactMap(\.self)
        }
        let devices = (try? System.enumerateDevices()) ?? []
        var seen: Set<Multiaddr> = []
        return devices.compactMap { device in
            guard let address = device.address, address.protocol == bound.protocol, !address.isLinkLocalIPv6,
                let withPort = try? SocketAddress(
                    packedIPAddress: ByteBuffer(bytes: address.ipBytes), port: port),
                let multiaddr = Multiaddr(tcp: withPort)
            else { return nil }
            return seen.insert(multiaddr).inserted ? multiaddr : nil
        }
    }
}

/// Stops accepting for a moment when the process or the system has run out of sockets, instead of spinning.
private final class AcceptPauseHandler: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private let logger: Logger
    private var isPaused = false

    init(logger: Logger) {
        self.logger = logger
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        logger.info("Cannot accept a connection; trying again shortly", metadata: ["error": "\(error)"])
        guard !isPaused else { return }
        isPaused = true
        let channel = context.channel
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        channel.setOption(.autoRead, value: false).whenComplete { _ in
            channel.eventLoop.scheduleTask(in: .milliseconds(100)) {
                bound.value.isPaused = false
                channel.setOption(.autoRead, value: true).whenComplete { _ in }
            }
        }
    }
}

extension Libp2pError {
    fileprivate init(listening error: any Error, on address: Multiaddr) {
        let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
        self.init(.listenFailed, "Cannot listen on \(address): \(reason).", underlying: error)
    }
}

extension ClientBootstrap {
    /// What every socket of a swarm has. Buffers in the kernel are left to its own tuning.
    func tcpOptions() -> ClientBootstrap {
        channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.recvAllocator, value: SocketReads.allocator)
            .channelOption(.maxMessagesPerRead, value: SocketReads.perTurn)
            .channelOption(.writeBufferWaterMark, value: SocketReads.waterMark)
    }
}

extension ServerBootstrap {
    /// The same as for dialled sockets.
    fileprivate func tcpChildOptions() -> ServerBootstrap {
        childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.recvAllocator, value: SocketReads.allocator)
            .childChannelOption(.maxMessagesPerRead, value: SocketReads.perTurn)
            .childChannelOption(.writeBufferWaterMark, value: SocketReads.waterMark)
    }
}

/// How much is read from a socket at once, and how much is kept for it.
private enum SocketReads {
    /// Small for idle connections, large where much arrives.
    static let allocator = AdaptiveRecvByteBufferAllocator(minimum: 2 << 10, initial: 2 << 10, maximum: 256 << 10)
    /// Reads before the event loop looks after another connection.
    static let perTurn: UInt = 4
    static let waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 128 << 10, high: 512 << 10)
}
