/// The bases that read the bytes as one large number: base36 and base58. Leading zero bytes become leading zero
/// characters, one each.
struct PositionalScheme: Sendable {
    private let alphabet: [UInt8]
    private let values: [UInt8]
    /// Characters are handled in chunks of as many as fit 32 bits.
    private let chunkLength: Int
    private let chunkFactor: UInt64

    private init(_ alphabet: StaticString, anyCase: Bool) {
        self.alphabet = Array(alphabet.description.utf8)
        self.values = characterValues(of: self.alphabet, anyCase: anyCase)
        let base = UInt64(self.alphabet.count)
        var length = 1
        var factor = base
        while factor * base <= UInt64(UInt32.max) {
            factor *= base
            length += 1
        }
        self.chunkLength = length
        self.chunkFactor = factor
    }

    func encode(_ bytes: UnsafeRawBufferPointer, prefix: UInt8?) -> String {
        let zeros = bytes.prefix { $0 == 0 }.count
        // The number as 32-bit digits, most significant first; the first takes what is left over of the bytes.
        var digits: [UInt32] = []
        digits.reserveCapacity((bytes.count - zeros + 3) / 4)
        var digit: UInt32 = 0
        var missing = (bytes.count - zeros) % 4
        if missing == 0 { missing = 4 }
        for byte in bytes[zeros...] {
            digit = digit << 8 | UInt32(byte)
            missing -= 1
            if missing == 0 {
                digits.append(digit)
                digit = 0
                missing = 4
            }
        }

        var reversed: [UInt8] = []
        reversed.reserveCapacity((bytes.count - zeros) * 8 / 5 + chunkLength + zeros + 1)
        let base = UInt64(alphabet.count)
        var first = 0
        while first < digits.count {
            var remainder: UInt64 = 0
            for index in first..<digits.count {
                let value = remainder << 32 | UInt64(digits[index])
                digits[index] = UInt32(truncatingIfNeeded: value / chunkFactor)
                remainder = value % chunkFactor
            }
            while first < digits.count, digits[first] == 0 { first += 1 }
            for _ in 0..<chunkLength {
                reversed.append(alphabet[Int(remainder % base)])
                remainder /= base
            }
        }
        while let last = reversed.last, last == alphabet[0] { reversed.removeLast() }
        reversed.append(contentsOf: repeatElement(alphabet[0], count: zeros))
        if let prefix { reversed.append(prefix) }
        return String(decoding: reversed.reversed(), as: UTF8.self)
    }

    func decode(_ text: ArraySlice<UInt8>, name: String) throws(MultiformatsError) -> [UInt8] {
        guard text.count <= MultiformatsLimits.positionalTextLength else {
            throw MultiformatsError(
                code: .limitExceeded,
                message: "a text of \(text.count) characters in \(name); "
                    + "the limit is \(MultiformatsLimits.positionalTextLength)")
        }
        let zeros = text.prefix { $0 == alphabet[0] }.count
        // The number as 32-bit digits, least significant first.
        var digits: [UInt32] = []
        digits.reserveCapacity(text.count * 6 / 32 + 1)
        let base = UInt64(alphabet.count)
        var position = text.startIndex + zeros
        while position < text.endIndex {
            let end = min(position + chunkLength, text.endIndex)
            var carry: UInt64 = 0
            var factor: UInt64 = 1
            while position < end {
                let value = values[Int(text[position])]
                guard value != characterWithoutValue else {
                    throw MultiformatsError(
                        code: .invalidText, message: "\(quoted(utf8: text)) has a character that is none of \(name)")
                }
                carry = carry * base + UInt64(value)
                factor *= base
                position += 1
            }
            for index in digits.indices {
                carry += UInt64(digits[index]) * factor
                digits[index] = UInt32(truncatingIfNeeded: carry)
                carry >>= 32
            }
            if carry > 0 { digits.append(UInt32(truncatingIfNeeded: carry)) }
        }

        var bytes = [UInt8](repeating: 0, count: zeros)
        bytes.reserveCapacity(zeros + digits.count * 4)
        var leading = true
        for digit in digits.reversed() {
            for shift in [24, 16, 8, 0] as [UInt32] {
                let byte = UInt8(truncatingIfNeeded: digit >> shift)
                if leading, byte == 0 { continue }
                leading = false
                bytes.append(byte)
            }
        }
        return bytes
    }

    static let base36 = PositionalScheme("0123456789abcdefghijklmnopqrstuvwxyz", anyCase: true)
    static let base36Upper = PositionalScheme("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", anyCase: true)
    static let base58btc = PositionalScheme(
        "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", anyCase: false)
}
