import PeerIdentity
import Testing

@Suite struct X25519Tests {
    /// What both sides compute.
    private func shared(_ pair: X25519KeyPair, _ other: [UInt8]) throws -> [UInt8] {
        try other.withUnsafeBytes { other in
            try pair.withSharedSecret(with: other) { [UInt8]($0) }
        }
    }

    @Test func theExampleOfRFC7748() throws {
        let alice = try X25519KeyPair(
            secretKey: hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
        let bob = try X25519KeyPair(
            secretKey: hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
        #expect(alice.publicKey == hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"))
        #expect(bob.publicKey == hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
        let secret = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
        #expect(try shared(alice, bob.publicKey) == secret)
        #expect(try shared(bob, alice.publicKey) == secret)
    }

    @Test func generatedPairsAgree() throws {
        let one = try X25519KeyPair.generate()
        let two = try X25519KeyPair.generate()
        #expect(one.publicKey != two.publicKey)
        #expect(try shared(one, two.publicKey) == shared(two, one.publicKey))
    }

    @Test func keysThatLeadToNoSecretAreErrors() throws {
        let pair = try X25519KeyPair.generate()
        // Points of order 1, 2, 4 and 8: the secret would be zero.
        let low = [
            [UInt8](repeating: 0, count: 32), [1] + [UInt8](repeating: 0, count: 31),
            hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        ]
        for key in low { expectError(.keyAgreementFailed) { _ = try shared(pair, key) } }
        for count in [0, 31, 33] {
            expectError(.keyAgreementFailed) { _ = try shared(pair, [UInt8](repeating: 9, count: count)) }
        }
        expectError(.invalidPrivateKey) { _ = try X25519KeyPair(secretKey: [1]) }
    }
}

@Suite struct ChaCha20Poly1305Tests {
    private func cipher(_ key: [UInt8]) throws -> ChaCha20Poly1305 {
        try key.withUnsafeBytes { try ChaCha20Poly1305(key: $0) }
    }

    private func sealed(
        _ plaintext: [UInt8], _ cipher: ChaCha20Poly1305, nonce: UInt64, data: [UInt8] = []
    ) throws -> [UInt8] {
        var output = [UInt8](repeating: 0, count: plaintext.count + ChaCha20Poly1305.tagLength)
        try output.withUnsafeMutableBytes { output in
            try plaintext.withUnsafeBytes { plaintext in
                try data.withUnsafeBytes { try cipher.seal(plaintext, nonce: nonce, additionalData: $0, into: output) }
            }
        }
        return output
    }

    private func opened(
        _ sealed: [UInt8], _ cipher: ChaCha20Poly1305, nonce: UInt64, data: [UInt8] = []
    ) throws -> [UInt8] {
        var output = [UInt8](repeating: 0, count: max(0, sealed.count - ChaCha20Poly1305.tagLength))
        try output.withUnsafeMutableBytes { output in
            try sealed.withUnsafeBytes { sealed in
                try data.withUnsafeBytes { try cipher.open(sealed, nonce: nonce, additionalData: $0, into: output) }
            }
        }
        return output
    }

    private static let draft = Array(
        ("Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or "
            + "obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference "
            + "material or to cite them other than as /\u{201C}work in progress./\u{201D}").utf8)

    /// RFC 8439, appendix A.5, whose nonce has the form that Noise gives it.
    @Test func theExampleOfRFC8439() throws {
        let cipher = try self.cipher(hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"))
        let data = hex("f33388860000000000004e91")
        let nonce: UInt64 = 0x0807_0605_0403_0201
        let ciphertext = hex(
            """
            64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c
            321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61
            c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0
            a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434e
            cebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4
            022b02709beead9d67890cbb22392336fea1851f38
            """)
        #expect(try sealed(Self.draft, cipher, nonce: nonce, data: data) == ciphertext)
        #expect(try opened(ciphertext, cipher, nonce: nonce, data: data) == Self.draft)
    }

    @Test func inPlaceAndApartAreTheSame() throws {
        let cipher = try self.cipher(SecureRandom.bytes(32))
        for count in [0, 1, 15, 16, 17, 63, 64, 65, 1000, 65_519] {
            let plaintext = try SecureRandom.bytes(count)
            let apart = try sealed(plaintext, cipher, nonce: 7)
            var inPlace = plaintext + [UInt8](repeating: 0, count: 16)
            try inPlace.withUnsafeMutableBytes { buffer in
                let start = UnsafeRawBufferPointer(rebasing: buffer.prefix(count))
                let none = UnsafeRawBufferPointer(start: nil, count: 0)
                try cipher.seal(start, nonce: 7, additionalData: none, into: buffer)
            }
            #expect(inPlace == apart)
            #expect(try opened(apart, cipher, nonce: 7) == plaintext)
            try inPlace.withUnsafeMutableBytes { buffer in
                let none = UnsafeRawBufferPointer(start: nil, count: 0)
                try cipher.open(UnsafeRawBufferPointer(buffer), nonce: 7, additionalData: none, into: buffer)
            }
            #expect(Array(inPlace.prefix(count)) == plaintext)
        }
    }

    @Test func onlyTheSameKeyNonceDataAndBytesOpen() throws {
        let cipher = try self.cipher([UInt8](repeating: 1, count: 32))
        let other = try self.cipher([UInt8](repeating: 2, count: 32))
        let message = try sealed([1, 2, 3], cipher, nonce: 0, data: [9])
        #expect(try opened(message, cipher, nonce: 0, data: [9]) == [1, 2, 3])
        expectError(.authenticationFailed) { _ = try opened(message, other, nonce: 0, data: [9]) }
        expectError(.authenticationFailed) { _ = try opened(message, cipher, nonce: 1, data: [9]) }
        expectError(.authenticationFailed) { _ = try opened(message, cipher, nonce: 1 << 32, data: [9]) }
        expectError(.authenticationFailed) { _ = try opened(message, cipher, nonce: 0, data: []) }
        for index in message.indices {
            var changed = message
            changed[index] ^= 1
            expectError(.authenticationFailed) { _ = try opened(changed, cipher, nonce: 0, data: [9]) }
            expectError(.authenticationFailed) {
                _ = try opened(Array(message.prefix(index)), cipher, nonce: 0, data: [9])
            }
        }
    }

    /// The cipher writes before it compares the tag.
    @Test(arguments: [0, 1, 500, 1015]) func whatDoesNotOpenLeavesNothing(changed: Int) throws {
        let cipher = try self.cipher([UInt8](repeating: 1, count: 32))
        var message = try sealed([UInt8](repeating: 0xaa, count: 1000), cipher, nonce: 0)
        message[changed] ^= 1
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        var apart = [UInt8](repeating: 7, count: 1000)
        _ = apart.withUnsafeMutableBytes { output in
            message.withUnsafeBytes { sealed in
                expectError(.authenticationFailed) {
                    try cipher.open(sealed, nonce: 0, additionalData: none, into: output)
                }
            }
        }
        #expect(apart == [UInt8](repeating: 0, count: 1000))
        _ = message.withUnsafeMutableBytes { bytes in
            expectError(.authenticationFailed) {
                try cipher.open(UnsafeRawBufferPointer(bytes), nonce: 0, additionalData: none, into: bytes)
            }
        }
        #expect(message.prefix(1000).allSatisfy { $0 == 0 })
    }

    @Test func tooLittleRoomIsAnError() throws {
        expectError(.invalidPrivateKey) { _ = try self.cipher([1, 2, 3]) }
        let cipher = try self.cipher([UInt8](repeating: 1, count: 32))
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        var room = [UInt8](repeating: 0, count: 18)
        room.withUnsafeMutableBytes { room in
            let three = UnsafeRawBufferPointer(rebasing: room.prefix(3))
            expectError(.cryptoUnavailable) { try cipher.seal(three, nonce: 0, additionalData: none, into: room) }
            let nowhere = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            expectError(.cryptoUnavailable) {
                try cipher.open(UnsafeRawBufferPointer(room), nonce: 0, additionalData: none, into: nowhere)
            }
        }
    }
}

@Suite struct HandshakeDigestTests {
    @Test func hashesItsTwoPartsAsOne() {
        let digest = Array("ab".utf8).withUnsafeBytes { first in
            Array("c".utf8).withUnsafeBytes { HandshakeDigest.sha256(first, $0) }
        }
        #expect(digest == hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
    }

    /// Computed with Python's hmac.
    @Test func derivesAsNoiseDoes() {
        let (first, second) = Array("input key material".utf8).withUnsafeBytes {
            HandshakeDigest.derive(chainingKey: Array(0..<32), input: $0)
        }
        #expect(first == hex("785dba36cff1fcf591f812fa0b2bade807af9e50d2a96caf28d3c9a285558549"))
        #expect(second == hex("8b4e05ec153f03cf906c305b981902e2af26ae2966397bb43988c4ab28f3aae1"))
    }
}

@Suite struct SecureRandomTests {
    @Test func fillsWhatItIsGiven() throws {
        #expect(try SecureRandom.bytes(0).isEmpty)
        #expect(try SecureRandom.bytes(32) != SecureRandom.bytes(32))
        var bytes = [UInt8](repeating: 0, count: 64)
        try bytes.withUnsafeMutableBytes { try SecureRandom.fill($0) }
        #expect(bytes.contains { $0 != 0 })
        for _ in 0..<100 { #expect(try SecureRandom.number(below: 3) < 3) }
        #expect(try SecureRandom.number(below: 0) == 0)
    }
}
