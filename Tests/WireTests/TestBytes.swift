import CWire

/// The bytes behind hexadecimal text; spaces are allowed.
func hex(_ text: String) -> [UInt8] {
    let digits = text.filter { !$0.isWhitespace }.compactMap { $0.hexDigitValue }
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// Copies the bytes into a heap block of exactly their size, so that Address Sanitizer sees every read past the end.
func withExactCopy<R>(_ bytes: [UInt8], _ body: (UnsafePointer<UInt8>, Int) throws -> R) rethrows -> R {
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
    defer { copy.deallocate() }
    copy.update(from: bytes, count: bytes.count)
    return try body(copy, bytes.count)
}

/// The bytes of a slice, or nil when the field is absent.
func array(_ bytes: cwire_bytes) -> [UInt8]? {
    bytes.data.map { Array(UnsafeBufferPointer(start: $0, count: bytes.length)) }
}

/// The output of a pair of `_size` and `_write`. Checks that nothing is written when one byte is missing, and that all
/// of it is when there is just room.
func encoded(
    size: Int, _ write: (UnsafeMutablePointer<UInt8>, Int) -> Int
) throws(WrongSize) -> [UInt8] {
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: max(size, 1))
    defer { buffer.deallocate() }
    buffer.update(repeating: 0xa5, count: max(size, 1))
    if size > 0 {
        let written = write(buffer, size - 1)
        guard written == 0, UnsafeBufferPointer(start: buffer, count: size).allSatisfy({ $0 == 0xa5 }) else {
            throw WrongSize(expected: 0, written: written)
        }
    }
    let written = write(buffer, size)
    guard written == size else { throw WrongSize(expected: size, written: written) }
    return Array(UnsafeBufferPointer(start: buffer, count: size))
}

struct WrongSize: Error {
    var expected: Int
    var written: Int
}
