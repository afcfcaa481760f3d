import Multiformats
import TestSupport

extension SplitMix64 {
    /// A number with any count of bits, so that short varints come up as often as long ones.
    mutating func code() -> UInt64 {
        next() >> UInt64.random(in: 1...63, using: &self)
    }
}

extension [UInt8] {
    /// From hexadecimal, without any of the code under test.
    init(hex: String) {
        let digits = hex.compactMap(\.hexDigitValue)
        self = stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}

/// The code of the error that `body` throws, nil if it throws none.
func errorCode<R>(_ body: () throws(MultiformatsError) -> R) -> MultiformatsError.Code? {
    do {
        _ = try body()
        return nil
    } catch {
        return error.code
    }
}

extension UVarint {
    static func encode(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        encode(value, into: &bytes)
        return bytes
    }

    static func decode(_ bytes: [UInt8]) throws(MultiformatsError) -> (value: UInt64, length: Int) {
        try bytes.withUnsafeBufferPointer { (bytes) throws(MultiformatsError) in
            try decode(UnsafeRawBufferPointer(bytes))
        }
    }
}
