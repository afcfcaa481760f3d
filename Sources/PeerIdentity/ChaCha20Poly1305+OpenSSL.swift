internal import COpenSSL

/// A key for ChaCha20-Poly1305 as RFC 8439 has it, with the nonce form of Noise: four zero bytes, then a 64-bit counter,
/// little-endian.
///
/// Owns the key and wipes it when freed. It does not count nonces: whoever seals must never use one twice. Sealing and
/// opening allocate nothing. For one thread at a time.
///
/// The cipher is OpenSSL's because it takes half of the time of libsodium's, and it is most of what a connection with Noise
/// costs.
package final class ChaCha20Poly1305 {
    /// Bytes of a key.
    package static let keyLength = 32
    /// Bytes that sealing adds.
    package static let tagLength = 16

    private enum Direction: Int32 {
        case open = 0
        case seal = 1
    }

    private let context: OpaquePointer

    /// Copies the 32 bytes of `key`.
    package init(key: UnsafeRawBufferPointer) throws(IdentityError) {
        guard key.count == Self.keyLength, let bytes = key.baseAddress else {
            throw IdentityError(
                .invalidPrivateKey, "A ChaCha20-Poly1305 key has \(Self.keyLength) bytes, not \(key.count).")
        }
        guard let context = EVP_CIPHER_CTX_new() else { throw Self.refused("EVP_CIPHER_CTX_new") }
        self.context = context
        guard
            EVP_CipherInit_ex(
                context, EVP_chacha20_poly1305(), nil, bytes.assumingMemoryBound(to: UInt8.self), nil,
                Direction.seal.rawValue) == 1
        else { throw Self.refused("EVP_CipherInit_ex") }
    }

    deinit { EVP_CIPHER_CTX_free(context) }

    private static func refused(_ call: StaticString) -> IdentityError {
        IdentityError(.cryptoUnavailable, "OpenSSL refused \(call), which should not fail.")
    }

    /// Writes the sealed form of `plaintext`, its ciphertext and then 16 bytes of tag, to `output`.
    ///
    /// `output` has at least `plaintext.count + 16` bytes. It either starts where `plaintext` starts (in place) or does
    /// not overlap it.
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
        guard
            begin(.seal, nonce), add(additionalData), translate(plaintext, to: destination), finish(),
            EVP_CIPHER_CTX_ctrl(
                context, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagLength), destination + plaintext.count) == 1
        else { throw Self.refused("to seal") }
    }

    /// Checks `sealed` (ciphertext, then 16 bytes of tag) and writes its plaintext, 16 bytes shorter, to `output`.
    ///
    /// `output` either starts where `sealed` starts (in place) or does not overlap it. When the tag does not fit, nothing of
    /// the plaintext is left there: it holds zeros.
    package func open(
        _ sealed: UnsafeRawBufferPointer, nonce: UInt64, additionalData: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) throws(IdentityError) {
        let count = sealed.count - Self.tagLength
        guard count >= 0 else {
            throw IdentityError(
                .authenticationFailed,
                "\(sealed.count) bytes are too few for sealed ones: the tag alone has \(Self.tagLength).")
        }
        guard output.count >= count else {
            throw IdentityError(
                .cryptoUnavailable,
                "Opening \(sealed.count) bytes needs \(count) bytes of room, not \(output.count).")
        }
        // OpenSSL copies the tag, but does not say so.
        let tag = UnsafeMutableRawPointer(mutating: sealed.baseAddress.map { $0 + count })
        guard
            begin(.open, nonce), EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagLength), tag) == 1,
            add(additionalData),
            translate(UnsafeRawBufferPointer(rebasing: sealed.prefix(count)), to: output.baseAddress),
            finish()
        else {
            _ = UnsafeMutableRawBufferPointer(rebasing: output[..<count]).initializeMemory(as: UInt8.self, repeating: 0)
            throw IdentityError(
                .authenticationFailed, "Sealed bytes do not fit their key and place: altered, lost or repeated.")
        }
    }

    /// The key stays from message to message.
    private func begin(_ direction: Direction, _ nonce: UInt64) -> Bool {
        let low = UInt32(truncatingIfNeeded: nonce).littleEndian
        let high = UInt32(truncatingIfNeeded: nonce >> 32).littleEndian
        return withUnsafeBytes(of: (UInt32(0), low, high)) { bytes in
            EVP_CipherInit_ex(
                context, nil, nil, nil, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), direction.rawValue) == 1
        }
    }

    private func add(_ data: UnsafeRawBufferPointer) -> Bool { data.count == 0 || update(data, nil) }

    private func translate(_ bytes: UnsafeRawBufferPointer, to destination: UnsafeMutableRawPointer?) -> Bool {
        bytes.count == 0 || update(bytes, destination)
    }

    private func update(_ bytes: UnsafeRawBufferPointer, _ destination: UnsafeMutableRawPointer?) -> Bool {
        guard let count = Int32(exactly: bytes.count) else { return false }
        var written: Int32 = 0
        return EVP_CipherUpdate(
            context, destination?.assumingMemoryBound(to: UInt8.self), &written,
            bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), count) == 1
    }

    /// A stream cipher has nothing left to write; opening compares the tag.
    private func finish() -> Bool {
        var nothing: UInt8 = 0
        var written: Int32 = 0
        return EVP_CipherFinal_ex(context, &nothing, &written) == 1
    }
}

@available(*, unavailable)
extension ChaCha20Poly1305: Sendable {}
