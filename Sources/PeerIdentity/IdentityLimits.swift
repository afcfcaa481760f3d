/// Bounds on what a peer or a file can make this module do.
public enum IdentityLimits {
    /// The longest public key in protobuf form that is decoded, in bytes: an RSA key of 8,192 bits has 1,070.
    public static let publicKeyBytes = 2048
    /// The smallest RSA modulus that is accepted, in bits.
    public static let minimumRSABits = 2048
    /// The largest RSA modulus that is accepted, in bits. Verifying grows with the square of it.
    public static let maximumRSABits = 8192
    /// The longest signature that is looked at, in bytes: that of an RSA key of 8,192 bits.
    public static let signatureBytes = 1024
    /// The longest public key in protobuf form that a peer ID holds whole instead of its hash, in bytes.
    public static let inlinedKeyBytes = 42
    /// The longest signed envelope that is opened, in bytes.
    public static let envelopeBytes = 64 * 1024
    /// The longest text that is read as a peer ID, in bytes.
    public static let peerIDTextBytes = 256
    /// The longest private key file that is read, in bytes.
    public static let keyFileBytes = 4096
}
