public import Multiformats
public import NIOCore
public import PeerIdentity
import NIOConcurrencyHelpers

/// A secured and multiplexed connection with one peer, whose identity is proven.
///
/// A handle that may be used from anywhere; everything that happens on the connection happens on its ``eventLoop``.
public final class Connection: Sendable {
    /// Which side opened the connection.
    public enum Direction: Hashable, Sendable {
        /// The peer dialled us.
        case inbound
        /// We dialled the peer.
        case outbound
    }

    /// Tells the connections of one swarm apart; later ones have higher numbers.
    public let id: UInt64
    /// Who is at the other end.
    public let peer: PeerID
    /// The key the peer proved to have.
    public let publicKey: PublicKey
    /// What the connection is secured with.
    public let security: SecurityProtocol
    /// The other end of the socket, without the peer.
    public let remoteAddress: Multiaddr
    /// This end of the socket, without the peer; `nil` if the system did not say.
    public let localAddress: Multiaddr?
    /// Which side opened it.
    public let direction: Direction
    /// Where handlers of its streams, and observers of its events, are called.
    public let eventLoop: any EventLoop
    /// When the handshake was done, by the clock of the event loop.
    public let openedAt: NIODeadline

    let swarm: Swarm
    let channel: any Channel
    /// Of the event loop; `nil` once the connection has ended.
    let muxer: NIOLoopBoundBox<YamuxHandler?>
    private let shared = NIOLockedValueBox(Shared())
    /// What runs on this connection for ping; of the event loop.
    let pingState: NIOLoopBoundBox<PingState>

    private struct Shared {
        /// ``close()`` was called, or the socket is closed.
        var isClosing = false
        /// The peer said that it takes no more streams.
        var peerGoesAway = false
        var identifyInfo: IdentifyInfo?
        var toldVersion: UInt64?
        /// Pushes of the peer since the beginning of the current minute.
        var pushes = 0
        var minuteBegan: NIODeadline?
    }

    /// - Precondition: on the event loop of the channel.
    init(
        id: UInt64, peer: SecuredPeer, remoteAddress: Multiaddr, localAddress: Multiaddr?, direction: Direction,
        swarm: Swarm, channel: any Channel
    ) {
        self.id = id
        self.peer = peer.id
        publicKey = peer.publicKey
        security = peer.security
        self.remoteAddress = remoteAddress
        self.localAddress = localAddress
        self.direction = direction
        self.eventLoop = channel.eventLoop
        self.openedAt = channel.eventLoop.now
        self.swarm = swarm
        self.channel = channel
        muxer = .makeEmptyBox(eventLoop: channel.eventLoop)
        pingState = .makeBoxSendingValue(PingState(), eventLoop: channel.eventLoop)
    }

    /// Succeeds when the socket is closed, by either side.
    public var whenClosed: EventLoopFuture<Void> { channel.closeFuture }

    /// Whether the connection is being closed, by either side. No new streams are opened on it.
    public var isClosing: Bool {
        shared.withLockedValue { $0.isClosing || $0.peerGoesAway }
    }

    /// Whether another connection with the peer is used in place of this one: see ``SwarmEvent/superseded(_:)``.
    public var isSuperseded: Bool {
        swarm.connection(to: peer).map { $0 !== self } ?? false
    }

    /// What the peer last told about itself; `nil` until it has.
    public var identifyInfo: IdentifyInfo? {
        shared.withLockedValue { $0.identifyInfo }
    }

    /// Opens a stream for the first of the protocols that the peer speaks.
    ///
    /// May be called from anywhere. The future succeeds when the stream is open, at the moment of
    /// ``StreamHandler/streamOpened(_:)``, and fails with a ``Libp2pError``.
    ///
    /// - Parameters:
    ///   - protocols: best first.
    ///   - handler: called on the event loop with the protocol that was chosen.
    public func openStream(
        _ protocols: [ProtocolID], handler: @escaping @Sendable (ProtocolID) -> any StreamHandler
    ) -> EventLoopFuture<Void> {
        guard eventLoop.inEventLoop else {
            return eventLoop.flatSubmit { self.openStream(protocols, handler: handler) }
        }
        guard let muxer = muxer.value, !isClosing else {
            return eventLoop.makeFailedFuture(
                Libp2pError(.connectionClosed, "The connection with \(peer) is closed; connect again."))
        }
        return muxer.openStream(protocols, handler: handler)
    }

    /// Closes the connection in an orderly way: ends its streams with an error, tells the peer, waits for at most
    /// ``SwarmConfiguration/closeTimeout`` until that and all before it is written, then closes the socket.
    ///
    /// - Returns: succeeds when the socket is closed, as ``whenClosed`` does. Calling again is harmless.
    @discardableResult
    public func close() -> EventLoopFuture<Void> {
        swarm.retire(self)
        let isFirst = shared.withLockedValue { state in
            defer { state.isClosing = true }
            return !state.isClosing
        }
        if isFirst {
            eventLoop.execute { [self] in closeOnLoop() }
        }
        return channel.closeFuture
    }

    private func closeOnLoop() {
        guard let muxer = muxer.value else {
            channel.close(promise: nil)
            return
        }
        muxer.close(within: TimeAmount(swarm.configuration.closeTimeout))
    }

    /// The peer takes no more streams; the open ones go on.
    func peerGoesAway() {
        swarm.retire(self)
        shared.withLockedValue { $0.peerGoesAway = true }
    }

    /// The socket is closed.
    func ended() {
        shared.withLockedValue { $0.isClosing = true }
    }

    /// Whether the end of the connection is nobody's fault: this side closed it, or the peer announced it.
    var endIsOrderly: Bool {
        shared.withLockedValue { $0.isClosing || $0.peerGoesAway }
    }

    /// - Precondition: on the event loop.
    func attach(_ newMuxer: YamuxHandler?) {
        muxer.value = newMuxer
    }

    /// The version of our own identity that the peer knows; `nil` if it was told nothing yet.
    var toldVersion: UInt64? {
        shared.withLockedValue { $0.toldVersion }
    }

    func told(_ version: UInt64) {
        shared.withLockedValue { $0.toldVersion = version }
    }

    /// Counts an identify message that the peer pushed.
    ///
    /// - Returns: whether it is still one of those allowed in a minute.
    func countPush(limit: Int) -> Bool {
        let now = eventLoop.now
        return shared.withLockedValue { state in
            if state.minuteBegan.map({ now - $0 >= .minutes(1) }) ?? true {
                state.minuteBegan = now
                state.pushes = 0
            }
            state.pushes += 1
            return state.pushes <= limit
        }
    }

    func identified(as info: IdentifyInfo) {
        shared.withLockedValue { $0.identifyInfo = info }
    }
}

extension Connection: Hashable, Identifiable, CustomStringConvertible {
    public static func == (left: Connection, right: Connection) -> Bool { left === right }

    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }

    public var description: String { "\(remoteAddress)/p2p/\(peer)" }
}
