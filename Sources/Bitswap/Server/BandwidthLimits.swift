/// How many bytes of answers a second an exchange may send, framing included; nil is no limit.
///
/// A limit holds over time: up to a quarter of a second's worth goes at once.
struct BandwidthLimits: Sendable, Hashable {
    /// To all peers together.
    var upload: Int?
    /// To each peer.
    var uploadPerPeer: Int?
}
