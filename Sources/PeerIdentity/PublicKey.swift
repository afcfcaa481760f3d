/// The public half of a peer's identity: what its peer ID is made from and its signatures are checked with.
///
/// [Peer ids and keys](https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md) of libp2p.
public struct PublicKey: Hashable, Sendable {
    /// The kinds of key that libp2p knows. The raw value is the one of `KeyType` in `keys.proto`.
    public enum Kind: UInt8, Hashable, Sendable, CaseIterable, CustomStringConvertible {
        case rsa = 0
        case ed25519 = 1
        case secp256k1 = 2
        case ecdsa = 3

        public var description: String {
            switch self {
            case .rsa: "RSA"
            case .ed25519: "Ed25519"
            case .secp256k1: "secp256k1"
            case .ecdsa: "ECDSA"
            }
        }
    }

    public let kind: Kind
    /// The key as its kind is written: 32 bytes for Ed25519, a DER `SubjectPublicKeyInfo` for RSA and ECDSA, a
    /// compressed point for secp256k1.
    public let bytes: [UInt8]

    /// A key of known kind.
    ///
    /// Throws ``IdentityError/Code/invalidPublicKey`` for bytes that are no such key and
    /// ``IdentityError/Code/unsupportedKey`` for an RSA key under 2,048 or over 8,192 bits and an ECDSA key of another
    /// curve than P-256. A secp256k1 key is accepted in every build, since peer IDs need no more than its bytes.
    public init(kind: Kind, bytes: [UInt8]) throws(IdentityError) {
        guard bytes.count <= IdentityLimits.publicKeyBytes else {
            throw IdentityError(
                .invalidPublicKey,
                "A public key of \(bytes.count) bytes is longer than any that is accepted (\(IdentityLimits.publicKeyBytes))."
            )
        }
        switch kind {
        case .rsa: _ = try Self.rsaKey(bytes)
        case .ecdsa: _ = try Self.ecdsaKey(bytes)
        case .ed25519:
            guard bytes.count == 32 else {
                throw IdentityError(.invalidPublicKey, "An Ed25519 public key has 32 bytes, not \(bytes.count).")
            }
        case .secp256k1:
            guard bytes.count == 33, bytes[0] == 2 || bytes[0] == 3 else {
                throw IdentityError(
                    .invalidPublicKey, "A secp256k1 public key is a compressed point of 33 bytes; this is none.")
            }
        }
        self.kind = kind
        self.bytes = bytes
    }

    /// A key whose bytes came from a place that makes only good ones.
    init(unchecked kind: Kind, bytes: [UInt8]) {
        self.kind = kind
        self.bytes = bytes
    }

    /// Reads a `PublicKey` message of `keys.proto`, the form keys have in handshakes, peer IDs and envelopes.
    ///
    /// Throws as ``init(kind:bytes:)`` does.
    public init(decoding protobuf: [UInt8]) throws(IdentityError) {
        self = try protobuf.withRawBytes { bytes throws(IdentityError) in try PublicKey(decoding: bytes) }
    }

    /// Whether `signature` is this key's signature of `message`, by the signing rules of the peer id specification.
    ///
    /// Throws ``IdentityError/Code/unsupportedKey`` for secp256k1 in a build without the package trait `Secp256k1`. A
    /// signature that is malformed is one that is not valid: false.
    public func isValid(
        signature: UnsafeRawBufferPointer, for message: UnsafeRawBufferPointer
    ) throws(IdentityError) -> Bool {
        guard signature.count <= IdentityLimits.signatureBytes else { return false }
        switch kind {
        case .ed25519: return try isValidEd25519(signature, message)
        case .rsa: return try isValidRSA(signature, message)
        case .ecdsa: return try isValidECDSA(signature, message)
        case .secp256k1: return try isValidSecp256k1(signature, message)
        }
    }

    /// Whether `signature` is this key's signature of `message`. Throws as the form over raw buffers does.
    public func isValid(signature: [UInt8], for message: [UInt8]) throws(IdentityError) -> Bool {
        try signature.withRawBytes { signature throws(IdentityError) in
            try message.withRawBytes { message throws(IdentityError) in
                try isValid(signature: signature, for: message)
            }
        }
    }
}
