internal import CSodium

extension KeyPair {
    /// A new random identity.
    ///
    /// Throws ``IdentityError/Code/cryptoUnavailable`` when the system has no random numbers or no memory.
    public static func generate() throws(IdentityError) -> KeyPair {
        try KeyPair(
            secret: SecretMemory(count: secretLength) { secret throws(IdentityError) in
                var publicKey = [UInt8](repeating: 0, count: 32)
                guard let start = secret.bindMemory(to: UInt8.self).baseAddress,
                    crypto_sign_ed25519_keypair(&publicKey, start) == 0
                else { throw Sodium.refused("crypto_sign_ed25519_keypair") }
            })
    }

    /// The identity of a seed of 32 bytes, always the same: for tests and simulations that must be repeatable.
    package convenience init(seed: [UInt8]) throws(IdentityError) {
        guard seed.count == Self.seedLength else {
            throw IdentityError(.invalidPrivateKey, "An Ed25519 seed has \(Self.seedLength) bytes, not \(seed.count).")
        }
        let secret = try seed.withRawBytes { seed throws(IdentityError) in try KeyPair.secret(seed: seed) }
        try self.init(secret: secret)
    }

    /// Signs `message` with Ed25519: 64 bytes. Throws ``IdentityError/Code/cryptoUnavailable``.
    public func sign(_ message: UnsafeRawBufferPointer) throws(IdentityError) -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: 64)
        let status = secret.withBytes { secret in
            secret.withBytePointer { secret in
                message.withBytePointer {
                    crypto_sign_ed25519_detached(&signature, nil, $0, UInt64(message.count), secret)
                }
            }
        }
        guard status == 0 else { throw Sodium.refused("crypto_sign_ed25519_detached") }
        return signature
    }

    static func secret(seed: UnsafeRawBufferPointer) throws(IdentityError) -> SecretMemory {
        try SecretMemory(count: secretLength) { secret throws(IdentityError) in
            var publicKey = [UInt8](repeating: 0, count: 32)
            guard
                seed.count == seedLength, let start = secret.bindMemory(to: UInt8.self).baseAddress,
                seed.withBytePointer({ crypto_sign_ed25519_seed_keypair(&publicKey, start, $0) }) == 0
            else { throw Sodium.refused("crypto_sign_ed25519_seed_keypair") }
        }
    }
}
