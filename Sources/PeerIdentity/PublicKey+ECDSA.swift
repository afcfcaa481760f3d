import Crypto

extension PublicKey {
    /// The parsed key.
    static func ecdsaKey(_ der: [UInt8]) throws(IdentityError) -> P256.Signing.PublicKey {
        do {
            return try P256.Signing.PublicKey(derRepresentation: der)
        } catch {
            throw IdentityError(
                .unsupportedKey,
                "An ECDSA public key is a DER SubjectPublicKeyInfo on the curve P-256; these \(der.count) bytes are none.",
                underlying: error)
        }
    }

    /// ECDSA over SHA-256; the signature is DER.
    func isValidECDSA(
        _ signature: UnsafeRawBufferPointer, _ message: UnsafeRawBufferPointer
    ) throws(IdentityError) -> Bool {
        let key = try Self.ecdsaKey(bytes)
        guard let signature = try? P256.Signing.ECDSASignature(derRepresentation: [UInt8](signature)) else {
            return false
        }
        var hash = SHA256()
        hash.update(bufferPointer: message)
        return key.isValidSignature(signature, for: hash.finalize())
    }
}
