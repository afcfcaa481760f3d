import Crypto
import CryptoExtras

extension PublicKey {
    /// The parsed key, within the limits of size.
    static func rsaKey(_ der: [UInt8]) throws(IdentityError) -> _RSA.Signing.PublicKey {
        let key: _RSA.Signing.PublicKey
        do {
            // Named unsafe because it takes keys from 1,024 bits on; the size is checked next, with a better message.
            key = try _RSA.Signing.PublicKey(unsafeDERRepresentation: der)
        } catch {
            throw IdentityError(
                .invalidPublicKey,
                "An RSA public key is a DER SubjectPublicKeyInfo of at most \(IdentityLimits.maximumRSABits) bits; "
                    + "these \(der.count) bytes are none.",
                underlying: error)
        }
        guard key.keySizeInBits >= IdentityLimits.minimumRSABits, key.keySizeInBits <= IdentityLimits.maximumRSABits
        else {
            throw IdentityError(
                .unsupportedKey,
                "An RSA key of \(key.keySizeInBits) bits is outside of what is accepted: "
                    + "\(IdentityLimits.minimumRSABits) to \(IdentityLimits.maximumRSABits) bits.")
        }
        return key
    }

    /// RSASSA-PKCS1-v1_5 over SHA-256.
    func isValidRSA(
        _ signature: UnsafeRawBufferPointer, _ message: UnsafeRawBufferPointer
    ) throws(IdentityError) -> Bool {
        var hash = SHA256()
        hash.update(bufferPointer: message)
        return try Self.rsaKey(bytes).isValidSignature(
            _RSA.Signing.RSASignature(rawRepresentation: [UInt8](signature)), for: hash.finalize(),
            padding: .insecurePKCS1v1_5)
    }
}
