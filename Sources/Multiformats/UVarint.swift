/// The unsigned varint of the multiformats: little-endian groups of 7 bits, at most 9 bytes (so values below 2^63), and
/// only in the shortest form.
///
/// Specification: https://github.com/multiformats/unsigned-varint
public enum UVarint {
    /// The most bytes a varint may have.
    public static let maximumLength = 9

    /// The largest value that fits.
    public static let maximumValue = UInt64(Int64.max)

    /// Appends `value`. A value above ``maximumValue`` takes 10 bytes, which no reader accepts.
    public static func encode(_ value: UInt64, into bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// How many bytes ``encode(_:into:)`` appends.
    public static func encodedLength(_ value: UInt64) -> Int {
        value < 0x80 ? 1 : (70 - value.leadingZeroBitCount) / 7
    }

    /// Reads the varint at the start of `bytes`, whatever follows it.
    /// - Throws: `truncated`, `invalidVarint`.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer
    ) throws(MultiformatsError) -> (value: UInt64, length: Int) {
        if let first = bytes.first, first < 0x80 {
            return (UInt64(first), 1)
        }
        var value: UInt64 = 0
        for index in 0..<min(bytes.count, maximumLength) {
            let byte = bytes[index]
            value |= UInt64(byte & 0x7f) << UInt64(7 * index)
            if byte < 0x80 {
                guard byte != 0 else {
                    throw MultiformatsError(
                        code: .invalidVarint, message: "a varint of \(index + 1) bytes is not in its shortest form")
                }
                return (value, index + 1)
            }
        }
        if bytes.count >= maximumLength {
            throw MultiformatsError(code: .invalidVarint, message: "a varint is longer than \(maximumLength) bytes")
        }
        throw MultiformatsError(code: .truncated, message: "the input ends within a varint")
    }

    /// Writes `value` at `offset` and returns the offset behind it. The caller has made sure that it fits.
    @usableFromInline
    static func write(_ value: UInt64, to buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        var rest = value
        var offset = offset
        while rest >= 0x80 {
            buffer[offset] = UInt8(truncatingIfNeeded: rest) | 0x80
            rest >>= 7
            offset += 1
        }
        buffer[offset] = UInt8(truncatingIfNeeded: rest)
        return offset + 1
    }
}
