import PeerIdentity

/// Counts the sockets of a swarm against its limits. Pure: knows numbers, no channels.
///
/// A socket enters by ``admitInbound(from:)`` or ``admitOutbound()``, may become a peer's connection by
/// ``establish(_:with:)``, and leaves by ``release(_:)``, each once.
struct ConnectionLedger {
    /// Why a socket was refused. The raw value is the dimension of the metric.
    enum Refusal: String, Error, CaseIterable {
        case connections
        case inboundConnections = "inbound_connections"
        case source
        case pendingHandshakes = "pending_handshakes"
        case pendingHandshakesOfSource = "pending_handshakes_of_source"
        case peer
        case shuttingDown = "shutting_down"
    }

    /// Where inbound sockets come from: an IPv4 address or the network half of an IPv6 address.
    struct Source: Hashable {
        let prefix: UInt64
        let isIPv6: Bool
    }

    /// What one socket holds in the ledger.
    struct Ticket {
        fileprivate let source: Source?
        fileprivate let isInbound: Bool
        fileprivate(set) var peer: PeerID?
    }

    let limits: SwarmLimits
    private(set) var total = 0
    private(set) var inbound = 0
    private(set) var pendingInbound = 0
    private(set) var bySource: [Source: Int] = [:]
    private(set) var pendingBySource: [Source: Int] = [:]
    private(set) var byPeer: [PeerID: Int] = [:]

    init(limits: SwarmLimits) {
        self.limits = limits
    }

    mutating func admitInbound(from source: Source?) throws(Refusal) -> Ticket {
        guard total < limits.connections else { throw .connections }
        guard inbound < limits.inboundConnections else { throw .inboundConnections }
        guard pendingInbound < limits.pendingInboundHandshakes else { throw .pendingHandshakes }
        if let source {
            guard bySource[source, default: 0] < limits.inboundConnectionsPerSource else { throw .source }
            guard pendingBySource[source, default: 0] < limits.pendingInboundHandshakesPerSource else {
                throw .pendingHandshakesOfSource
            }
            bySource[source, default: 0] += 1
            pendingBySource[source, default: 0] += 1
        }
        total += 1
        inbound += 1
        pendingInbound += 1
        return Ticket(source: source, isInbound: true, peer: nil)
    }

    mutating func admitOutbound() throws(Refusal) -> Ticket {
        guard total < limits.connections else { throw .connections }
        total += 1
        return Ticket(source: nil, isInbound: false, peer: nil)
    }

    /// The handshake is done and `peer` is at the other end.
    mutating func establish(_ ticket: inout Ticket, with peer: PeerID) throws(Refusal) {
        guard byPeer[peer, default: 0] < limits.connectionsPerPeer else { throw .peer }
        byPeer[peer, default: 0] += 1
        if ticket.isInbound { handshakeEnded(ticket) }
        ticket.peer = peer
    }

    mutating func release(_ ticket: Ticket) {
        total -= 1
        if ticket.isInbound {
            inbound -= 1
            if ticket.peer == nil { handshakeEnded(ticket) }
        }
        if let source = ticket.source { Self.decrement(&bySource[source]) }
        if let peer = ticket.peer { Self.decrement(&byPeer[peer]) }
    }

    private mutating func handshakeEnded(_ ticket: Ticket) {
        pendingInbound -= 1
        if let source = ticket.source { Self.decrement(&pendingBySource[source]) }
    }

    private static func decrement(_ count: inout Int?) {
        guard let old = count else { return }
        count = old > 1 ? old - 1 : nil
    }
}
