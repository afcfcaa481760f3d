/// How a swarm fares, and what it has refused since it was made.
///
/// All of it is told by metrics too, which all begin with `libp2p_`: the level `connections` (`direction`: `inbound`,
/// `outbound`), and the counters `connections_refused_total` (`reason`), `handshakes_failed_total`, `dials_failed_total`,
/// `dials_refused_total`, `streams_refused_total`, `identify_refused_total`, `tls_limit_hits_total`,
/// `noise_limit_hits_total` and `yamux_limit_hits_total` (`limit`).
public struct SwarmStatistics: Sendable, Hashable, Codable {
    /// Sockets that others opened and that are open now, with those still in their handshake.
    public var inboundConnections = 0
    /// Sockets that this node opened and that are open now.
    public var outboundConnections = 0
    /// Sockets that were refused, by the reason: `connections`, `inbound_connections`, `source`, `peer` and so on.
    public var connectionsRefused: [String: Int] = [:]
    /// Handshakes that failed, in either direction.
    public var handshakesFailed = 0
    /// Dials that ended without a connection.
    public var dialsFailed = 0
    /// Dials that were not tried because there were too many at a time, or the swarm was shut down.
    public var dialsRefused = 0
    /// Streams of peers that were refused because they had too many of one protocol.
    public var streamsRefused = 0
    /// Identify messages that were too large or too many.
    public var identifyMessagesRefused = 0
    /// How often each limit of Noise was hit that ever was, by its name.
    public var noiseLimitHits: [String: Int] = [:]
    /// How often each limit of TLS was hit that ever was, by its name.
    public var tlsLimitHits: [String: Int] = [:]
    /// How often each limit of Yamux was hit that ever was, by its name.
    public var yamuxLimitHits: [String: Int] = [:]

    public init() {}
}
