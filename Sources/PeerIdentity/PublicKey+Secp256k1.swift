#if Secp256k1
    internal import CSecp256k1

    extension PublicKey {
        // A context is only read by verification, which may run on many threads at once.
        private nonisolated(unsafe) static let context = csecp256k1_verification_context()

        /// ECDSA over SHA-256; the signature is strict DER, with S in either half.
        func isValidSecp256k1(
            _ signature: UnsafeRawBufferPointer, _ message: UnsafeRawBufferPointer
        ) throws(IdentityError) -> Bool {
            guard let context = Self.context else {
                throw IdentityError(.cryptoUnavailable, "libsecp256k1 could not start.")
            }
            var key = secp256k1_pubkey()
            guard secp256k1_ec_pubkey_parse(context, &key, bytes, bytes.count) == 1 else {
                throw IdentityError(.invalidPublicKey, "The peer's secp256k1 public key is no point of the curve.")
            }
            var parsed = secp256k1_ecdsa_signature()
            guard
                let start = signature.bindMemory(to: UInt8.self).baseAddress,
                secp256k1_ecdsa_signature_parse_der(context, &parsed, start, signature.count) == 1
            else { return false }
            // libsecp256k1 verifies the low S alone; other libp2p implementations take both.
            var normalized = secp256k1_ecdsa_signature()
            _ = secp256k1_ecdsa_signature_normalize(context, &normalized, &parsed)
            let digest = HandshakeDigest.sha256(message, UnsafeRawBufferPointer(start: nil, count: 0))
            return secp256k1_ecdsa_verify(context, &normalized, digest, &key) == 1
        }
    }
#else
    extension PublicKey {
        /// This build has no libsecp256k1.
        func isValidSecp256k1(
            _ signature: UnsafeRawBufferPointer, _ message: UnsafeRawBufferPointer
        ) throws(IdentityError) -> Bool {
            throw IdentityError(
                .unsupportedKey,
                "The peer's identity is a secp256k1 key, which this build does not verify. Build with the package trait "
                    + "Secp256k1 (swift build --traits Secp256k1) and libsecp256k1 installed.")
        }
    }
#endif
