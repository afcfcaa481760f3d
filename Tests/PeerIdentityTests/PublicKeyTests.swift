import PeerIdentity
import TestSupport
import Testing

@Suite struct PublicKeyTests {
    struct Signed: Sendable {
        let key: [UInt8]
        let signature: [UInt8]
    }

    static var signed: [Signed] {
        let verified = [
            Signed(key: Vectors.ed25519PublicKey, signature: Vectors.ed25519Signature),
            Signed(key: Vectors.rsaPublicKey, signature: Vectors.rsaSignature),
            Signed(key: Vectors.ecdsaPublicKey, signature: Vectors.ecdsaSignature),
        ]
        #if Secp256k1
            return verified + [
                Signed(key: Vectors.secp256k1PublicKey, signature: Vectors.secp256k1Signature),
                Signed(key: Vectors.secp256k1PublicKey, signature: Vectors.secp256k1HighSignature),
            ]
        #else
            return verified
        #endif
    }

    @Test(arguments: signed) func verifiesTheSignaturesOfOpenSSL(signed: Signed) throws {
        let key = try PublicKey(decoding: signed.key)
        #expect(try key.isValid(signature: signed.signature, for: Vectors.message))
        #expect(try !key.isValid(signature: signed.signature, for: Vectors.message + [0]))
        #expect(try !key.isValid(signature: signed.signature, for: []))
        #expect(try !key.isValid(signature: [], for: Vectors.message))
        #expect(try !key.isValid(signature: Array(signed.signature.dropLast()), for: Vectors.message))
        #expect(try !key.isValid(signature: signed.signature + [0], for: Vectors.message))
    }

    @Test(arguments: signed) func noBitOfASignatureMayChange(signed: Signed) throws {
        let key = try PublicKey(decoding: signed.key)
        for index in stride(from: 0, to: signed.signature.count, by: max(1, signed.signature.count / 64)) {
            var signature = signed.signature
            signature[index] ^= 1 << UInt8(index % 8)
            #expect(try !key.isValid(signature: signature, for: Vectors.message), "byte \(index)")
        }
    }

    #if Secp256k1
        @Test func secp256k1PointOffTheCurve() throws {
            // No point has the x coordinate 5.
            let key = try PublicKey(kind: .secp256k1, bytes: [2] + [UInt8](repeating: 0, count: 31) + [5])
            expectError(.invalidPublicKey) {
                _ = try key.isValid(signature: Vectors.secp256k1Signature, for: Vectors.message)
            }
        }
    #else
        @Test func secp256k1NamesTheTrait() throws {
            let key = try PublicKey(decoding: Vectors.secp256k1PublicKey)
            let error = expectError(.unsupportedKey) {
                _ = try key.isValid(signature: Vectors.secp256k1Signature, for: Vectors.message)
            }
            #expect(error?.description.contains("--traits Secp256k1") == true)
        }
    #endif

    @Test func signaturesAreBounded() throws {
        let key = try PublicKey(decoding: Vectors.rsaPublicKey)
        for count in [IdentityLimits.signatureBytes, IdentityLimits.signatureBytes + 1, 100_000] {
            #expect(try !key.isValid(signature: [UInt8](repeating: 1, count: count), for: Vectors.message))
        }
    }

    @Test func rsaKeysAreBounded() throws {
        #expect(try PublicKey(kind: .rsa, bytes: Vectors.rsa2048).bytes == Vectors.rsa2048)
        #expect(try PublicKey(kind: .rsa, bytes: Vectors.rsa8192).bytes == Vectors.rsa8192)
        for (bits, key) in [(1024, Vectors.rsa1024), (2040, Vectors.rsa2040)] {
            let error = expectError(.unsupportedKey) { _ = try PublicKey(kind: .rsa, bytes: key) }
            #expect(error?.message.contains("\(bits) bits") == true)
        }
        // This one the library below refuses before its size is looked at.
        expectError(.invalidPublicKey) { _ = try PublicKey(kind: .rsa, bytes: Vectors.rsa8200) }
        expectError(.invalidPublicKey) {
            _ = try PublicKey(kind: .rsa, bytes: [UInt8](repeating: 0x30, count: IdentityLimits.publicKeyBytes + 1))
        }
    }

    @Test func bytesOfNoKeyAreErrors() throws {
        for count in [0, 31, 33] {
            expectError(.invalidPublicKey) {
                _ = try PublicKey(kind: .ed25519, bytes: [UInt8](repeating: 1, count: count))
            }
        }
        expectError(.invalidPublicKey) { _ = try PublicKey(kind: .secp256k1, bytes: [UInt8](repeating: 2, count: 32)) }
        expectError(.invalidPublicKey) {
            _ = try PublicKey(kind: .secp256k1, bytes: [4] + [UInt8](repeating: 2, count: 32))
        }
        expectError(.unsupportedKey) { _ = try PublicKey(kind: .ecdsa, bytes: Vectors.p384) }
        expectError(.unsupportedKey) { _ = try PublicKey(kind: .ecdsa, bytes: []) }
        expectError(.invalidPublicKey) { _ = try PublicKey(kind: .rsa, bytes: []) }
        // A key of another kind than it says.
        expectError(.invalidPublicKey) { _ = try PublicKey(kind: .rsa, bytes: Vectors.p384) }
        expectError(.unsupportedKey) { _ = try PublicKey(kind: .ecdsa, bytes: Vectors.rsa2048) }
        // Type missing, data missing, type unknown, and nothing at all.
        for protobuf in [hex("120101"), hex("0801"), hex("0804120101"), []] {
            #expect(throws: IdentityError.self) { try PublicKey(decoding: protobuf) }
        }
    }

    @Test func randomInputGivesErrorsOrAKeyThatEncodes() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        let valid = PeerIDTests.keys.map(\.1)
        for _ in 0..<2000 {
            let bytes =
                random.next() % 4 == 0
                ? random.bytes(Int.random(in: 0...80, using: &random))
                : random.mutated(valid[Int.random(in: 0..<valid.count, using: &random)])
            guard let key = try? PublicKey(decoding: bytes) else { continue }
            #expect(try PublicKey(decoding: key.protobufBytes) == key, "seed \(seed)")
            #expect((try? key.isValid(signature: random.bytes(64), for: bytes)) != true, "seed \(seed)")
        }
    }
}
