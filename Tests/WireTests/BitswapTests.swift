import CWire
import TestSupport
import Testing

@Suite struct BitswapTests {
    /// One of everything, as Google's protoc --encode writes it.
    static let golden = hex(
        """
        0a29 0a10 0a0443494431 10ffffffff07 2001 2801 0a13 0a0443494432 10ffffffffffffffffff01 1801 1001
        12034f4c44 1a0d 0a0401551220 120548656c6c6f 1a06 0a0400701220
        2206 0a0443494433 2208 0a0443494434 1001 28808040
        """)
    static let goldenForm = BitswapForm(
        wants: [
            .init(cid: Array("CID1".utf8), priority: .max, type: CWIRE_WANT_HAVE, sendDontHave: true),
            .init(cid: Array("CID2".utf8), priority: -1, cancel: true),
        ],
        blocks: [
            .init(data: Array("OLD".utf8), legacy: true),
            .init(prefix: hex("01551220"), data: Array("Hello".utf8)),
            .init(prefix: hex("00701220")),
        ],
        presences: [
            .init(cid: Array("CID3".utf8), type: CWIRE_PRESENCE_HAVE),
            .init(cid: Array("CID4".utf8), type: CWIRE_PRESENCE_DONT_HAVE),
        ],
        pendingBytes: 1 << 20, hasWantlist: true, full: true)

    @Test func goldenMessage() throws {
        let arena = Arena()
        #expect(arena.decode(Self.golden) == CWIRE_OK)
        #expect(arena.form(of: Self.golden) == Self.goldenForm)
        #expect(try Self.goldenForm.encode() == Self.golden)
    }

    @Test func anEmptyWantlistIsThere() throws {
        let empty = BitswapForm(hasWantlist: true)
        #expect(try empty.encode() == [0x0a, 0x00])
        let arena = Arena()
        #expect(arena.decode([0x0a, 0x00]) == CWIRE_OK)
        #expect(arena.message.has_wantlist && !arena.message.full)
        #expect(arena.decode([]) == CWIRE_OK)
        #expect(!arena.message.has_wantlist)
        withUnsafePointer(to: Arena.generous) {
            #expect(cwire_bitswap_decode(nil, 0, $0, &arena.message) == CWIRE_OK)
        }
    }

    @Test func negativeNumbersTakeTenBytes() throws {
        let form = BitswapForm(pendingBytes: -2)
        #expect(try form.encode() == hex("28feffffffffffffffff01"))
        let arena = Arena()
        // Five bytes are the form of old encoders; the high half of ten is dropped.
        for text in ["28feffffffffffffffff01", "28feffffff0f", "28feffffff8f20"] {
            #expect(arena.decode(hex(text)) == CWIRE_OK)
            #expect(arena.message.pending_bytes == -2, "\(text)")
        }
    }

    @Test func defaults() throws {
        let arena = Arena()
        let bytes = hex("0a02 0a00 1a00 2200 1200")
        #expect(arena.decode(bytes) == CWIRE_OK)
        #expect(
            arena.form(of: bytes)
                == BitswapForm(
                    wants: [.init()], blocks: [.init(), .init(legacy: true)], presences: [.init()], hasWantlist: true))
    }

    @Test func lastValueCountsAndWantlistsAreMerged() {
        let arena = Arena()
        // priority 1 then 2; cancel true then false; two wantlists, the first full; pendingBytes twice.
        let merged = hex("0a0f 0a0b 1001 1801 0a0141 1002 1800 1001 2801 0a05 0a03 0a0142 2805")
        #expect(arena.decode(merged) == CWIRE_OK)
        #expect(
            arena.form(of: merged)
                == BitswapForm(
                    wants: [.init(cid: [0x41], priority: 2), .init(cid: [0x42])], pendingBytes: 5, hasWantlist: true,
                    full: true))
        #expect(arena.decode(hex("0a02 1001 0a02 1000")) == CWIRE_OK)
        #expect(!arena.message.full)
    }

    @Test func unknownFieldsAreSkippedEverywhere() {
        let arena = Arena()
        // Field 15 of each wire type, in the message, the wantlist, an entry, a block, a presence.
        let unknown = "7805 7a03616263 7d01020304 790102030405060708"
        let entry = hex("\(unknown) 0a0141")
        let wantlist = hex(unknown) + [0x0a, UInt8(entry.count)] + entry
        let block = hex("\(unknown) 120142")
        let presence = hex("\(unknown) 1001")
        var message = hex(unknown) + [0x0a, UInt8(wantlist.count)] + wantlist
        message += [0x1a, UInt8(block.count)] + block + [0x22, UInt8(presence.count)] + presence
        #expect(arena.decode(message) == CWIRE_OK)
        #expect(
            arena.form(of: message)
                == BitswapForm(
                    wants: [.init(cid: [0x41])], blocks: [.init(data: [0x42])], presences: [.init(type: 1)],
                    hasWantlist: true))
    }

    @Test(arguments: [
        ("08", CWIRE_TRUNCATED), ("0a", CWIRE_TRUNCATED), ("0a01", CWIRE_BAD_LENGTH), ("0a0280", CWIRE_BAD_LENGTH),
        ("0a0180", CWIRE_TRUNCATED), ("0a020a01", CWIRE_BAD_LENGTH), ("0a020a0200", CWIRE_BAD_LENGTH),
        ("0aff01", CWIRE_BAD_LENGTH), ("0affffffffffffffffff01", CWIRE_BAD_LENGTH),
        ("0affffffffffffffffff02", CWIRE_VARINT_TOO_LONG), ("0a8080808080808080808000", CWIRE_VARINT_TOO_LONG),
        // Known fields of the wrong wire type.
        ("0801", CWIRE_WRONG_WIRE_TYPE), ("1001", CWIRE_WRONG_WIRE_TYPE), ("1801", CWIRE_WRONG_WIRE_TYPE),
        ("2001", CWIRE_WRONG_WIRE_TYPE), ("2a00", CWIRE_WRONG_WIRE_TYPE), ("2d00000000", CWIRE_WRONG_WIRE_TYPE),
        ("0a020801", CWIRE_WRONG_WIRE_TYPE), ("0a021200", CWIRE_WRONG_WIRE_TYPE),
        ("0a040a020801", CWIRE_WRONG_WIRE_TYPE), ("0a040a021200", CWIRE_WRONG_WIRE_TYPE),
        ("0a040a021a00", CWIRE_WRONG_WIRE_TYPE), ("0a040a022200", CWIRE_WRONG_WIRE_TYPE),
        ("0a040a022a00", CWIRE_WRONG_WIRE_TYPE), ("1a020801", CWIRE_WRONG_WIRE_TYPE),
        ("1a021001", CWIRE_WRONG_WIRE_TYPE), ("22020801", CWIRE_WRONG_WIRE_TYPE), ("22021200", CWIRE_WRONG_WIRE_TYPE),
        // Groups, wire types 6 and 7, field 0, field 2^29.
        ("0b0c", CWIRE_UNSUPPORTED_WIRE_TYPE), ("0c", CWIRE_UNSUPPORTED_WIRE_TYPE), ("7e", CWIRE_UNSUPPORTED_WIRE_TYPE),
        ("7f", CWIRE_UNSUPPORTED_WIRE_TYPE), ("0000", CWIRE_BAD_FIELD_NUMBER), ("808080801000", CWIRE_BAD_FIELD_NUMBER),
        ("79010203040506", CWIRE_TRUNCATED), ("7d010203", CWIRE_TRUNCATED),
    ])
    func refuses(text: String, expected: cwire_status) {
        let arena = Arena()
        #expect(arena.decode(Self.golden) == CWIRE_OK)
        #expect(arena.decode(hex(text)) == expected)
        // Nothing of the message before is left.
        #expect(arena.form(of: []) == BitswapForm())
    }

    @Test func theHighestFieldNumberIsUnknownNotWrong() {
        #expect(Arena().decode(hex("f8ffffff0f00")) == CWIRE_OK)
    }

    @Test func everyTruncation() {
        let arena = Arena()
        // Where a field of the message ends, the rest is a message; nowhere else.
        let ends: Set = [0, 43, 48, 63, 71, 79, 89, 93]
        #expect(Self.golden.count == 93)
        for cut in 0..<Self.golden.count {
            let status = arena.decode(Array(Self.golden[..<cut]))
            #expect((status == CWIRE_OK) == ends.contains(cut), "cut at \(cut)")
        }
    }

    @Test func manyBlocks() throws {
        var generator = SplitMix64(seed: 1)
        let data = generator.bytes(1024)
        let form = BitswapForm(
            blocks: (0..<512).map { .init(prefix: hex("01551220"), data: [UInt8($0 & 0xff)] + data.dropFirst()) },
            hasWantlist: true)
        let bytes = try form.encode()
        let arena = Arena()
        #expect(arena.decode(bytes) == CWIRE_OK)
        #expect(arena.form(of: bytes) == form)
    }

    @Test func manyWants() throws {
        var generator = SplitMix64(seed: 2)
        let form = BitswapForm(
            wants: (0..<1024).map { _ in
                .init(
                    cid: hex("01551220") + generator.bytes(32), priority: .max, type: CWIRE_WANT_HAVE,
                    sendDontHave: true)
            }, hasWantlist: true, full: true)
        let bytes = try form.encode()
        let arena = Arena()
        #expect(arena.decode(bytes) == CWIRE_OK)
        #expect(arena.form(of: bytes) == form)

        // In pieces it is the same.
        let (cids, wants) = form.spans()
        let sizes = wants.map { want in withUnsafePointer(to: want) { cwire_bitswap_want_size($0) } }
        let body = sizes.reduce(Int(CWIRE_BITSWAP_FULL_SIZE), +)
        var pieces = try encoded(size: cwire_bitswap_wantlist_header_size(body)) {
            cwire_bitswap_wantlist_header_write(body, $0, $1)
        }
        for var want in wants {
            let cid = Array(cids[Int(want.cid.offset)...].prefix(Int(want.cid.length)))
            pieces += try encoded(size: cwire_bitswap_want_size(&want)) {
                cwire_bitswap_want_write(cid, &want, $0, $1)
            }
        }
        pieces += try encoded(size: Int(CWIRE_BITSWAP_FULL_SIZE)) { cwire_bitswap_full_write($0, $1) }
        #expect(pieces == bytes)
    }
}
