import CWire
import CWireGenerated
import Testing

@Suite struct KeyTests {
    /// https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md#test-vectors
    static let vectors: [(cwire_key_type, String, String)] = [
        (
            CWIRE_KEY_ED25519, "08011220",
            "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
        ),
        (
            CWIRE_KEY_ED25519, "08011240",
            """
            7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d
            1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e
            """
        ),
        (
            CWIRE_KEY_SECP256K1, "08021221",
            "037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"
        ),
        (
            CWIRE_KEY_ECDSA, "0803125b",
            """
            3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4b
            c901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62
            """
        ),
        // RSA is type 0, which proto3 would leave out.
        (CWIRE_KEY_RSA, "08001203", "010203"),
    ]

    @Test(arguments: vectors) func specification(type: cwire_key_type, head: String, key: String) throws {
        let bytes = hex(head) + hex(key)
        withExactCopy(bytes) { data, count in
            var decoded = cwire_key()
            #expect(cwire_key_decode(data, count, 4096, &decoded) == CWIRE_OK)
            #expect(decoded.type == type)
            #expect(array(decoded.data) == hex(key))
            // A slice of the input, not a copy.
            #expect(decoded.data.data == data + hex(head).count)
        }
        let key = hex(key)
        let again = try encoded(size: cwire_key_size(type, key.count)) { cwire_key_write(type, key, key.count, $0, $1) }
        #expect(again == bytes)
    }

    @Test func generatedCodeAgrees() throws {
        let bytes = hex("0801120401020304")
        let key = try #require(swift_bitswap__keys__public_key__unpack(nil, bytes.count, bytes))
        defer { swift_bitswap__keys__public_key__free_unpacked(key, nil) }
        #expect(key.pointee.type == SWIFT_BITSWAP__KEYS__KEY_TYPE__Ed25519)
        #expect(Array(UnsafeBufferPointer(start: key.pointee.data.data, count: key.pointee.data.len)) == [1, 2, 3, 4])
    }

    @Test(arguments: [
        ("", CWIRE_MISSING_FIELD), ("0801", CWIRE_MISSING_FIELD), ("1200", CWIRE_MISSING_FIELD),
        ("08041200", CWIRE_UNKNOWN_KEY_TYPE), ("08ffffffffffffffffff011200", CWIRE_UNKNOWN_KEY_TYPE),
        ("0801120401", CWIRE_BAD_LENGTH), ("08", CWIRE_TRUNCATED), ("0a00", CWIRE_WRONG_WIRE_TYPE),
        ("08011001", CWIRE_WRONG_WIRE_TYPE), ("0801120013", CWIRE_UNSUPPORTED_WIRE_TYPE),
        ("0801120000", CWIRE_BAD_FIELD_NUMBER), ("080112001d0000", CWIRE_TRUNCATED),
        ("0801120012ffffffffffffffffff02", CWIRE_VARINT_TOO_LONG),
        ("0801120012ffffffffffffffffff01", CWIRE_BAD_LENGTH),
    ])
    func refuses(text: String, expected: cwire_status) {
        var key = cwire_key()
        #expect(withExactCopy(hex(text)) { cwire_key_decode($0, $1, 4096, &key) } == expected)
    }

    @Test func lastValueCountsAndUnknownFieldsAreSkipped() {
        var key = cwire_key()
        let bytes = hex("0800 1201ff 1a03616263 250a000000 290102030405060708 0801 12024142")
        bytes.withUnsafeBufferPointer {
            #expect(cwire_key_decode($0.baseAddress, $0.count, 4096, &key) == CWIRE_OK)
            #expect(key.type == CWIRE_KEY_ED25519)
            #expect(array(key.data) == Array("AB".utf8))
        }
    }

    @Test func sizeAtTheMaximumAndOnePast() {
        var key = cwire_key()
        let bytes = hex("0801120401020304")
        #expect(cwire_key_decode(bytes, bytes.count, bytes.count, &key) == CWIRE_OK)
        #expect(cwire_key_decode(bytes, bytes.count, bytes.count - 1, &key) == CWIRE_LIMIT_MESSAGE_BYTES)
        #expect(cwire_key_size(CWIRE_KEY_RSA, Int(Int32.max)) > 0)
        #expect(cwire_key_size(CWIRE_KEY_RSA, Int(Int32.max) + 1) == 0)
    }
}
