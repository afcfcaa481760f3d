import Foundation
import Multiformats
import TestSupport
import Testing

@Suite struct CIDTests {
    /// The block that the demonstration sends.
    @Test func helloBlock() throws {
        let data = Array("Hello Bitswap from Rust Helia".utf8)
        #expect(data.count == 29)
        let cid = CID(codec: .raw, multihash: try Multihash.hash(data, with: .sha2_256))
        #expect(cid.description == "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq")
        #expect(cid.version == .v1)
        #expect(cid.byteCount == 36)
        #expect(try data.withUnsafeBytes { try cid.prefix.cid(of: $0) } == cid)
    }

    /// Texts that others print for known data.
    @Test(arguments: [
        ("hello world", Multibase.base58btc, "zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn"),
        ("hello world", .base32Upper, "BAFKREIFZJUT3TE2NHYEKKLSS27NH3K72YSCO7Y32KOAO5EEI66WOF36N5E"),
        ("foo", .base32, "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy"),
        ("", .base32Upper, "BAFKREIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU"),
        ("", .base58btc, "zb2rhmy65F3REf8SZp7De11gxtECBGgUKaLdiDj7MCGCHxbDW"),
    ])
    func rawBlocks(data: String, base: Multibase, text: String) throws {
        let cid = CID(codec: .raw, multihash: try Multihash.hash(data.utf8, with: .sha2_256))
        #expect(try cid.text(in: base) == text)
        #expect(try CID(text) == cid)
    }

    /// The example of the CID specification.
    @Test func specificationExample() throws {
        let cid = try CID("zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA")
        #expect(cid.version == .v1)
        #expect(cid.codec == .raw)
        #expect(cid.multihash.code == .sha2_256)
        #expect(
            cid.multihash.digest
                == [UInt8](hex: "6e6ff7950a36187a801613426e858dce686cd7d7e3c0fc42ee0330072d245c95"))
    }

    /// One CID in the forms that Kubo's `cid` command tests name.
    @Test func version0AndItsVersion1() throws {
        let old = try CID("QmS4ustL54uo8FzR9455qaxZwuMiUhyvMcX9Ba8nUH4uVv")
        #expect(old.version == .v0)
        #expect(old.codec == .dagPB)
        #expect(old.byteCount == 34)
        #expect(old.description == "QmS4ustL54uo8FzR9455qaxZwuMiUhyvMcX9Ba8nUH4uVv")
        let new = try CID("bafybeibxm2nsadl3fnxv2sxcxmxaco2jl53wpeorjdzidjwf5aqdg7wa6u")
        #expect(old != new)
        #expect(old.asVersion1 == new)
        #expect(old.multihash == new.multihash)
        #expect(try CID("zdj7WZAAFKPvYPPzyJLso2hhxo8a7ZACFQ4DvvfrNXTHidofr") == new)
        #expect(try CID(version: .v0, codec: .dagPB, multihash: new.multihash) == old)
        #expect(try CID(bytes: old.bytes) == old)
        #expect(old.hashValue != new.hashValue)
    }

    @Test func inlineData() throws {
        let empty = try CID("bafkqaaa")
        #expect(empty.codec == .raw)
        #expect(empty.multihash.code == .identity)
        #expect(empty.multihash.digest == [])
        #expect(empty.bytes == [1, 0x55, 0, 0])
        #expect(empty.description == "bafkqaaa")
    }

    @Test func version0IsRefusedInAMultibase() throws {
        let cid = try CID("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n")
        for base in Multibase.allCases {
            let text = base.encode(cid.bytes)
            #expect(errorCode { () throws(MultiformatsError) in try CID(text) } == .invalidVersion)
            #expect(errorCode { () throws(MultiformatsError) in try cid.text(in: base) } == .invalidVersion)
        }
    }

    @Test func version0HoldsOneKindOfBlockOnly() throws {
        let sha = try Multihash.hash([1], with: .sha2_256)
        let short = try Multihash(code: .sha2_256, digest: sha.digest.prefix(20))
        let other = try Multihash.hash([1], with: .sha3_256)
        for (codec, multihash) in [(.raw, sha), (.dagPB, short), (.dagPB, other)] as [(CID.Codec, Multihash)] {
            #expect(
                errorCode { () throws(MultiformatsError) in
                    try CID(version: .v0, codec: codec, multihash: multihash)
                } == .invalidCID)
        }
        #expect(try CID(version: .v1, codec: .raw, multihash: sha) == CID(codec: .raw, multihash: sha))
    }

    @Test(
        arguments: [
            ("", .truncated), ("b", .truncated), ("z", .truncated), ("Q", .unknownBase), ("Qm", .unknownBase),
            // One character short, one too many, one outside of the alphabet.
            ("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1", .unknownBase),
            ("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1nn", .unknownBase),
            ("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zIII", .invalidText),
            ("bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5s", .invalidText),
            ("bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq ", .invalidText),
            ("/ipfs/bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq", .unknownBase),
            ("f01551220", .truncated), ("f0155", .truncated), ("f01", .truncated), ("f0155000000", .trailingBytes),
            ("f00701220", .invalidVersion), ("f02550000", .invalidVersion), ("f03550000", .invalidVersion),
            ("f12", .invalidVersion), ("f81005500", .invalidVarint), ("f01d5000000", .invalidVarint),
        ] as [(String, MultiformatsError.Code)])
    func malformedTexts(text: String, code: MultiformatsError.Code) {
        #expect(errorCode { () throws(MultiformatsError) in try CID(text) } == code, "\(text)")
    }

    @Test func errorsNameTheInputWithoutItsControlCharacters() {
        do {
            _ = try CID("no\u{1b}[31mcid" + String(repeating: "x", count: 1_000))
            Issue.record("this is no CID")
        } catch {
            #expect(error.description.contains("\"no\\u{1b}[31mcid"))
            #expect(error.description.contains("is not a CID"))
            #expect(error.description.utf8.count < 300)
            #expect(!error.description.unicodeScalars.contains("\u{1b}"))
        }
    }

    @Test func binaryVersions() {
        let digest = [UInt8](repeating: 5, count: 32)
        let cases: [([UInt8], MultiformatsError.Code?)] = [
            ([0x12, 0x20] + digest, nil),
            ([0x12, 0x20] + digest.dropLast(), .truncated),
            ([0x12, 0x20] + digest + [0], .trailingBytes),
            ([0x12, 0x14] + digest, .invalidVersion),
            ([0x00, 0x70, 0x12, 0x20] + digest, .invalidVersion),
            ([0x02, 0x70, 0x12, 0x20] + digest, .invalidVersion),
            ([0x01, 0x70, 0x12, 0x20] + digest, nil),
            ([0x12], .invalidVersion),
            ([], .truncated),
        ]
        for (bytes, code) in cases {
            #expect(errorCode { () throws(MultiformatsError) in try CID(bytes: bytes) } == code, "\(bytes)")
        }
    }

    @Test func roundTripsAndTruncations() throws {
        var random = SplitMix64(seed: 8)
        for round in 0..<150 {
            let cid = try Self.random(&random)
            let bytes = cid.bytes
            #expect(bytes.count == cid.byteCount)
            #expect(cid.withUnsafeBytes { Array($0) } == bytes)
            #expect(try CID(bytes: bytes) == cid)
            #expect(try CID(cid.description) == cid)
            #expect(try CID(Substring(cid.description)) == cid)
            let (prefix, consumed) = try (bytes + random.bytes(3)).withUnsafeBytes { try CID.decodePrefix(of: $0) }
            #expect(prefix == cid)
            #expect(consumed == bytes.count)
            if cid.version == .v1 {
                let base = Multibase.allCases[round % Multibase.allCases.count]
                #expect(try CID(cid.text(in: base)) == cid)
            }
            #expect(errorCode { () throws(MultiformatsError) in try CID(bytes: bytes + [0]) } == .trailingBytes)
            for count in 0..<bytes.count {
                #expect(throws: MultiformatsError.self) { try CID(bytes: bytes.prefix(count)) }
            }
            for count in 0..<cid.description.count {
                #expect(throws: MultiformatsError.self) { try CID(cid.description.prefix(count)) }
            }
        }
    }

    @Test func mutatedBytesGiveAValueOrAnError() throws {
        var random = SplitMix64(seed: 9)
        for _ in 0..<4_000 {
            let bytes = random.mutated(try Self.random(&random).bytes)
            if let cid = try? CID(bytes: bytes) { #expect(cid.bytes == bytes) }
            let text = random.mutated(Array(try Self.random(&random).description.utf8))
            if let cid = try? CID(String(decoding: text, as: UTF8.self)) { #expect(try CID(cid.description) == cid) }
        }
    }

    @Test func orderIsThatOfTheBytes() throws {
        var random = SplitMix64(seed: 10)
        let values = try (0..<60).map { _ in try Self.random(&random) }
        for left in values {
            for right in values {
                #expect((left < right) == left.bytes.lexicographicallyPrecedes(right.bytes))
            }
        }
    }

    @Test func coding() throws {
        let cids = [
            try CID("QmS4ustL54uo8FzR9455qaxZwuMiUhyvMcX9Ba8nUH4uVv"),
            try CID("bafybeibxm2nsadl3fnxv2sxcxmxaco2jl53wpeorjdzidjwf5aqdg7wa6u"),
        ]
        let json = try JSONEncoder().encode(cids)
        #expect(
            String(decoding: json, as: UTF8.self)
                == #"["QmS4ustL54uo8FzR9455qaxZwuMiUhyvMcX9Ba8nUH4uVv","#
                + #""bafybeibxm2nsadl3fnxv2sxcxmxaco2jl53wpeorjdzidjwf5aqdg7wa6u"]"#)
        #expect(try JSONDecoder().decode([CID].self, from: json) == cids)
        #expect(throws: DecodingError.self) { try JSONDecoder().decode([CID].self, from: Data(#"["bad"]"#.utf8)) }
    }

    static func random(_ random: inout SplitMix64) throws -> CID {
        let digest = random.bytes([0, 1, 20, 32, 32, 32, 40, 64][Int(random.next() % 8)])
        if digest.count == 32, random.next() % 2 == 0 {
            return try CID(version: .v0, codec: .dagPB, multihash: try Multihash(code: .sha2_256, digest: digest))
        }
        let codec = random.next() % 2 == 0 ? CID.Codec.raw : try #require(CID.Codec(rawValue: random.code()))
        let code = random.next() % 2 == 0 ? Multihash.Code.sha2_256 : try #require(.init(rawValue: random.code()))
        return CID(codec: codec, multihash: try Multihash(code: code, digest: digest))
    }
}
