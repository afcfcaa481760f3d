/// Bounds of the TLS handshake and its records, in bytes unless said otherwise. What comes before a certificate, and how
/// much of it, is bounded by BoringSSL: 16 KiB a handshake message, 100 KiB for the certificates.
package struct TLSLimits: Sendable, Hashable {
    /// The longest certificate that is looked at. One of a peer with the largest RSA key has 3 KiB.
    package var certificateBytes = 8 * 1024
    /// About so many bytes are sealed before they are given to the socket, and opened before they are passed on. A
    /// connection keeps the buffers for both, so these are what one costs that has carried much.
    package var pieceBytes = 128 * 1024

    package init() {}
}

/// The limits that a peer can hit, by name, for metrics.
enum TLSLimit: String, Hashable, Sendable, CaseIterable {
    case certificateBytes = "certificate_bytes"
}
