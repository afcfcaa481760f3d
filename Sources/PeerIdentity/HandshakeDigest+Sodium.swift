internal import CSodium

/// SHA-256 and the key derivation of Noise, for handshakes: some hundred bytes at a time. Blocks are hashed elsewhere,
/// by hardware.
package enum HandshakeDigest {
    /// Bytes of a hash and of a derived key.
    package static let length = 32

    /// SHA-256 of `first` and then `second`.
    package static func sha256(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) -> [UInt8] {
        var state = crypto_hash_sha256_state()
        var digest = [UInt8](repeating: 0, count: length)
        // These three have no way to fail: they always return 0.
        crypto_hash_sha256_init(&state)
        for part in [first, second] where part.count > 0 {
            _ = part.withBytePointer { crypto_hash_sha256_update(&state, $0, UInt64(part.count)) }
        }
        crypto_hash_sha256_final(&state, &digest)
        return digest
    }

    /// `HKDF(chaining_key, input_key_material, 2)` of the Noise framework, section 4.3: two keys of 32 bytes.
    ///
    /// The caller wipes them with ``wipe(_:)`` when they have served.
    package static func derive(
        chainingKey: [UInt8], input: UnsafeRawBufferPointer
    ) -> (first: [UInt8], second: [UInt8]) {
        var temporary = chainingKey.withRawBytes { authenticate([input], key: $0) }
        defer { wipe(&temporary) }
        return temporary.withRawBytes { key in
            let first = [1].withRawBytes { authenticate([$0], key: key) }
            let second = first.withRawBytes { previous in
                [2].withRawBytes { authenticate([previous, $0], key: key) }
            }
            return (first, second)
        }
    }

    /// Overwrites key material that has served.
    package static func wipe(_ bytes: inout [UInt8]) { SecretMemory.wipe(&bytes) }

    private static func authenticate(_ parts: [UnsafeRawBufferPointer], key: UnsafeRawBufferPointer) -> [UInt8] {
        var state = crypto_auth_hmacsha256_state()
        defer { withUnsafeMutableBytes(of: &state) { sodium_memzero($0.baseAddress, $0.count) } }
        var code = [UInt8](repeating: 0, count: length)
        // These three have no way to fail either.
        _ = key.withBytePointer { crypto_auth_hmacsha256_init(&state, $0, key.count) }
        for part in parts where part.count > 0 {
            _ = part.withBytePointer { crypto_auth_hmacsha256_update(&state, $0, UInt64(part.count)) }
        }
        crypto_auth_hmacsha256_final(&state, &code)
        return code
    }
}
