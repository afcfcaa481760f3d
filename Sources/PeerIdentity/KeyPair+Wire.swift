internal import CWire

extension KeyPair {
    /// Makes the secret half from a `PrivateKey` message of `keys.proto`.
    ///
    /// The key is the seed and its public key, 64 bytes, or the older form with the public key twice, 96 bytes.
    static func secret(decoding protobuf: UnsafeRawBufferPointer) throws(IdentityError) -> SecretMemory {
        var key = cwire_key()
        let status = cwire_key_decode(
            protobuf.bindMemory(to: UInt8.self).baseAddress, protobuf.count, IdentityLimits.keyFileBytes, &key)
        guard status == CWIRE_OK else {
            throw IdentityError(
                .invalidPrivateKey, "These \(protobuf.count) bytes are no libp2p private key: \(WireText.of(status)).")
        }
        guard key.type == CWIRE_KEY_ED25519 else {
            let kind = PublicKey.Kind(key.type)?.description ?? "unknown"
            throw IdentityError(
                .unsupportedKey,
                "This private key is of the kind \(kind). A node's own identity is an Ed25519 key here; make one with KeyPair.generate()."
            )
        }
        let bytes = UnsafeRawBufferPointer(start: key.data.data, count: key.data.length)
        guard bytes.count == 64 || bytes.count == 96 else {
            throw IdentityError(
                .invalidPrivateKey, "An Ed25519 private key has 64 bytes (or 96 in an older form), not \(bytes.count).")
        }
        let secret = try secret(seed: UnsafeRawBufferPointer(rebasing: bytes[..<seedLength]))
        // Signing with a public key that is not the seed's own would give the secret away.
        let matches = secret.withBytes { secret in
            stride(from: seedLength, to: bytes.count, by: 32).allSatisfy { start in
                bytes[start..<(start + 32)].elementsEqual(secret[seedLength...])
            }
        }
        guard matches else {
            throw IdentityError(
                .invalidPrivateKey,
                "This Ed25519 private key holds a public key that is not its own. It is damaged; do not use it.")
        }
        return secret
    }

    /// The pair as a `PrivateKey` message of `keys.proto`, in memory that is locked and wiped.
    func encodedSecret() throws(IdentityError) -> SecretMemory {
        try SecretMemory(count: cwire_key_size(CWIRE_KEY_ED25519, Self.secretLength)) { buffer throws(IdentityError) in
            let written = secret.withBytes { secret in
                cwire_key_write(
                    CWIRE_KEY_ED25519, secret.bindMemory(to: UInt8.self).baseAddress, secret.count,
                    buffer.bindMemory(to: UInt8.self).baseAddress, buffer.count)
            }
            guard written == buffer.count else {
                throw IdentityError(.cryptoUnavailable, "A private key could not be encoded.")
            }
        }
    }

    /// The pair as a `PrivateKey` message of `keys.proto`: 68 bytes that hold the secret. The caller keeps them safe.
    ///
    /// Throws ``IdentityError/Code/cryptoUnavailable``.
    public func protobufBytes() throws(IdentityError) -> [UInt8] {
        try encodedSecret().withBytes { [UInt8]($0) }
    }
}
