import NIOCore
import PeerIdentity

/// The handlers that make up a connection, and how they meet the swarm.
extension ConnectionHandler {
    static func negotiation(
        _ protocols: [ProtocolID], _ direction: Connection.Direction, _ swarm: Swarm
    ) -> NegotiationHandler {
        NegotiationHandler(
            role: direction == .outbound ? .initiator : .responder, protocols: protocols,
            timeLimit: TimeAmount(swarm.configuration.handshakeTimeout))
    }

    static func security(
        _ security: SecurityProtocol, _ direction: Connection.Direction, _ swarm: Swarm, expecting peer: PeerID?
    ) throws(Libp2pError) -> any ChannelHandler {
        switch security {
        case .tls:
            TLSHandler(
                credentials: try swarm.tlsCredentials.get(), direction: direction, expectedPeer: peer,
                now: Swarm.secondsSince1970)
        default:
            NoiseHandler(
                identity: swarm.identity, role: direction == .outbound ? .initiator : .responder, expectedPeer: peer,
                muxers: [.yamux])
        }
    }

    /// - Parameter onClosed: called when the muxer has ended, with the reason unless it was closed from here.
    static func yamux(_ connection: Connection, onClosed: @escaping (Libp2pError?) -> Void) -> YamuxHandler {
        let swarm = connection.swarm
        let inbound = InboundStreams(limits: swarm.configuration.limits)
        let handler = YamuxHandler(
            role: connection.direction == .outbound ? .client : .server, peer: connection.peer,
            eventLoop: connection.eventLoop,
            configuration: swarm.configuration.yamux, supported: { swarm.protocols },
            accept: { protocolID in
                guard let makeHandler = swarm.handlerFactory(for: protocolID) else { return .unknown }
                guard inbound.opened(protocolID) else {
                    swarm.account.streamRefused()
                    return .refuse
                }
                return .accept(makeHandler(protocolID, connection))
            })
        handler.onStreamClosed = { stream in
            if stream.direction == .inbound { inbound.closed(stream.protocolID) }
        }
        handler.onLimit = { [account = swarm.account] in account.hit($0) }
        handler.onGoAway = { connection.peerGoesAway() }
        handler.onClosed = onClosed
        return handler
    }
}

/// Counts the streams that a peer holds open on one connection, protocol by protocol.
final class InboundStreams {
    private let limits: SwarmLimits
    private var counts: [ProtocolID: Int] = [:]

    init(limits: SwarmLimits) {
        self.limits = limits
    }

    /// - Returns: whether one more is allowed; it is counted then.
    func opened(_ protocolID: ProtocolID) -> Bool {
        guard counts[protocolID, default: 0] < limits.inboundStreams(for: protocolID) else { return false }
        counts[protocolID, default: 0] += 1
        return true
    }

    func closed(_ protocolID: ProtocolID) {
        guard let count = counts[protocolID] else { return }
        counts[protocolID] = count > 1 ? count - 1 : nil
    }
}
