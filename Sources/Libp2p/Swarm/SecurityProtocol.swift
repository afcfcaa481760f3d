/// How a connection is secured, and how each side proves who it is.
///
/// The set grows: compare with `==` and keep a default branch.
public struct SecurityProtocol: Hashable, Sendable, CustomStringConvertible {
    /// What the two sides call it when they agree on it.
    let id: ProtocolID
    /// A word for it that programs may rely on: `tls`, `noise`.
    public let name: String
    /// What people call it.
    public let description: String

    private init(_ id: ProtocolID, name: String, _ description: String) {
        self.id = id
        self.name = name
        self.description = description
    }

    /// TLS 1.3 with the certificates of libp2p. Much the cheaper one where the processor knows AES.
    public static let tls = SecurityProtocol(.tls, name: "tls", "TLS")
    /// Noise XX with ChaCha20-Poly1305. Every libp2p implementation speaks it.
    public static let noise = SecurityProtocol(.noise, name: "noise", "Noise")
}

/// A limit of a handshake, whichever it is.
enum HandshakeLimit: Hashable, Sendable {
    case noise(NoiseLimit)
    case tls(TLSLimit)
}
