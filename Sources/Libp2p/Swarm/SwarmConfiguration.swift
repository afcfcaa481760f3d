/// What a ``Swarm`` says about itself, how long it waits, and what it allows.
public struct SwarmConfiguration: Sendable {
    /// The name and version of the program, told to every peer by identify.
    public var agentVersion = "swift-bitswap/0.1.0"

    /// The protocol family, told to every peer by identify. Nobody refuses another one any more.
    public var protocolVersion = "ipfs/0.1.0"

    /// What connections may be secured with, at least one: proposed in this order where this node dials, any of them
    /// accepted where it is dialled.
    public var securityProtocols: [SecurityProtocol] = [.tls, .noise]

    /// How long one TCP connection may take to be established.
    public var connectTimeout: Duration = .seconds(5)

    /// How long a connection may take from TCP to a secured and multiplexed connection, in either direction.
    public var handshakeTimeout: Duration = .seconds(10)

    /// How long a dial may take over all addresses of a peer.
    public var dialTimeout: Duration = .seconds(20)

    /// The pause between the starts of two addresses of one dial. A failure starts the next one at once.
    public var dialStagger: Duration = .milliseconds(250)

    /// How long a peer may take to tell who it is, and how long a pushed identify message may take.
    public var identifyTimeout: Duration = .seconds(30)

    /// How long a ping may take.
    public var pingTimeout: Duration = .seconds(10)

    /// How long ``Swarm/shutdown()`` and ``Connection/close()`` let a connection write out what is pending.
    public var closeTimeout: Duration = .seconds(2)

    /// The time within which dials from both sides count as one moment: then the connection that the lower peer ID dialled
    /// is kept, and the other closed.
    public var simultaneousDialWindow: Duration = .seconds(10)

    /// How long a connection that is closed for that is left to those who may just be using it. It is looked at again after
    /// this time, for as long as there are streams on it.
    public var supersededGrace: Duration = .seconds(2)

    /// The multiplexer of each connection, with limits of its own.
    public var yamux = YamuxConfiguration()

    /// What peers can make the swarm hold.
    public var limits = SwarmLimits()

    /// The defaults.
    public init() {}
}

/// Bounds on what peers can make a ``Swarm`` hold. What is past a limit is refused and counted in the metrics, and
/// disturbs nothing that exists.
public struct SwarmLimits: Sendable, Hashable {
    /// Sockets in all, in both directions, with those still in their handshake.
    public var connections = 1024

    /// Of these, sockets that others opened. Lower than ``connections``, so that a node that is full of guests can
    /// still dial.
    public var inboundConnections = 896

    /// Established connections with one peer. More than one is normal when two nodes dial each other at once.
    public var connectionsPerPeer = 8

    /// Inbound sockets from one IPv4 address or one IPv6 /64 network.
    public var inboundConnectionsPerSource = 256

    /// Inbound sockets that have not finished their handshake.
    public var pendingInboundHandshakes = 128

    /// Of these, sockets from one IPv4 address or one IPv6 /64 network, so that nobody takes all places by doing nothing.
    public var pendingInboundHandshakesPerSource = 64

    /// Dials under way, each to one peer.
    public var dials = 256

    /// Addresses tried in one dial, with those that a name resolves to. The rest is ignored.
    public var addressesPerDial = 32

    /// Streams that a peer may have open on one connection for one protocol, unless
    /// ``inboundStreamsByProtocol`` says otherwise. Over all protocols: ``YamuxLimits/inboundStreams``.
    public var inboundStreamsPerProtocol = 256

    /// Exceptions from ``inboundStreamsPerProtocol``.
    public var inboundStreamsByProtocol: [ProtocolID: Int] = [.ping: 2, .identify: 4, .identifyPush: 4]

    /// Bytes of an identify message, over all its parts.
    public var identifyBytes = 64 << 10

    /// Parts of an identify message.
    public var identifyParts = 10

    /// Addresses in an identify message.
    public var identifyAddresses = 1_000

    /// Protocols in an identify message.
    public var identifyProtocols = 1_000

    /// Identify messages that a peer may push on one connection within a minute. Each costs a signature check.
    public var identifyPushesPerMinute = 60

    /// The defaults.
    public init() {}

    /// How many inbound streams of a protocol a connection may have.
    func inboundStreams(for protocolID: ProtocolID) -> Int {
        inboundStreamsByProtocol[protocolID] ?? inboundStreamsPerProtocol
    }
}
