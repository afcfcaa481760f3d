import DequeModule
public import Libp2p
public import Multiformats
import NIOConcurrencyHelpers
import NIOCore
public import PeerIdentity

/// The real network under an exchange: Bitswap streams on the connections of a ``Swarm``.
///
/// Messages to a peer go on one long-lived stream that we open; messages from it come on any number of streams that it
/// opens, each read to its end. A peer is connected for the exchange from its first connection to its last.
public final class SwarmNetwork: ExchangeNetwork {
    /// What somebody else knows of a peer.
    public struct Acquaintance: Sendable {
        /// Where it can be reached, the best first.
        public var addresses: [Multiaddr]
        /// It is in a network that this machine is in.
        public var isLocal: Bool

        public init(addresses: [Multiaddr], isLocal: Bool) {
            self.addresses = addresses
            self.isLocal = isLocal
        }
    }

    private let swarm: Swarm
    private let protocolPrefix: ProtocolPrefix?
    /// Best first.
    private let protocols: [ProtocolID]
    private let acquaintance: @Sendable (PeerID) -> Acquaintance
    private let reached = NIOLockedValueBox(ReachedAddresses())

    /// - Parameters:
    ///   - protocolPrefix: what the protocol's names begin with in a private network: blocks are exchanged only with peers
    ///     that have the same.
    ///   - acquaintance: called from any thread when a peer has come or is to be dialled.
    public init(
        _ swarm: Swarm, protocolPrefix: ProtocolPrefix? = nil,
        acquaintance: @escaping @Sendable (PeerID) -> Acquaintance = { _ in Acquaintance(addresses: [], isLocal: false)
        }
    ) {
        self.swarm = swarm
        self.protocolPrefix = protocolPrefix
        protocols = BitswapVersion.preferred.map { $0.protocolID(prefix: protocolPrefix) }
        self.acquaintance = acquaintance
    }

    /// Gives the exchange what comes from the swarm. To be called once, before the swarm listens or dials.
    public func deliver(to exchange: Exchange) {
        swarm.handle(protocols) { [weak exchange] _, connection in
            InboundMessages(exchange, peer: connection.peer)
        }
        swarm.observe { [weak exchange, reached, acquaintance] event in
            guard let exchange else { return }
            switch event {
            case .connected(let connection):
                if connection.direction == .outbound {
                    reached.withLockedValue { $0.add(connection.remoteAddress, of: connection.peer) }
                }
                var standing = Self.standing(of: connection)
                if acquaintance(connection.peer).isLocal { standing.insert(.local) }
                exchange.connected(connection.peer, as: standing)
            case .disconnected(let connection, _):
                exchange.disconnected(connection.peer)
            case .superseded(let connection):
                exchange.rerouted(connection.peer)
            default: break
            }
        }
    }

    /// Who was dialled was chosen; who is near costs little to ask.
    private static func standing(of connection: Connection) -> PeerStanding {
        var standing: PeerStanding = connection.direction == .outbound ? .named : []
        if connection.remoteAddress.isLocal { standing.insert(.local) }
        return standing
    }

    public func connect(to provider: Provider) async throws {
        let addresses =
            provider.addresses + acquaintance(provider.peer).addresses
            + reached.withLockedValue { $0.addresses(of: provider.peer) }
        _ = try await swarm.connect(to: provider.peer, addresses: addresses)
    }

    public func open(to peer: PeerID) async throws -> any ExchangeOutlet {
        guard let connection = swarm.connection(to: peer) else {
            throw ExchangeError(.stopped, "no connection to \(peer)")
        }
        let promise = connection.eventLoop.makePromise(of: StreamOutlet.self)
        let opening = connection.openStream(protocols) { [protocolPrefix] _ in
            OutboundMessages(connection, promise, protocolPrefix)
        }
        opening.cascadeFailure(to: promise)
        return try await promise.futureResult.get()
    }
}

/// Where peers were reached lately.
private struct ReachedAddresses {
    private var known: [PeerID: [Multiaddr]] = [:]
    private var order: Deque<PeerID> = []
    private static let peers = 1_024
    private static let addressesPerPeer = 4

    func addresses(of peer: PeerID) -> [Multiaddr] { known[peer] ?? [] }

    mutating func add(_ address: Multiaddr, of peer: PeerID) {
        if known[peer] == nil {
            order.append(peer)
            if order.count > Self.peers { known[order.removeFirst()] = nil }
        }
        known[peer, default: []].removeAll { $0 == address }
        known[peer, default: []].insert(address, at: 0)
        if known[peer, default: []].count > Self.addressesPerPeer { known[peer]?.removeLast() }
    }
}

extension Multiaddr {
    /// On this machine, this link, or in a private network (RFC 1918, 3927, 4193 and 4291).
    fileprivate var isLocal: Bool {
        for component in components {
            switch component {
            case .ip4(let address):
                let (a, b) = (address.rawValue >> 24, address.rawValue >> 16 & 0xff)
                return a == 127 || a == 10 || (a == 172 && 16...31 ~= b) || (a == 192 && b == 168)
                    || (a == 169 && b == 254)
            case .ip6(let address):
                return address == .loopback || address.high >> 57 == 0xfc >> 1 || address.high >> 54 == 0xfe80 >> 6
            default: continue
            }
        }
        return false
    }
}

/// The stream on which we write. What the peer writes on it is read and passed over: answers come on streams of its own.
private final class OutboundMessages: StreamHandler {
    /// Let go of once it is kept: its value holds this handler.
    private var opened: EventLoopPromise<StreamOutlet>?
    private var stream: Stream?
    private let connection: Connection
    private let protocolPrefix: ProtocolPrefix?

    init(_ connection: Connection, _ opened: EventLoopPromise<StreamOutlet>, _ protocolPrefix: ProtocolPrefix?) {
        self.connection = connection
        self.opened = opened
        self.protocolPrefix = protocolPrefix
    }

    func streamOpened(_ stream: Stream) {
        self.stream = stream
        guard let version = BitswapVersion(stream.protocolID, prefix: protocolPrefix) else { return stream.reset() }
        opened?.succeed(StreamOutlet(self, on: connection, version: version))
        opened = nil
    }

    func stream(_ stream: Stream, received bytes: ByteBuffer) { stream.consume(bytes.readableBytes) }

    func streamReceivedEnd(_ stream: Stream) {}

    func streamClosed(_ stream: Stream, error: Libp2pError?) {
        self.stream = nil
        opened?.fail(error ?? Libp2pError(.streamClosed, "The peer closed the stream."))
        opened = nil
    }

    func write(_ frame: ByteBuffer, promise: EventLoopPromise<Void>) {
        guard let stream else { return promise.fail(Libp2pError(.streamClosed, "The stream is closed.")) }
        stream.writeAndFlush(frame, promise: promise)
    }

    func finish() { stream?.finish() }
    func reset() { stream?.reset() }
}

private final class StreamOutlet: ExchangeOutlet {
    let version: BitswapVersion
    private let connection: Connection
    private let handler: NIOLoopBound<OutboundMessages>
    private var eventLoop: any EventLoop { connection.eventLoop }

    init(_ handler: OutboundMessages, on connection: Connection, version: BitswapVersion) {
        self.version = version
        self.connection = connection
        self.handler = NIOLoopBound(handler, eventLoop: connection.eventLoop)
    }

    var isSuperseded: Bool { connection.isSuperseded }

    func write(_ frame: ByteBuffer, completion: @escaping @Sendable ((any Error)?) -> Void) {
        eventLoop.execute { [self] in
            let promise = eventLoop.makePromise(of: Void.self)
            promise.futureResult.whenComplete { result in
                switch result {
                case .success: completion(nil)
                case .failure(let error): completion(error)
                }
            }
            handler.value.write(frame, promise: promise)
        }
    }

    func close() {
        eventLoop.execute { [self] in handler.value.finish() }
    }

    func reset() {
        eventLoop.execute { [self] in handler.value.reset() }
    }
}

/// A stream on which a peer writes to us.
private final class InboundMessages: StreamHandler {
    private weak var exchange: Exchange?
    private let peer: PeerID
    private var inlet: ExchangeInlet?

    init(_ exchange: Exchange?, peer: PeerID) {
        self.exchange = exchange
        self.peer = peer
    }

    func streamOpened(_ stream: Stream) {
        guard let exchange else { return stream.reset() }
        let window = NIOLoopBound(stream, eventLoop: stream.eventLoop)
        let eventLoop = stream.eventLoop
        inlet = ExchangeInlet(exchange, peer: peer) { count in
            if eventLoop.inEventLoop {
                window.value.consume(count)
            } else {
                eventLoop.execute { window.value.consume(count) }
            }
        } reset: {
            eventLoop.execute { window.value.reset() }
        }
    }

    func stream(_ stream: Stream, received bytes: ByteBuffer) {
        do { try inlet?.receive(bytes) } catch { stream.reset() }
    }

    func streamReceivedEnd(_ stream: Stream) {
        do {
            try inlet?.finish()
            stream.finish()
        } catch { stream.reset() }
    }

    func streamClosed(_ stream: Stream, error: Libp2pError?) { inlet = nil }
}
