import Multiformats
import NIOCore
import PeerIdentity

/// What a swarm knows across its connections. Lives behind the swarm's lock; nothing in here calls out.
struct SwarmState {
    struct Listener {
        let channel: any Channel
        /// With the real port, without the peer.
        var addresses: [Multiaddr]
    }

    /// A dial and those who wait for it.
    struct DialEntry {
        let dial: Dial
        var waiters: [UInt64: CheckedContinuation<Connection, any Error>] = [:]
    }

    enum DialKey: Hashable {
        case peer(PeerID)
        /// An address that does not say whose it is.
        case anybody(UInt64)
    }

    enum Shutdown {
        case close([any Channel], dials: [DialKey], [Connection], sockets: [any Channel])
        case waitFor(EventLoopFuture<Void>)
    }

    var ledger: ConnectionLedger
    var handlers: [ProtocolID: Swarm.HandlerFactory] = [:]
    var protocols: [ProtocolID] = []
    var observers: [@Sendable (SwarmEvent) -> Void] = []
    var listeners: [Listener] = []
    /// By their connection handlers.
    var sockets: [ObjectIdentifier: any Channel] = [:]
    var connections: [PeerID: [Connection]] = [:]
    /// Connections that no stream is opened on any more, until their sockets are closed.
    private var retired: [UInt64: Connection] = [:]
    var dials: [DialKey: DialEntry] = [:]
    var ownIdentity: OwnIdentity
    private var shutdownEnd: EventLoopFuture<Void>?
    private var lastID: UInt64 = 0

    init(limits: SwarmLimits, firstRecordNumber: UInt64) {
        ownIdentity = OwnIdentity(version: 0, firstRecordNumber: firstRecordNumber)
        ledger = ConnectionLedger(limits: limits)
    }

    var isShutDown: Bool { shutdownEnd != nil }

    mutating func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    mutating func establish(
        _ ticket: inout ConnectionLedger.Ticket, _ peer: PeerID
    ) throws(ConnectionLedger.Refusal) -> UInt64 {
        guard !isShutDown else { throw .shuttingDown }
        try ledger.establish(&ticket, with: peer)
        return nextID()
    }

    mutating func add(_ connection: Connection) {
        connections[connection.peer, default: []].append(connection)
    }

    mutating func retire(_ connection: Connection) {
        guard var list = connections[connection.peer],
            let index = list.firstIndex(where: { $0 === connection })
        else { return }
        list.remove(at: index)
        connections[connection.peer] = list.isEmpty ? nil : list
        retired[connection.id] = connection
    }

    mutating func remove(_ connection: Connection) {
        retire(connection)
        retired[connection.id] = nil
    }

    /// The one of several connections with a peer that both sides use. Of two that were dialled at once, from both sides, it
    /// is the one that the lower peer ID dialled; else the newer one, as whoever dialled it knew of no other.
    ///
    /// - Parameter window: the time within which two dials count as one moment.
    func preferredConnection(to peer: PeerID, own: PeerID, window: TimeAmount) -> Connection? {
        guard let list = connections[peer], var preferred = list.first else { return nil }
        let lowest: Connection.Direction = own < peer ? .outbound : .inbound
        for newer in list.dropFirst() {
            let isAtOnce = newer.direction != preferred.direction && newer.openedAt - preferred.openedAt < window
            if !isAtOnce || newer.direction == lowest { preferred = newer }
        }
        return preferred
    }

    mutating func shutDown(_ end: EventLoopFuture<Void>) -> Shutdown {
        if let shutdownEnd { return .waitFor(shutdownEnd) }
        shutdownEnd = end
        defer { listeners = [] }
        return .close(
            listeners.map(\.channel), dials: Array(dials.keys),
            Array(connections.values.joined()) + Array(retired.values),
            sockets: Array(sockets.values))
    }
}
