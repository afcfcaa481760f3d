/// A peer's own identity: an Ed25519 key pair whose secret half stays in memory that is locked, guarded and wiped,
/// unless ``protobufBytes()`` is asked for it.
///
/// Immutable; any task may use it at once with others.
public final class KeyPair: Sendable {
    public let publicKey: PublicKey
    /// The peer ID that others know the holder of this pair by.
    public let peerID: PeerID
    /// Seed and public key, 64 bytes, as libsodium keeps a secret key and as libp2p writes one.
    let secret: SecretMemory

    init(secret: SecretMemory) throws(IdentityError) {
        self.secret = secret
        self.publicKey = PublicKey(
            unchecked: .ed25519, bytes: secret.withBytes { [UInt8]($0.dropFirst(KeyPair.seedLength)) })
        self.peerID = PeerID(publicKey: publicKey)
    }

    static let seedLength = 32
    static let secretLength = 64

    /// Reads a `PrivateKey` message of `keys.proto`, as ``protobufBytes()`` and other libp2p implementations write it.
    ///
    /// Throws ``IdentityError/Code/invalidPrivateKey``, and ``IdentityError/Code/unsupportedKey`` for another kind than
    /// Ed25519. `protobuf` stays the caller's to wipe.
    public convenience init(decoding protobuf: [UInt8]) throws(IdentityError) {
        let secret = try protobuf.withRawBytes { bytes throws(IdentityError) in
            try KeyPair.secret(decoding: bytes)
        }
        try self.init(secret: secret)
    }

    /// Signs `message` with Ed25519: 64 bytes. Throws ``IdentityError/Code/cryptoUnavailable``.
    public func sign(_ message: [UInt8]) throws(IdentityError) -> [UInt8] {
        try message.withRawBytes { message throws(IdentityError) in try sign(message) }
    }
}
