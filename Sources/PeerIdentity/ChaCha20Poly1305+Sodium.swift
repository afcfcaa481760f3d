internal import CSodium

/// A key for ChaCha20-Poly1305 as RFC 8439 has it, with the nonce form of Noise: four zero bytes, then a 64-bit counter,
/// little-endian.
///
/// Owns the key and wipes it when freed. It does not count nonces: whoever seals must never use one twice. Sealing and
/// opening allocate nothing.
// Sendable because the key never changes between its making and its end.
package final class ChaCha20Poly1305: @unchecked Sendable {
    // Sendable: the key is written by the initializer alone.
    private let key: UnsafeMutablePointer<UInt8>

    /// Bytes of a key.
    package static let keyLength = 32
    /// Bytes that sealing adds.
    package static let tagLength = 16

    /// Copies the 32 bytes of `key`.
    package init(key: UnsafeRawBufferPointer) throws(IdentityError) {
        try Sodium.start()
        guard key.count == Self.keyLength, let source = key.baseAddress else {
            throw IdentityError(
                .invalidPrivateKey, "A ChaCha20-Poly1305 key has \(Self.keyLength) bytes, not \(key.count).")
        }
        self.key = UnsafeMutablePointer<UInt8>.allocate(capacity: Self.keyLength)
        UnsafeMutableRawPointer(self.key).copyMemory(from: source, byteCount: Self.keyLength)
    }

    deinit {
        sodium_memzero(key, Self.keyLength)
        key.deallocate()
    }

    /// Writes the sealed form of `plaintext`, its ciphertext and then 16 bytes of tag, to `output`.
    ///
    /// `output` has at least `plaintext.count + 16` bytes. It either starts where `plaintext` starts (in place) or does
    /// not overlap it.
    @inline(__always)
    package func seal(
        _ plaintext: UnsafeRawBufferPointer, nonce: UInt64, additionalData: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) throws(IdentityError) {
        guard let destination = output.baseAddress, output.count - Self.tagLength >= plaintext.count else {
            throw IdentityError(
                .cryptoUnavailable,
                "Sealing \(plaintext.count) bytes needs \(plaintext.count + Self.tagLength) bytes of room, not \(output.count)."
            )
        }
        let status = withNonce(nonce) { nonce in
            crypto_aead_chacha20poly1305_ietf_encrypt(
                destination.assumingMemoryBound(to: UInt8.self), nil,
                (plaintext.baseAddress ?? UnsafeRawPointer(destination)).assumingMemoryBound(to: UInt8.self),
                UInt64(plaintext.count),
                additionalData.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(additionalData.count),
                nil, nonce, key)
        }
        guard status == 0 else { throw Sodium.refused("crypto_aead_chacha20poly1305_ietf_encrypt") }
    }

    /// Checks `sealed` (ciphertext, then 16 bytes of tag) and writes its plaintext, 16 bytes shorter, to `output`.
    ///
    /// `output` either starts where `sealed` starts (in place) or does not overlap it. Nothing of the plaintext is
    /// written when the tag does not fit.
    @inline(__always)
    package func open(
        _ sealed: UnsafeRawBufferPointer, nonce: UInt64, additionalData: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) throws(IdentityError) {
        guard sealed.count >= Self.tagLength, let source = sealed.baseAddress else {
            throw IdentityError(
                .authenticationFailed,
                "\(sealed.count) bytes are too few for sealed ones: the tag alone has \(Self.tagLength).")
        }
        guard output.count >= sealed.count - Self.tagLength else {
            throw IdentityError(
                .cryptoUnavailable,
                "Opening \(sealed.count) bytes needs \(sealed.count - Self.tagLength) bytes of room, not \(output.count)."
            )
        }
        // A message without plaintext needs no room, but libsodium wants a pointer.
        let status: Int32
        if let destination = output.baseAddress {
            status = decrypt(source, sealed.count, nonce, additionalData, destination)
        } else {
            var nowhere: UInt8 = 0
            status = withUnsafeMutableBytes(of: &nowhere) { room in
                guard let destination = room.baseAddress else { return -1 }
                return decrypt(source, sealed.count, nonce, additionalData, destination)
            }
        }
        guard status == 0 else {
            throw IdentityError(
                .authenticationFailed, "Sealed bytes do not fit their key and place: altered, lost or repeated.")
        }
    }

    @inline(__always)
    private func decrypt(
        _ source: UnsafeRawPointer, _ count: Int, _ nonce: UInt64, _ additionalData: UnsafeRawBufferPointer,
        _ destination: UnsafeMutableRawPointer
    ) -> Int32 {
        withNonce(nonce) { nonce in
            crypto_aead_chacha20poly1305_ietf_decrypt(
                destination.assumingMemoryBound(to: UInt8.self), nil, nil,
                source.assumingMemoryBound(to: UInt8.self), UInt64(count),
                additionalData.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(additionalData.count),
                nonce, key)
        }
    }

    @inline(__always)
    private func withNonce<Result>(_ nonce: UInt64, _ body: (UnsafePointer<UInt8>) -> Result) -> Result {
        let low = UInt32(truncatingIfNeeded: nonce).littleEndian
        let high = UInt32(truncatingIfNeeded: nonce >> 32).littleEndian
        return withUnsafePointer(to: (UInt32(0), low, high)) { words in
            words.withMemoryRebound(to: UInt8.self, capacity: 12, body)
        }
    }
}
