import PeerIdentity
import TestSupport
import Testing

@Suite struct SignedEnvelopeTests {
    private let domain = "libp2p-peer-record"
    private let type: [UInt8] = [0x03, 0x01]

    @Test func whatIsSealedOpens() throws {
        let pair = try KeyPair.generate()
        let sealed = try SignedEnvelope.seal([1, 2, 3], type: type, domain: domain, with: pair)
        let opened = try SignedEnvelope.open(sealed.bytes, domain: domain)
        #expect(opened == sealed)
        #expect(opened.signer == pair.peerID)
        #expect(opened.payload == [1, 2, 3])
        #expect(opened.payloadType == type)
    }

    @Test func theSignedBytesAreThoseOfTheSpecification() throws {
        let pair = try KeyPair(decoding: Vectors.ed25519PrivateKey)
        let payload = [UInt8](repeating: 5, count: 300)
        let sealed = try SignedEnvelope.seal(payload, type: type, domain: "test", with: pair)
        let signed = [4] + Array("test".utf8) + [2] + type + [0xac, 0x02] + payload
        #expect(try pair.publicKey.isValid(signature: sealed.signature, for: signed))
        // public_key = 1, payload_type = 2, payload = 3, signature = 5.
        let wire =
            [0x0a, 36] + Vectors.ed25519PublicKey + [0x12, 2] + type + [0x1a, 0xac, 0x02] + payload
            + [0x2a, 64] + sealed.signature
        #expect(sealed.bytes == wire)
    }

    @Test func aSignatureFitsItsDomainAlone() throws {
        let sealed = try SignedEnvelope.seal([1], type: type, domain: domain, with: .generate())
        expectError(.invalidSignature) { _ = try SignedEnvelope.open(sealed.bytes, domain: "libp2p-relay-rsvp") }
        expectError(.invalidSignature) { _ = try SignedEnvelope.open(sealed.bytes, domain: "") }
    }

    @Test func noByteMayChange() throws {
        let sealed = try SignedEnvelope.seal([1, 2, 3], type: type, domain: domain, with: .generate()).bytes
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 0x10
            #expect(throws: IdentityError.self, "byte \(index)") { try SignedEnvelope.open(changed, domain: domain) }
            #expect(throws: IdentityError.self, "cut at \(index)") {
                try SignedEnvelope.open(Array(sealed.prefix(index)), domain: domain)
            }
        }
    }

    @Test func envelopesAreBounded() throws {
        let pair = try KeyPair.generate()
        let empty = try SignedEnvelope.seal([], type: type, domain: domain, with: pair).bytes.count
        // The payload has a tag and a length of three bytes.
        let largest = [UInt8](repeating: 0, count: IdentityLimits.envelopeBytes - empty - 4)
        let atLimit = try SignedEnvelope.seal(largest, type: type, domain: domain, with: pair)
        #expect(atLimit.bytes.count == IdentityLimits.envelopeBytes)
        #expect(try SignedEnvelope.open(atLimit.bytes, domain: domain) == atLimit)
        let over = try SignedEnvelope.seal(largest + [0], type: type, domain: domain, with: pair)
        expectError(.invalidEnvelope) { _ = try SignedEnvelope.open(over.bytes, domain: domain) }
    }

    @Test func randomInputGivesErrors() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        let sealed = try SignedEnvelope.seal([1, 2, 3], type: type, domain: domain, with: .generate())
        for _ in 0..<2000 {
            let bytes =
                random.next() % 4 == 0
                ? random.bytes(Int.random(in: 0...80, using: &random)) : random.mutated(sealed.bytes)
            // A change that leaves the meaning as it was, such as an unknown field, is the only one that opens.
            guard let opened = try? SignedEnvelope.open(bytes, domain: domain) else { continue }
            #expect(opened == sealed, "seed \(seed)")
        }
    }
}
