internal import CSodium

/// An X25519 key pair (RFC 7748), for one key agreement or a few. The secret lies in locked memory.
package final class X25519KeyPair: Sendable {
    /// The 32 bytes the other side gets.
    package let publicKey: [UInt8]
    private let secret: SecretMemory

    /// Bytes of a public key, of a secret key and of a shared secret.
    package static let keyLength = 32

    private init(secret: SecretMemory) throws(IdentityError) {
        var publicKey = [UInt8](repeating: 0, count: Self.keyLength)
        let status = secret.withBytes { secret in
            secret.withBytePointer { crypto_scalarmult_curve25519_base(&publicKey, $0) }
        }
        guard status == 0 else { throw Sodium.refused("crypto_scalarmult_curve25519_base") }
        self.publicKey = publicKey
        self.secret = secret
    }

    /// A new random pair.
    package static func generate() throws(IdentityError) -> X25519KeyPair {
        try X25519KeyPair(
            secret: SecretMemory(count: keyLength) { buffer throws(IdentityError) in try SecureRandom.fill(buffer) })
    }

    /// The pair of a known secret key, for test vectors.
    package convenience init(secretKey: [UInt8]) throws(IdentityError) {
        guard secretKey.count == Self.keyLength else {
            throw IdentityError(
                .invalidPrivateKey, "An X25519 secret key has \(Self.keyLength) bytes, not \(secretKey.count).")
        }
        try self.init(secret: SecretMemory(count: Self.keyLength) { $0.copyBytes(from: secretKey) })
    }

    /// What both sides can compute and nobody else: calls `body` with 32 bytes that are wiped afterwards.
    ///
    /// Throws ``IdentityError/Code/keyAgreementFailed`` if `other` is not 32 bytes or is a point of low order, with which
    /// the secret would be zero whatever our key is.
    package func withSharedSecret<Result>(
        with other: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(IdentityError) -> Result
    ) throws(IdentityError) -> Result {
        guard other.count == Self.keyLength else {
            throw IdentityError(
                .keyAgreementFailed, "An X25519 public key has \(Self.keyLength) bytes, not \(other.count).")
        }
        var shared = [UInt8](repeating: 0, count: Self.keyLength)
        defer { SecretMemory.wipe(&shared) }
        let status = secret.withBytes { secret in
            secret.withBytePointer { secret in
                other.withBytePointer { crypto_scalarmult_curve25519(&shared, secret, $0) }
            }
        }
        guard status == 0 else {
            throw IdentityError(
                .keyAgreementFailed, "The peer's X25519 key is a point of low order and leads to no secret.")
        }
        return try shared.withRawBytes(body)
    }
}
