/// Bounds of the TLS handshake and its records, in bytes. BoringSSL has others beneath them: 16 KiB for a record and for a
/// handshake message after the handshake, 32 records in a row that carry nothing or only new keys.
package struct TLSLimits: Sendable, Hashable {
    /// The longest certificate that is looked at. One of a peer with the largest RSA key has 3 KiB.
    package var certificateBytes = 8 * 1024
    /// The most a peer may send before the handshake is complete, all records with their headers. Certificate and all,
    /// common ones have 1 to 5 KiB.
    package var handshakeBytes = 32 * 1024
    /// About so many bytes are sealed before they are given to the socket, and opened before they are passed on. A
    /// connection keeps a few buffers of that size for both, so these are what one costs that has carried much.
    package var pieceBytes = 128 * 1024

    package init() {}
}

/// The limits that a peer can hit, by name, for metrics.
enum TLSLimit: String, Hashable, Sendable, CaseIterable {
    case certificateBytes = "certificate_bytes"
    case handshakeBytes = "handshake_bytes"
}
