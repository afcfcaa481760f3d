/// Reads a buffer front to back; what is not there is an error, never a trap.
struct ByteReader {
    let buffer: UnsafeRawBufferPointer
    private(set) var offset = 0

    init(_ buffer: UnsafeRawBufferPointer) { self.buffer = buffer }

    var remaining: Int { buffer.count - offset }
    var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[offset...]) }

    mutating func varint() throws(MultiformatsError) -> UInt64 {
        let (value, length) = try UVarint.decode(rest)
        offset += length
        return value
    }

    /// A varint that counts bytes, held against `limit`.
    mutating func length(limit: Int, of what: StaticString) throws(MultiformatsError) -> Int {
        let value = try varint()
        guard value <= UInt64(limit) else {
            throw MultiformatsError(
                code: .limitExceeded, message: "\(what) of \(value) bytes; the limit is \(limit)")
        }
        return Int(value)
    }

    mutating func bytes(_ count: Int, of what: StaticString) throws(MultiformatsError) -> UnsafeRawBufferPointer {
        guard count <= remaining else {
            throw MultiformatsError(
                code: .truncated, message: "\(what) should have \(count) bytes, but only \(remaining) are left")
        }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: buffer[offset..<offset + count])
    }

    func finish(_ what: StaticString) throws(MultiformatsError) {
        guard remaining == 0 else {
            throw MultiformatsError(
                code: .trailingBytes, message: "\(what) is followed by \(remaining) bytes that do not belong to it")
        }
    }
}

/// Runs `body` over the bytes of any sequence, without a copy where they lie in one piece.
func withContiguousBytes<R>(
    _ bytes: some Sequence<UInt8>, _ body: (UnsafeRawBufferPointer) throws(MultiformatsError) -> R
) throws(MultiformatsError) -> R {
    let direct = bytes.withContiguousStorageIfAvailable { buffer -> Result<R, MultiformatsError> in
        Result { () throws(MultiformatsError) -> R in try body(UnsafeRawBufferPointer(buffer)) }
    }
    if let direct { return try direct.get() }
    return try Array(bytes).withUnsafeBufferPointer { (buffer) throws(MultiformatsError) -> R in
        try body(UnsafeRawBufferPointer(buffer))
    }
}
