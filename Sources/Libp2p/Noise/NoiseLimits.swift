/// Bounds of the Noise handshake and its frames, in bytes unless said otherwise.
package struct NoiseLimits: Sendable, Hashable {
    /// The longest handshake message that is read. One with the largest RSA key and a long list of extensions stays
    /// under a quarter of this.
    package var handshakeMessageBytes = 16 * 1024
    /// How many stream muxers a peer may offer.
    package var muxers = 32
    /// How many WebTransport certificate hashes a peer may send; they are ignored.
    package var certificateHashes = 32
    /// Sealed bytes go to the socket in pieces of at most this size.
    package var socketWriteBytes = 256 * 1024

    package init() {}

    /// The longest Noise message there is: its length has two bytes.
    package static let messageBytes = 65_535
    /// Bytes of the length in front of a message.
    package static let headerBytes = 2
}

/// The limits that a peer can hit, by name, for metrics.
enum NoiseLimit: String, Hashable, Sendable, CaseIterable {
    case handshakeMessageBytes = "handshake_message_bytes"
    case muxers
    case certificateHashes = "certificate_hashes"
}
