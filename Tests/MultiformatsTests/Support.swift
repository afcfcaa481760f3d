import Multiformats

/// A small random number generator whose seed makes a failure repeatable.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    /// A number with any count of bits, so that short varints come up as often as long ones.
    mutating func code() -> UInt64 {
        next() >> UInt64.random(in: 1...63, using: &self)
    }

    /// `bytes` with one to three bytes changed, taken out or put in.
    mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &self) {
            let index = Int.random(in: 0...bytes.count, using: &self)
            switch next() % 3 {
            case 0 where index < bytes.count: bytes[index] = UInt8(truncatingIfNeeded: next())
            case 1 where index < bytes.count: bytes.remove(at: index)
            default: bytes.insert(UInt8(truncatingIfNeeded: next()), at: index)
            }
        }
        return bytes
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
