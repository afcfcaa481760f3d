extension Array where Element == UInt8 {
    /// `withUnsafeBytes` that keeps the type of the error.
    @inline(__always)
    func withRawBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeBufferPointer { bytes throws(Failure) in try body(UnsafeRawBufferPointer(bytes)) }
    }
}

extension UnsafeRawBufferPointer {
    /// The start of the bytes as C wants it: never null, not even for none of them, when it must not be read.
    @inline(__always)
    func withBytePointer<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
        guard let base = baseAddress else { return withUnsafePointer(to: UInt8(0), body) }
        return body(base.assumingMemoryBound(to: UInt8.self))
    }
}
