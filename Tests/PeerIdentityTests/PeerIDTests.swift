import Foundation
import Multiformats
import PeerIdentity
import TestSupport
import Testing

@Suite struct PeerIDTests {
    static let keys: [(PublicKey.Kind, [UInt8], String)] = [
        (.ed25519, Vectors.ed25519PublicKey, Vectors.ed25519PeerID),
        (.secp256k1, Vectors.secp256k1PublicKey, Vectors.secp256k1PeerID),
        (.ecdsa, Vectors.ecdsaPublicKey, Vectors.ecdsaPeerID),
        (.rsa, Vectors.rsaPublicKey, Vectors.rsaPeerID),
    ]

    @Test(arguments: keys) func madeFromTheKeysOfTheSpecification(
        kind: PublicKey.Kind, encoded: [UInt8], text: String
    ) throws {
        let key = try PublicKey(decoding: encoded)
        #expect(key.kind == kind)
        #expect(key.protobufBytes == encoded)
        let peer = PeerID(publicKey: key)
        #expect(peer.description == text)
        #expect(try PeerID(text) == peer)
        #expect(try PeerID(bytes: peer.bytes) == peer)
        #expect(peer.publicKey == (encoded.count <= 42 ? key : nil))
    }

    @Test func examplesOfTheSpecification() throws {
        let texts = [
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
            "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
        ]
        for text in texts { #expect(try PeerID(text).description == text) }
        let cid = "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"
        let peer = try PeerID(cid)
        #expect(peer.cid.description == cid)
        #expect(peer.description == "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
    }

    @Test(arguments: Multibase.allCases) func readInEveryMultibase(base: Multibase) throws {
        for (_, _, text) in Self.keys {
            let peer = try PeerID(text)
            #expect(try PeerID(base.encode(peer.cid.bytes)) == peer)
        }
    }

    @Test(arguments: [
        "", "1", "Qm", "z", "b", "12D3KooW", "Qm0O", "hello", "é",
        // A block's CIDs, of version 1 and of version 0 with a multibase prefix.
        "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq",
        // A bare peer ID with one digit changed to one outside of the alphabet, and one cut off.
        "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5Sl",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5",
    ])
    func otherTextsAreErrors(text: String) {
        let error = expectError(.invalidPeerID) { _ = try PeerID(text) }
        #expect(error?.message.contains("“\(text)”") == true)
    }

    @Test func textsAreBounded() throws {
        let atLimit = String(repeating: "1", count: IdentityLimits.peerIDTextBytes)
        #expect(expectError(.invalidPeerID) { _ = try PeerID(atLimit) }?.message.contains("too long") == false)
        #expect(expectError(.invalidPeerID) { _ = try PeerID(atLimit + "1") }?.message.contains("too long") == true)
    }

    @Test func onlyHashesThatPeerIDsUse() throws {
        func peer(_ code: Multihash.Code, _ count: Int) throws -> PeerID {
            try PeerID(multihash: Multihash(code: code, digest: [UInt8](repeating: 7, count: count)))
        }
        #expect(try peer(.identity, 42).multihash.digestLength == 42)
        expectError(.invalidPeerID) { _ = try peer(.identity, 43) }
        expectError(.invalidPeerID) { _ = try peer(.identity, 0) }
        #expect(try peer(.sha2_256, 32).multihash.digestLength == 32)
        expectError(.invalidPeerID) { _ = try peer(.sha2_256, 31) }
        expectError(.invalidPeerID) { _ = try peer(.sha2_512, 64) }
    }

    @Test func ordersAndCodesLikeItsBytesAndText() throws {
        let peers = try Self.keys.map { try PeerID($0.2) }
        let encoded = try JSONEncoder().encode(peers)
        #expect(String(decoding: encoded, as: UTF8.self).contains("\"\(Vectors.rsaPeerID)\""))
        #expect(try JSONDecoder().decode([PeerID].self, from: encoded) == peers)
        #expect(throws: DecodingError.self) { try JSONDecoder().decode([PeerID].self, from: Data(#"["12D3"]"#.utf8)) }
        let sorted = peers.sorted()
        #expect(zip(sorted, sorted.dropFirst()).allSatisfy { $0 < $1 && $0.multihash < $1.multihash })
    }

    @Test func randomInputGivesErrorsOrTheSameBytesBack() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        let valid = try Self.keys.map { try PeerID($0.2).bytes }
        for _ in 0..<3000 {
            let bytes =
                random.next() % 2 == 0
                ? random.bytes(Int.random(in: 0...60, using: &random))
                : random.mutated(valid[Int.random(in: 0..<valid.count, using: &random)])
            do throws(IdentityError) {
                let peer = try PeerID(bytes: bytes)
                #expect(peer.bytes == bytes, "seed \(seed)")
                #expect(try PeerID(peer.description) == peer, "seed \(seed)")
            } catch {
                #expect(error.code == .invalidPeerID, "seed \(seed)")
            }
            let text = String(decoding: bytes.map { 0x30 + $0 % 75 }, as: UTF8.self)
            if let peer = try? PeerID(text) { #expect(try PeerID(peer.description) == peer, "seed \(seed)") }
        }
    }
}
