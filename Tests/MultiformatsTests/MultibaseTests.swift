import Multiformats
import TestSupport
import Testing

@Suite struct MultibaseTests {
    @Test(arguments: [
        (MultibaseVectors.basicPlain, MultibaseVectors.basic),
        (MultibaseVectors.leadingZeroPlain, MultibaseVectors.leadingZero),
        (MultibaseVectors.twoLeadingZerosPlain, MultibaseVectors.twoLeadingZeros),
    ])
    func vectors(plain: String, encoded: [(Multibase, String)]) throws {
        #expect(Set(encoded.map(\.0)) == Set(Multibase.allCases))
        for (base, text) in encoded {
            #expect(base.encode(plain.utf8) == text)
            #expect(base.encodeUnprefixed(plain.utf8) == text.dropFirst())
            let decoded = try Multibase.decode(text)
            #expect(decoded.base == base)
            #expect(decoded.bytes == Array(plain.utf8))
            #expect(try base.decodeUnprefixed(text.dropFirst()) == Array(plain.utf8))
        }
    }

    @Test func eitherCaseIsRead() throws {
        for (base, text) in MultibaseVectors.otherCase {
            let decoded = try Multibase.decode(text)
            #expect(decoded.base == base)
            #expect(decoded.bytes == Array(MultibaseVectors.otherCasePlain.utf8))
        }
    }

    @Test func roundTrips() throws {
        var random = SplitMix64(seed: 2)
        for base in Multibase.allCases {
            for length in 0..<64 {
                var bytes = random.bytes(length)
                for index in 0..<Int(random.next() % UInt64(length + 1)) { bytes[index] = 0 }
                let text = base.encode(bytes)
                #expect(text.unicodeScalars.first == base.prefix)
                let decoded = try Multibase.decode(text)
                #expect(decoded.base == base)
                #expect(decoded.bytes == bytes, "\(base) \(text)")
            }
        }
    }

    @Test func names() {
        for base in Multibase.allCases {
            #expect(Multibase(name: base.name) == base)
        }
        #expect(Multibase(name: "base58flickr") == nil)
    }

    @Test(arguments: [
        // White space and line ends.
        "f00 ", "f0 0", "f00\n", "z2 2", "mAA==\n",
        // Half a byte, a character too many.
        "f0", "f123", "ba", "baaa", "baaaaaa", "mA", "mAAAAA",
        // Bits left over in the last character.
        "bab", "bae7", "vgh", "mAB", "mAAB", "uAB",
        // Padding that is missing, too much, in the wrong place, or not of this base.
        "mAA==", "baa======", "cae", "cae=====", "cae=======", "c========", "MAA", "MAA=", "MAAA", "MAAAA====", "MA===",
        "M====", "MAA==AA==", "M=AAA", "uAA==", "UAA", "caeaq==", "ce=aaaaaa",
        // Characters of other alphabets.
        "fgg", "b10", "b8a", "mA-", "mA_", "uA+", "uA/", "z0", "zO", "zI", "zl", "k!", "k-", "bé", "vw0",
    ])
    func malformed(text: String) {
        #expect(errorCode { () throws(MultiformatsError) in try Multibase.decode(text) } == .invalidText, "\(text)")
    }

    @Test func unknownBases() {
        #expect(errorCode { () throws(MultiformatsError) in try Multibase.decode("") } == .truncated)
        for text in ["0101", "7123", "9123", "hybh", "Z7Pz", "Qm", "/ipfs", " f00", "🚀🏃", "\0", "é"] {
            #expect(errorCode { () throws(MultiformatsError) in try Multibase.decode(text) } == .unknownBase)
        }
    }

    @Test func emptyValues() throws {
        for base in Multibase.allCases {
            #expect(base.encode([]) == String(base.prefix))
            #expect(try Multibase.decode(String(base.prefix)).bytes == [])
        }
    }

    @Test(arguments: [Multibase.base36, .base36Upper, .base58btc])
    func positionalTextIsLimited(base: Multibase) throws {
        let limit = MultiformatsLimits.positionalTextLength
        let longest = String(repeating: "2", count: limit)
        let bytes = try base.decodeUnprefixed(longest)
        #expect(base.encodeUnprefixed(bytes) == longest)
        #expect(
            errorCode { () throws(MultiformatsError) in try base.decodeUnprefixed(longest + "2") } == .limitExceeded)
    }

    /// Whatever is read at all is read from one text only, but for the case of letters.
    @Test func decodedTextsAreCanonical() {
        var random = SplitMix64(seed: 3)
        let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/-_=".unicodeScalars)
        var accepted = 0
        for _ in 0..<4_000 {
            let base = Multibase.allCases.randomElement(using: &random) ?? .base32
            let valid = Array(base.encode(random.bytes(Int(random.next() % 12))).unicodeScalars)
            var text = String.UnicodeScalarView(valid)
            if random.next() % 4 > 0, let replacement = alphabet.randomElement(using: &random) {
                let index = Int.random(in: 0..<valid.count, using: &random)
                text = String.UnicodeScalarView(valid[..<index] + [replacement] + valid[(index + 1)...])
            }
            guard let decoded = try? Multibase.decode(String(text)) else { continue }
            accepted += 1
            #expect(decoded.base.encode(decoded.bytes).lowercased() == String(text).lowercased())
        }
        #expect(accepted > 1_000)
    }
}
