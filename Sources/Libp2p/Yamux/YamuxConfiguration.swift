public import NIOCore

/// What one multiplexed connection may cost this node.
public struct YamuxLimits: Hashable, Sendable {
    /// Streams that the peer holds open. One more is reset.
    public var inboundStreams = 512
    /// Streams of the peer that this side has not acknowledged, which it does with its first frame on them. One more is
    /// reset.
    public var pendingInboundStreams = 256
    /// Streams that this side holds open. One more fails.
    public var outboundStreams = 1024
    /// Streams of this side that the peer has not acknowledged (libp2p/specs yamux, "ACK backlog"). The next one waits.
    public var unacknowledgedOutboundStreams = 256
    /// Streams that wait for the peer's acknowledgements of earlier ones. One more fails.
    public var waitingOutboundStreams = 256
    /// The receive window of a new stream, in bytes; at least the 256 KiB of the specification.
    public var initialReceiveWindow = 256 * 1024
    /// How far the receive window of a stream grows, in bytes. Half of it is given back at a time, so a sender never waits
    /// where it is twice what is under way: the default fills 1 Gbit/s at 100 ms, with a third to spare.
    public var maximumReceiveWindow = 32 * 1024 * 1024
    /// Received bytes that no handler has consumed, over all streams. A stream that goes past it is reset, and no
    /// window grows when the sum of all would pass it.
    public var receiveBuffer = 64 * 1024 * 1024
    /// Payload of one data frame that is sent. By default as much as a Noise message holds with the header.
    public var framePayload = 65_519 - 12
    /// Frames without progress that the peer may send at once: empty data, needless window updates, pings, resets,
    /// frames for streams that do not exist. Past it the connection ends.
    public var glitches = 1024
    /// How many of those are forgiven each second.
    public var glitchesPerSecond = 128
    /// Closed streams that are remembered, to know late frames from made-up ones.
    public var rememberedStreams = 512
    /// Control frames that are queued while the peer does not read, in bytes. Past it the connection ends.
    public var controlBytes = 256 * 1024

    /// The defaults.
    public init() {}
}

/// How a multiplexed connection behaves.
public struct YamuxConfiguration: Hashable, Sendable {
    public var limits = YamuxLimits()
    /// When writers of a stream are told to pause and to go on.
    public var waterMarks = Stream.WaterMarks(high: 1024 * 1024, low: 256 * 1024)
    /// How often the peer is asked for a sign of life, which also measures the round trip.
    public var keepAliveInterval = TimeAmount.seconds(30)
    /// How long the peer may be silent while a ping is unanswered before the connection ends.
    public var keepAliveTimeout = TimeAmount.seconds(15)
    /// How long a stream of the peer may take to agree on a protocol.
    public var inboundNegotiationTimeout = TimeAmount.seconds(10)
    /// How long the peer may take to answer the proposals on a stream of this side.
    public var outboundNegotiationTimeout = TimeAmount.seconds(30)

    /// The defaults.
    public init() {}
}

/// The limits by name, for metrics.
enum YamuxLimit: String, Hashable, Sendable, CaseIterable {
    case inboundStreams = "inbound_streams"
    case pendingInboundStreams = "pending_inbound_streams"
    case outboundStreams = "outbound_streams"
    case waitingOutboundStreams = "waiting_outbound_streams"
    case receiveBuffer = "receive_buffer"
    case receiveWindow = "receive_window"
    case glitches = "glitches"
    case controlBytes = "control_bytes"
}
