import Logging
import Multiformats
import NIOCore
import PeerIdentity

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Stands at the end of a connection's pipeline: builds the pipeline before it, step by step, and tells the swarm when
/// the connection is ready and when it is gone.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let swarm: Swarm
    private let direction: Connection.Direction
    private let remoteAddress: Multiaddr
    private let expectedPeer: PeerID?
    private let ready: EventLoopPromise<Connection>?
    private var ticket: ConnectionLedger.Ticket
    private var machine: UpgradeStateMachine
    private var timeout: Scheduled<Void>?
    private var connection: Connection?
    private var wasActive = false
    /// Why the connection ends, if somebody said so.
    private var cause: Libp2pError?

    init(
        swarm: Swarm, direction: Connection.Direction, remoteAddress: Multiaddr, expectedPeer: PeerID?,
        ticket: ConnectionLedger.Ticket, ready: EventLoopPromise<Connection>?
    ) {
        self.swarm = swarm
        self.direction = direction
        self.remoteAddress = remoteAddress
        self.expectedPeer = expectedPeer
        self.ticket = ticket
        self.ready = ready
        machine = UpgradeStateMachine(
            ownPeer: swarm.peerID, securityProtocols: swarm.configuration.securityProtocols)
    }

    func channelActive(context: ChannelHandlerContext) {
        wasActive = true
        let limit = swarm.configuration.handshakeTimeout
        let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        timeout = context.eventLoop.scheduleTask(in: TimeAmount(limit)) {
            let (handler, context) = bound.value
            let step = handler.machine.step
            handler.perform(
                handler.machine.failed(
                    Libp2pError(.timeout, "The other end did not finish \(step) within \(limit).")),
                context: context)
        }
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as NegotiationCompleted:
            perform(machine.negotiated(event.protocolID), context: context)
        case let event as HandshakeCompleted:
            perform(
                machine.shookHands(with: event.peer, event.publicKey, muxer: event.muxer), context: context)
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// Everything is consumed by the handlers before this one.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let error = Libp2pError(connection: error)
        cause = cause ?? error
        if machine.isDone {
            context.close(promise: nil)
        } else {
            perform(machine.failed(error), context: context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        let step = machine.step
        perform(
            machine.failed(Libp2pError(.connectionClosed, "The other end closed the connection during \(step).")),
            context: context)
        if let connection {
            self.connection = nil
            connection.attach(nil)
            swarm.connectionEnded(connection, error: connection.endIsOrderly ? nil : cause)
        }
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timeout?.cancel()
        // A socket that was never connected fails its dial by itself, and knows better why.
        if wasActive {
            perform(machine.failed(Libp2pError(.connectionClosed, "The connection was closed.")), context: context)
        }
        swarm.socketEnded(ObjectIdentifier(self), ticket)
    }

    private func perform(_ action: UpgradeStateMachine.Action, context: ChannelHandlerContext) {
        switch action {
        case .none:
            break
        case .addSecurity(let security):
            do {
                try add(Self.security(security, direction, swarm, expecting: expectedPeer), context: context)
            } catch {
                fail(error, context: context)
            }
        case .addMuxerNegotiation:
            add(Self.negotiation([.yamux], direction, swarm), context: context)
        case .addMuxer(let peer):
            addMuxer(peer, context: context)
        case .fail(let error):
            fail(error, context: context)
        }
    }

    private func add(_ handler: any ChannelHandler, context: ChannelHandlerContext) {
        do {
            try context.pipeline.syncOperations.addHandler(handler, position: .before(self))
        } catch {
            fail(Libp2pError(connection: error), context: context)
        }
    }

    private func fail(_ error: Libp2pError, context: ChannelHandlerContext) {
        timeout?.cancel()
        cause = cause ?? error
        swarm.handshakeFailed(with: remoteAddress, error)
        ready?.fail(error)
        context.close(promise: nil)
    }

    private func addMuxer(_ peer: SecuredPeer, context: ChannelHandlerContext) {
        timeout?.cancel()
        let localAddress = context.channel.localAddress.flatMap { Multiaddr(tcp: $0) }
        let connection: Connection
        do {
            connection = try swarm.establish(
                &ticket, peer, remoteAddress: remoteAddress, localAddress: localAddress, direction: direction,
                channel: context.channel)
        } catch {
            fail(Libp2pError(refused: error), context: context)
            return
        }
        self.connection = connection
        let muxer = Self.yamux(connection) { [self] error in
            cause = cause ?? error
        }
        connection.attach(muxer)
        add(muxer, context: context)
        swarm.connectionBegan(connection)
        ready?.succeed(connection)
        swarm.identify(connection)
    }
}

extension Libp2pError {
    /// An error that came up the pipeline of a connection.
    init(connection error: any Error) {
        switch error {
        case let error as Libp2pError:
            self = error
        case let error as IOError:
            self.init(
                .transport, "The connection broke: \(String(cString: strerror(error.errnoCode))).", underlying: error)
        default:
            self.init(.transport, "The connection broke.", underlying: error)
        }
    }
}
