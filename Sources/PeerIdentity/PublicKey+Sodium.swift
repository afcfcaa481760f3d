internal import CSodium

extension PublicKey {
    func isValidEd25519(
        _ signature: UnsafeRawBufferPointer, _ message: UnsafeRawBufferPointer
    ) throws(IdentityError) -> Bool {
        guard signature.count == 64, bytes.count == 32 else { return false }
        try Sodium.start()
        return signature.withBytePointer { signature in
            message.withBytePointer { start in
                crypto_sign_ed25519_verify_detached(signature, start, UInt64(message.count), bytes) == 0
            }
        }
    }
}
