import Multiformats
import TestSupport
import Testing

@Suite struct MultihashTests {
    /// From https://github.com/multiformats/multihash/blob/master/tests/values/test_cases.csv.
    @Test(
        arguments: [
            (.sha2_256, "120affb31f07aa15348368c9"),
            (.sha2_256, "1214ffb31f07aa15348368c90c73a834dbf9f8710365"),
            (.sha2_256, "1220ffb31f07aa15348368c90c73a834dbf9f8710365860fa0fd4ddce9ac2782cc17"),
            (.sha2_512, "1320abffa1926b038a2f1833092d93859ba2ee56e07a86b158200fc7d4d5d1eaf350"),
            (
                .sha2_512,
                "1340abffa1926b038a2f1833092d93859ba2ee56e07a86b158200fc7d4d5d1eaf350"
                    + "b0f0e511ea6f5043a9f4a7c7886f93355652114709d75b2db4c33741124fd4fe"
            ),
            (.sha1, "1114e861e452cfd84dca9a176258c3d06e020a0c93d8"),
            (.sha3_512, "140a9a7a8207a57d03e9c524"),
        ] as [(Multihash.Code, String)])
    func specificationVectors(code: Multihash.Code, hex: String) throws {
        let input = "431fb5d4c9b735ba1a34d0df045118806ae2336f2c"
        let bytes = [UInt8](hex: hex)
        let multihash = try Multihash(bytes: bytes)
        #expect(multihash.code == code)
        #expect(multihash.digest == Array(bytes.dropFirst(2)))
        #expect(multihash.bytes == bytes)
        #expect(multihash.description == hex)
        // What was hashed are the characters of the input, not the bytes they stand for.
        let matched: Bool? = try? Array(input.utf8).withUnsafeBytes { try multihash.matches($0) }
        #expect(matched == (code.isSupported && multihash.digestLength >= 20 ? true : nil))
    }

    @Test(
        arguments: [
            (
                "", .sha2_256, "1220",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            ),
            (
                "", .sha3_256, "1620",
                "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"
            ),
            (
                "", .blake2b256, "a0e40220",
                "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"
            ),
            (
                "", .sha2_512, "1340",
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
                    + "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
            ),
            ("", .identity, "0000", ""),
            (
                "hello world", .sha2_256, "1220",
                "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
            ),
            (
                "hello world", .sha3_256, "1620",
                "644bcc7e564373040999aac89e7622f3ca71fba1d972fd94a31c3bfbf24e3938"
            ),
            (
                "hello world", .blake2b256, "a0e40220",
                "256c83b297114d201b30179f3f0ef0cace9783622da5974326b436178aeef610"
            ),
            (
                "hello world", .sha2_512, "1340",
                "309ecc489c12d6eb4cc40f50c902f2b4d0ed77ee511a7c7a9bcd3ca86d4cd86f"
                    + "989dd35bc5ff499670da34255b45b0cfd830e81f605dcf7dc5542e93ae9cd76f"
            ),
            ("hello world", .identity, "000b", "68656c6c6f20776f726c64"),
        ] as [(String, Multihash.Code, String, String)])
    func hashing(data: String, code: Multihash.Code, header: String, digest: String) throws {
        let multihash = try Multihash.hash(data.utf8, with: code)
        #expect(multihash.bytes == [UInt8](hex: header + digest))
        #expect(try Array(data.utf8).withUnsafeBytes { try multihash.matches($0) })
        #expect(try !Array((data + "!").utf8).withUnsafeBytes { try multihash.matches($0) })
    }

    @Test func manyBlocksOfInput() throws {
        let data = (0..<5).flatMap { _ in UInt8.min...UInt8.max }
        let expected: [(Multihash.Code, String)] = [
            (.sha2_256, "d414b085826eb06778483ba35564dc849e643359f69ed9747878ba6e54985bed"),
            (.sha3_256, "fe0ff504c79e251aedec1e83dd99637b93650f1a1505310acd4e77b034ffdfca"),
            (.blake2b256, "82628cbfc9689e234b0923a531f4578fe2e7138a03e2f81ed6cde97517336650"),
        ]
        for (code, digest) in expected {
            #expect(try Multihash.hash(data, with: code).digest == [UInt8](hex: digest))
        }
    }

    @Test func functionsThatCannotBeComputed() throws {
        for code in [.blake3, .sha1, .keccak256, .murmur3, try #require(.init(rawValue: 0x1234))] as [Multihash.Code] {
            #expect(!code.isSupported)
            #expect(
                errorCode { () throws(MultiformatsError) in try Multihash.hash([1], with: code) } == .unsupportedHash)
            let carried = try Multihash(code: code, digest: [UInt8](repeating: 7, count: 32))
            #expect(try Multihash(bytes: carried.bytes) == carried)
            #expect(throws: MultiformatsError.self) { try [1].withUnsafeBytes { try carried.matches($0) } }
        }
        #expect(Multihash.Code(rawValue: 1 << 63) == nil)
        #expect(Multihash.Code(rawValue: (1 << 63) - 1) != nil)
    }

    @Test func identityIsLimited() throws {
        let limit = MultiformatsLimits.identityDigestLength
        let longest = [UInt8](repeating: 1, count: limit)
        let multihash = try Multihash.hash(longest, with: .identity)
        #expect(try longest.withUnsafeBytes { try multihash.matches($0) })
        let more = longest + [1]
        #expect(
            errorCode { () throws(MultiformatsError) in try Multihash.hash(more, with: .identity) } == .limitExceeded)
        // It can be carried, but proves nothing.
        let carried = try Multihash(code: .identity, digest: more)
        #expect(throws: MultiformatsError.self) { try more.withUnsafeBytes { try carried.matches($0) } }
    }

    @Test func digestLengthsThatProveNothing() throws {
        let data = Array("hello world".utf8)
        let full = try Multihash.hash(data, with: .sha2_256)
        let minimum = MultiformatsLimits.minimumVerifiableDigestLength
        let cut = try Multihash(code: .sha2_256, digest: full.digest.prefix(minimum))
        #expect(try data.withUnsafeBytes { try cut.matches($0) })
        #expect(try ![0].withUnsafeBytes { try cut.matches($0) })
        for digest in [[], Array(full.digest.prefix(minimum - 1)), full.digest + [0]] {
            let multihash = try Multihash(code: .sha2_256, digest: digest)
            #expect(
                errorCode { () throws(MultiformatsError) in
                    try data.withUnsafeBufferPointer { (data) throws(MultiformatsError) in
                        try multihash.matches(UnsafeRawBufferPointer(data))
                    }
                } == .invalidDigestLength)
        }
    }

    @Test func carriedDigestsAreLimited() throws {
        let limit = MultiformatsLimits.digestLength
        let longest = try Multihash(code: .identity, digest: [UInt8](repeating: 9, count: limit))
        #expect(try Multihash(bytes: longest.bytes) == longest)
        let more = [UInt8](repeating: 9, count: limit + 1)
        #expect(
            errorCode { () throws(MultiformatsError) in try Multihash(code: .identity, digest: more) } == .limitExceeded
        )
        let encoded = [0] + UVarint.encode(UInt64(more.count)) + more
        #expect(errorCode { () throws(MultiformatsError) in try Multihash(bytes: encoded) } == .limitExceeded)
    }

    @Test func lengthsThatOverflowAreErrors() {
        for length in [UInt64(Int32.max), UInt64(Int64.max)] {
            let bytes = [0x12] + UVarint.encode(length) + [1, 2, 3]
            #expect(errorCode { () throws(MultiformatsError) in try Multihash(bytes: bytes) } == .limitExceeded)
        }
    }

    @Test func roundTripsAndTruncations() throws {
        var random = SplitMix64(seed: 4)
        for length in Array(0...70) + [127, 128, 129, 300] {
            let code = try #require(Multihash.Code(rawValue: random.code()))
            let multihash = try Multihash(code: code, digest: random.bytes(length))
            let bytes = multihash.bytes
            #expect(bytes.count == multihash.byteCount)
            #expect(multihash.withUnsafeBytes { Array($0) } == bytes)
            #expect(multihash.withUnsafeDigestBytes { Array($0) } == multihash.digest)
            #expect(try Multihash(bytes: bytes) == multihash)
            let (prefix, consumed) = try (bytes + [1, 2]).withUnsafeBytes { try Multihash.decodePrefix(of: $0) }
            #expect(prefix == multihash)
            #expect(consumed == bytes.count)
            #expect(
                errorCode { () throws(MultiformatsError) in try Multihash(bytes: bytes + [0]) } == .trailingBytes)
            for count in 0..<bytes.count {
                #expect(
                    errorCode { () throws(MultiformatsError) in try Multihash(bytes: bytes.prefix(count)) }
                        == .truncated)
            }
        }
    }

    @Test func everyByteCounts() throws {
        var random = SplitMix64(seed: 5)
        for length in [1, 7, 8, 9, 20, 31, 32, 33, 64] {
            let digest = random.bytes(length)
            let multihash = try Multihash(code: .sha2_256, digest: digest)
            #expect(try Multihash(code: .sha2_256, digest: digest).hashValue == multihash.hashValue)
            for index in 0..<length {
                var other = digest
                other[index] ^= 1
                let changed = try Multihash(code: .sha2_256, digest: other)
                #expect(changed != multihash)
                #expect(changed.hashValue != multihash.hashValue)
            }
            // Zeros at the end are part of the digest.
            let longer = try Multihash(code: .sha2_256, digest: digest + [0])
            #expect(longer != multihash)
            #expect(longer.hashValue != multihash.hashValue)
            let otherCode = try Multihash(code: .sha3_256, digest: digest)
            #expect(otherCode != multihash)
            #expect(otherCode.hashValue != multihash.hashValue)
        }
    }

    @Test func orderIsThatOfTheBytes() throws {
        var random = SplitMix64(seed: 6)
        let codes: [Multihash.Code] = [.identity, .sha2_256, .blake2b256, .sha2_512]
        let values = try (0..<60).map { _ in
            let digest = random.bytes([2, 20, 32, 33, 64][Int(random.next() % 5)]).map { $0 & 1 }
            return try Multihash(code: codes[Int(random.next() % 4)], digest: digest)
        }
        for left in values {
            for right in values {
                #expect((left < right) == left.bytes.lexicographicallyPrecedes(right.bytes))
            }
        }
    }

    @Test func randomBytesGiveAValueOrAnError() {
        var random = SplitMix64(seed: 7)
        for _ in 0..<3_000 {
            let bytes = random.bytes(Int(random.next() % 48))
            if let multihash = try? Multihash(bytes: bytes) { #expect(multihash.bytes == bytes) }
        }
    }
}
