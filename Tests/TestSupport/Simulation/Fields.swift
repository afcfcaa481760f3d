import NIOCore

/// Reads the fields of a protobuf message in place.
struct Fields {
    struct Field {
        enum Content {
            case number(UInt64)
            /// A place in the bytes that the reader was made over.
            case bytes(Range<Int>)
        }
        var number: UInt64
        var content: Content
    }

    private let bytes: UnsafeRawBufferPointer
    private var offset: Int
    private let end: Int
    private(set) var isMalformed = false

    init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
    }

    mutating func next() -> Field? {
        guard offset < end else { return nil }
        guard let tag = varint() else { return nil }
        switch tag & 7 {
        case 0:
            guard let value = varint() else { return nil }
            return Field(number: tag >> 3, content: .number(value))
        case 1: return skip(8, tag)
        case 5: return skip(4, tag)
        case 2:
            guard let length = varint(), length <= UInt64(end - offset) else { return fail() }
            let start = offset
            offset += Int(length)
            return Field(number: tag >> 3, content: .bytes(start..<offset))
        default: return fail()
        }
    }

    private mutating func skip(_ count: Int, _ tag: UInt64) -> Field? {
        guard end - offset >= count else { return fail() }
        let start = offset
        offset += count
        return Field(number: tag >> 3, content: .bytes(start..<offset))
    }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < end, shift < 64 {
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        isMalformed = true
        return nil
    }

    private mutating func fail() -> Field? {
        isMalformed = true
        offset = end
        return nil
    }

    /// Goes through the fields of the message in `frame`, behind its length. What is not exactly one message is an error.
    static func each(
        ofFrame frame: ByteBuffer, _ body: (Field, UnsafeRawBufferPointer) -> Void, onError: () -> Void
    ) {
        frame.withUnsafeReadableBytes { bytes in
            var prefix = Fields(bytes, 0..<bytes.count)
            guard let length = prefix.varint(), length == UInt64(bytes.count - prefix.offset) else { return onError() }
            let message = UnsafeRawBufferPointer(rebasing: bytes[prefix.offset...])
            var fields = Fields(message, 0..<message.count)
            while let field = fields.next() { body(field, message) }
            if fields.isMalformed { onError() }
        }
    }
}
