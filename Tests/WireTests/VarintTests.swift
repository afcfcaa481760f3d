import CWire
import Testing

@Suite struct VarintTests {
    /// https://github.com/multiformats/unsigned-varint, and the edges of every length.
    static let vectors: [(UInt64, String)] = [
        (0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (255, "ff01"), (300, "ac02"), (16383, "ff7f"),
        (16384, "808001"), (2_097_151, "ffff7f"), (2_097_152, "80808001"), (1 << 56 - 1, "ffffffffffffff7f"),
        (1 << 56, "808080808080808001"), (UInt64(Int64.max), "ffffffffffffffff7f"),
    ]

    @Test(arguments: vectors) func writesAndReads(value: UInt64, text: String) throws {
        let bytes = try encoded(size: cwire_uvarint_size(value)) { cwire_uvarint_write(value, $0, $1) }
        #expect(bytes == hex(text))
        var read: UInt64 = 0
        var consumed = 0
        #expect(cwire_uvarint_read(bytes + [0xff], bytes.count + 1, &read, &consumed) == CWIRE_OK)
        #expect(read == value)
        #expect(consumed == bytes.count)
        for cut in 0..<bytes.count {
            let status = withExactCopy(Array(bytes[..<cut])) { cwire_uvarint_read($0, $1, &read, &consumed) }
            #expect(status == CWIRE_TRUNCATED)
        }
    }

    @Test(arguments: [
        ("8000", CWIRE_VARINT_NOT_MINIMAL), ("ff00", CWIRE_VARINT_NOT_MINIMAL), ("81808000", CWIRE_VARINT_NOT_MINIMAL),
        ("80808080808080808001", CWIRE_VARINT_TOO_LONG), ("ffffffffffffffffff01", CWIRE_VARINT_TOO_LONG),
        ("ffffffffffffffffff", CWIRE_VARINT_TOO_LONG), ("", CWIRE_TRUNCATED), ("80", CWIRE_TRUNCATED),
    ])
    func refuses(text: String, expected: cwire_status) {
        var value: UInt64 = 7
        var consumed = 7
        let status = withExactCopy(hex(text)) { cwire_uvarint_read($0, $1, &value, &consumed) }
        #expect(status == expected)
        #expect(value == 7 && consumed == 7)
    }

    @Test func valuesWithoutAForm() {
        #expect(cwire_uvarint_size(1 << 63) == 0)
        var buffer = [UInt8](repeating: 0, count: 16)
        #expect(cwire_uvarint_write(.max, &buffer, buffer.count) == 0)
        #expect(buffer.allSatisfy { $0 == 0 })
    }

    @Test func noInputAtAll() {
        var value: UInt64 = 0
        var consumed = 0
        var header = 0
        #expect(cwire_uvarint_read(nil, 0, &value, &consumed) == CWIRE_TRUNCATED)
        #expect(cwire_frame_header_read(nil, 0, 10, &header, &consumed) == CWIRE_TRUNCATED)
    }

    @Test func frameAtTheMaximumAndOnePast() throws {
        for maximum in [0, 1, 127, 128, 4 << 20] {
            let fits = try encoded(size: cwire_frame_header_size(maximum)) {
                cwire_frame_header_write(maximum, $0, $1)
            }
            var header = 0
            var body = 0
            #expect(cwire_frame_header_read(fits, fits.count, maximum, &header, &body) == CWIRE_OK)
            #expect(header == fits.count)
            #expect(body == maximum)
            let over = try encoded(size: cwire_frame_header_size(maximum + 1)) {
                cwire_frame_header_write(maximum + 1, $0, $1)
            }
            #expect(
                cwire_frame_header_read(over, over.count, maximum, &header, &body) == CWIRE_LIMIT_FRAME_BYTES)
        }
    }

    @Test func everyStatusHasAText() {
        let codes: [UInt32] = Array(0...11) + Array(32...43)
        let texts = Set(codes.map { String(cString: cwire_status_text(cwire_status(rawValue: $0))) })
        #expect(texts.count == codes.count)
        #expect(!texts.contains("unknown status"))
        #expect(String(cString: cwire_status_text(cwire_status(rawValue: 12345))) == "unknown status")
    }
}
