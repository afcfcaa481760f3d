/// What went wrong with a key, a peer ID, a signature or a key file.
public struct IdentityError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure. More may be added; a `switch` over codes needs a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String

        private init(_ description: String) { self.description = description }

        /// Text or bytes that are no peer ID.
        public static let invalidPeerID = Code("invalidPeerID")
        /// Bytes that are no public key of the kind they claim to be.
        public static let invalidPublicKey = Code("invalidPublicKey")
        /// A kind or size of key that this build does not verify.
        public static let unsupportedKey = Code("unsupportedKey")
        /// Bytes that are no private key, or one whose halves do not fit together.
        public static let invalidPrivateKey = Code("invalidPrivateKey")
        /// Bytes that are no signed envelope, or one past a limit.
        public static let invalidEnvelope = Code("invalidEnvelope")
        /// An envelope whose signature does not fit its contents and domain.
        public static let invalidSignature = Code("invalidSignature")
        /// A key file would have been overwritten.
        public static let fileExists = Code("fileExists")
        /// There is no file at the path.
        public static let fileNotFound = Code("fileNotFound")
        /// A key file that others than its owner may read or write.
        public static let filePermissions = Code("filePermissions")
        /// The operating system refused to read or write a key file.
        public static let fileAccess = Code("fileAccess")
        /// The other side's X25519 key leads to no secret.
        public static let keyAgreementFailed = Code("keyAgreementFailed")
        /// Sealed bytes that were not sealed with this key, nonce and additional data.
        public static let authenticationFailed = Code("authenticationFailed")
        /// libsodium could not start, or it or OpenSSL refused a call that never fails.
        public static let cryptoUnavailable = Code("cryptoUnavailable")
    }

    public let code: Code
    /// What was wrong and what to do about it.
    public let message: String
    /// The error of the layer below, where there is one.
    public let underlying: (any Error)?

    public init(_ code: Code, _ message: String, underlying: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.underlying = underlying
    }

    public var description: String { message }
}
