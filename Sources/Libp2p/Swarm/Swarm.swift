public import Logging
public import Metrics
import Multiformats
public import NIOCore
public import PeerIdentity
import NIOConcurrencyHelpers

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// The connections of one node: dials and accepts them, proves who is at the other end, keeps them within limits, and
/// hands streams to the protocols registered with it. TCP, TLS or Noise, and Yamux; identify and ping come with it.
///
/// Register protocols and observers, then ``listen(on:)`` and ``connect(to:)``, and end with ``shutdown()``: a swarm
/// holds its sockets until then. May be used from anywhere. Handlers and observers run on the event loop of their
/// connection and must not block it.
public final class Swarm: Sendable {
    public typealias Configuration = SwarmConfiguration
    /// Makes the handler of an inbound stream, on the event loop of its connection.
    public typealias HandlerFactory = @Sendable (ProtocolID, Connection) -> any StreamHandler

    /// This node.
    public let peerID: PeerID
    /// What the swarm was made with.
    public let configuration: SwarmConfiguration

    let identity: KeyPair
    /// A failure, which each handshake then ends with, if TLS is not spoken.
    let tlsCredentials: Result<TLSCredentials, Libp2pError>
    let eventLoopGroup: any EventLoopGroup
    let logger: Logger
    let account: SwarmAccount
    let state: NIOLockedValueBox<SwarmState>

    /// - Parameters:
    ///   - eventLoopGroup: where connections live, spread over its loops. The caller shuts it down, after the swarm.
    ///   - metrics: where the swarm's metrics go, which are all named `libp2p_…`.
    public init(
        identity: KeyPair, configuration: Configuration = .init(), eventLoopGroup: any EventLoopGroup,
        metrics: any MetricsFactory = MetricsSystem.factory, logger: Logger
    ) {
        account = SwarmAccount(metrics)
        self.identity = identity
        tlsCredentials = Result { () throws(Libp2pError) in
            guard configuration.securityProtocols.contains(.tls) else {
                throw Libp2pError(.protocolNotSupported, "TLS is not among the security protocols of this node.")
            }
            return try TLSCredentials(identity: identity, muxers: [.yamux])
        }
        self.configuration = configuration
        self.eventLoopGroup = eventLoopGroup
        self.logger = logger
        peerID = identity.peerID
        state = NIOLockedValueBox(SwarmState(limits: configuration.limits, firstRecordNumber: Self.wallClock()))
        registerIdentify()
        registerPing()
    }

    /// Nanoseconds since 1970, by whole seconds: what signed records are numbered from, so that a restart does not go back.
    private static func wallClock() -> UInt64 {
        UInt64(clamping: secondsSince1970()) &* 1_000_000_000
    }

    static func secondsSince1970() -> Int64 {
        // Not clock_gettime: in a release build the fields of its struct belong to a module that cannot be imported.
        Int64(time(nil))
    }

    // MARK: Protocols and observers

    /// Accepts streams for these protocols from now on. Peers are told.
    ///
    /// - Parameter makeHandler: called on the event loop of the connection for each stream.
    public func handle(_ protocols: [ProtocolID], _ makeHandler: @escaping HandlerFactory) {
        state.withLockedValue { state in
            for id in protocols where state.handlers.updateValue(makeHandler, forKey: id) == nil {
                state.protocols.append(id)
            }
        }
        pushIdentify()
    }

    /// Accepts no more streams for these protocols. Open ones go on. Peers are told.
    public func stopHandling(_ protocols: [ProtocolID]) {
        state.withLockedValue { state in
            for id in protocols { state.handlers[id] = nil }
            state.protocols.removeAll { state.handlers[$0] == nil }
        }
        pushIdentify()
    }

    /// Calls `observer` with what happens from now on, on the event loop of the connection, in order for each.
    ///
    /// Register before ``listen(on:)`` and ``connect(to:)`` to see every connection from its beginning.
    public func observe(_ observer: @escaping @Sendable (SwarmEvent) -> Void) {
        state.withLockedValue { $0.observers.append(observer) }
    }

    /// The protocols that peers can open streams for, in the order they were registered.
    public var protocols: [ProtocolID] {
        state.withLockedValue { $0.protocols }
    }

    /// How the swarm fares, and what it has refused.
    public var statistics: SwarmStatistics { account.statistics }

    // MARK: Connections

    /// The connections with a peer, or with everybody: the oldest first, without those that are being closed.
    public func connections(to peer: PeerID? = nil) -> [Connection] {
        state.withLockedValue { state in
            if let peer { return state.connections[peer] ?? [] }
            return state.connections.values.joined().sorted { $0.id < $1.id }
        }
    }

    /// The connection to open streams on; `nil` when there is none. It is the same at both ends when each dialled the other.
    public func connection(to peer: PeerID) -> Connection? {
        let window = TimeAmount(configuration.simultaneousDialWindow)
        return state.withLockedValue { $0.preferredConnection(to: peer, own: peerID, window: window) }
    }

    /// Closes all connections with a peer, in an orderly way, and returns when their sockets are closed. Goes on when
    /// the calling task is cancelled.
    public func disconnect(_ peer: PeerID) async {
        for closed in connections(to: peer).map({ $0.close() }) {
            try? await closed.get()
        }
    }

    /// Ends everything: stops listening, gives up dials and handshakes, closes the connections in an orderly way (see
    /// ``SwarmConfiguration/closeTimeout``), and returns when every socket is closed. Calling it again waits for the
    /// same end. Goes on when the calling task is cancelled.
    public func shutdown() async {
        let promise = eventLoopGroup.next().makePromise(of: Void.self)
        switch state.withLockedValue({ $0.shutDown(promise.futureResult) }) {
        case .waitFor(let end):
            promise.succeed()
            try? await end.get()
        case .close(let listeners, let dials, let connections, let sockets):
            logger.debug("Swarm is shutting down", metadata: ["connections": "\(connections.count)"])
            for dial in dials {
                end(dial, nil, .failure(Libp2pError(refused: .shuttingDown)))
            }
            let closing = listeners.map { $0.close() } + connections.map { $0.close() }
            // What has no connection yet is in its handshake and has nothing to say.
            let established = Set(connections.map { ObjectIdentifier($0.channel) })
            for socket in sockets where !established.contains(ObjectIdentifier(socket)) {
                socket.close(promise: nil)
            }
            for closed in closing + sockets.map(\.closeFuture) {
                try? await closed.get()
            }
            // They may hold whoever holds the swarm.
            state.withLockedValue { state in
                state.handlers = [:]
                state.observers = []
            }
            promise.succeed()
        }
    }

    // MARK: What the connections tell

    /// - Throws: a refusal; then nothing has changed.
    func establish(
        _ ticket: inout ConnectionLedger.Ticket, _ peer: SecuredPeer, remoteAddress: Multiaddr,
        localAddress: Multiaddr?, direction: Connection.Direction, channel: any Channel
    ) throws(ConnectionLedger.Refusal) -> Connection {
        let result = state.withLockedValue { state -> Result<UInt64, ConnectionLedger.Refusal> in
            Result { () throws(ConnectionLedger.Refusal) in try state.establish(&ticket, peer.id) }
        }
        if case .failure(let refusal) = result { account.connectionRefused(refusal) }
        let connection = Connection(
            id: try result.get(), peer: peer, remoteAddress: remoteAddress, localAddress: localAddress,
            direction: direction, swarm: self, channel: channel)
        return connection
    }

    func connectionBegan(_ connection: Connection) {
        state.withLockedValue { $0.add(connection) }
        logger.debug("Connected", metadata: ["peer": "\(connection.peer)", "address": "\(connection.remoteAddress)"])
        emit(.connected(connection))
        settleSimultaneousDials(with: connection.peer)
    }

    func connectionEnded(_ connection: Connection, error: Libp2pError?) {
        connection.ended()
        state.withLockedValue { $0.remove(connection) }
        logger.debug(
            "Disconnected",
            metadata: ["peer": "\(connection.peer)", "reason": "\(error.map { "\($0)" } ?? "closed")"])
        emit(.disconnected(connection, error: error))
    }

    /// The connection is no longer offered for new streams.
    func retire(_ connection: Connection) {
        state.withLockedValue { $0.retire(connection) }
    }

    func handshakeFailed(with address: Multiaddr, _ error: Libp2pError) {
        account.handshakeFailed(error)
        logger.debug("Handshake failed", metadata: ["address": "\(address)", "error": "\(error)"])
    }

    func socketEnded(_ id: ObjectIdentifier, _ ticket: ConnectionLedger.Ticket) {
        let counts = state.withLockedValue { state in
            state.sockets[id] = nil
            state.ledger.release(ticket)
            return (state.ledger.inbound, state.ledger.total)
        }
        account.connections(inbound: counts.0, outbound: counts.1 - counts.0)
    }

    /// Who shall take an inbound stream.
    func handlerFactory(for protocolID: ProtocolID) -> HandlerFactory? {
        state.withLockedValue { $0.handlers[protocolID] }
    }

    func emit(_ event: SwarmEvent) {
        let observers = state.withLockedValue { $0.observers }
        for observer in observers { observer(event) }
    }
}
