import Multiformats
import TestSupport
import Testing

@Suite struct CIDPrefixTests {
    @Test func encodedForms() throws {
        let multihash = try Multihash.hash([1, 2, 3], with: .sha2_256)
        let old = try CID(version: .v0, codec: .dagPB, multihash: multihash)
        #expect(old.prefix.bytes == [0x00, 0x70, 0x12, 0x20])
        #expect(CID(codec: .raw, multihash: multihash).prefix.bytes == [0x01, 0x55, 0x12, 0x20])
        let blake = try Multihash.hash([1, 2, 3], with: .blake2b256)
        let other = CID(codec: .dagCBOR, multihash: blake)
        #expect(other.prefix.bytes == [0x01, 0x71, 0xa0, 0xe4, 0x02, 0x20])
        #expect(other.prefix.byteCount == 6)
    }

    @Test(arguments: [Multihash.Code.sha2_256, .sha2_512, .sha3_256, .blake2b256, .identity])
    func rebuildsTheCID(code: Multihash.Code) throws {
        let block = Array("some block".utf8)
        let multihash = try Multihash.hash(block, with: code)
        var cids = [CID(codec: .raw, multihash: multihash), CID(codec: .dagPB, multihash: multihash)]
        if code == .sha2_256 { cids.append(try CID(version: .v0, codec: .dagPB, multihash: multihash)) }
        if code != .identity {
            cids.append(
                CID(codec: .raw, multihash: try Multihash(code: code, digest: multihash.digest.prefix(20))))
        }
        for cid in cids {
            let prefix = try CID.Prefix(bytes: cid.prefix.bytes)
            #expect(prefix == cid.prefix)
            #expect(try block.withUnsafeBytes { try prefix.cid(of: $0) } == cid)
            let other = block.reversed() as [UInt8]
            #expect(try other.withUnsafeBytes { try prefix.cid(of: $0) } != cid)
        }
    }

    @Test(
        arguments: [
            ("", .truncated), ("01", .truncated), ("0155", .truncated), ("015512", .truncated),
            ("0155122000", .trailingBytes),
            ("02551220", .invalidVersion), ("12551220", .invalidVersion), ("8102551220", .invalidVersion),
            ("00551220", .invalidCID), ("00701320", .invalidCID), ("00701214", .invalidCID),
            ("80005512", .invalidVarint),
            ("015512ffffffffffffffff7f", .limitExceeded), ("0155128110", .limitExceeded), ("0155128010", nil),
        ] as [(String, MultiformatsError.Code?)])
    func malformed(hex: String, code: MultiformatsError.Code?) {
        #expect(errorCode { () throws(MultiformatsError) in try CID.Prefix(bytes: [UInt8](hex: hex)) } == code)
    }

    @Test(
        arguments: [
            // A function that is not known, and lengths that its function does not make or that prove nothing.
            ("01551e20", .unsupportedHash), ("01551114", .unsupportedHash), ("01551221", .invalidDigestLength),
            ("01551213", .invalidDigestLength), ("01551200", .invalidDigestLength), ("01550004", .invalidDigestLength),
            ("01550003", nil), ("01551214", nil),
        ] as [(String, MultiformatsError.Code?)])
    func prefixesThatCannotBeFollowed(hex: String, code: MultiformatsError.Code?) throws {
        let prefix = try CID.Prefix(bytes: [UInt8](hex: hex))
        let block: [UInt8] = [1, 2, 3]
        #expect(
            errorCode { () throws(MultiformatsError) in
                try block.withUnsafeBufferPointer { (block) throws(MultiformatsError) in
                    try prefix.cid(of: UnsafeRawBufferPointer(block))
                }
            } == code)
    }

    @Test func madeByHand() throws {
        let made = try CID.Prefix(version: .v1, codec: .raw, hashCode: .sha2_256, digestLength: 32)
        #expect(made.bytes == [0x01, 0x55, 0x12, 0x20])
        for (version, length) in [(.v0, 32), (.v1, -1), (.v1, MultiformatsLimits.digestLength + 1)]
            as [(CID.Version, Int)]
        {
            #expect(throws: MultiformatsError.self) {
                try CID.Prefix(version: version, codec: .raw, hashCode: .sha2_256, digestLength: length)
            }
        }
    }

    @Test func randomBytesGiveAValueOrAnError() {
        var random = SplitMix64(seed: 11)
        var accepted = 0
        for _ in 0..<4_000 {
            let bytes = random.mutated([0x01, 0x55, 0x12, 0x20])
            guard let prefix = try? CID.Prefix(bytes: bytes) else { continue }
            accepted += 1
            #expect(prefix.bytes == bytes)
        }
        #expect(accepted > 100)
    }
}
