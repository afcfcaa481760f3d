/// The bases of RFC 4648: each character stands for a fixed number of bits.
struct BitScheme: Sendable {
    private let alphabet: [UInt8]
    private let values: [UInt8]
    private let bitsPerCharacter: Int
    /// With padding, the number of characters that a text is filled up to a multiple of; otherwise 1.
    private let group: Int

    private static let padding = UInt8(ascii: "=")

    private init(_ alphabet: StaticString, bits: Int, anyCase: Bool, group: Int = 1) {
        self.alphabet = Array(alphabet.description.utf8)
        self.values = characterValues(of: self.alphabet, anyCase: anyCase)
        self.bitsPerCharacter = bits
        self.group = group
    }

    func encode(_ bytes: UnsafeRawBufferPointer, prefix: UInt8?) -> String {
        let characters = (bytes.count * 8 + bitsPerCharacter - 1) / bitsPerCharacter
        let padded = (characters + group - 1) / group * group
        let start = prefix == nil ? 0 : 1
        return String(unsafeUninitializedCapacity: start + padded) { text in
            if let prefix { text[0] = prefix }
            let mask = (1 << bitsPerCharacter) - 1
            var position = start
            var bits = 0
            var bitCount = 0
            for byte in bytes {
                bits = (bits & 0xff) << 8 | Int(byte)
                bitCount += 8
                while bitCount >= bitsPerCharacter {
                    bitCount -= bitsPerCharacter
                    text[position] = alphabet[bits >> bitCount & mask]
                    position += 1
                }
            }
            if bitCount > 0 {
                text[position] = alphabet[bits << (bitsPerCharacter - bitCount) & mask]
                position += 1
            }
            while position < start + padded {
                text[position] = Self.padding
                position += 1
            }
            return position
        }
    }

    func decode(_ text: ArraySlice<UInt8>, name: String) throws(MultiformatsError) -> [UInt8] {
        var text = text
        var padding = 0
        if group > 1 {
            guard text.count % group == 0 else {
                throw Self.error("the length of a text in \(name) must be a multiple of \(group)")
            }
            while padding < group, text.last == Self.padding {
                text.removeLast()
                padding += 1
            }
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count * bitsPerCharacter / 8)
        var bits = 0
        var bitCount = 0
        for character in text {
            let value = values[Int(character)]
            guard value != characterWithoutValue else {
                throw Self.error("\(quoted(utf8: text)) has a character that is none of \(name)")
            }
            bits = (bits & 0xff) << bitsPerCharacter | Int(value)
            bitCount += bitsPerCharacter
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> bitCount))
            }
        }
        // A last character that no byte needs, padding that no byte needs, or bits that say nothing would give one
        // value several texts.
        guard bitCount < bitsPerCharacter, padding < group else {
            throw Self.error("a text in \(name) cannot have \(text.count) characters")
        }
        guard bits & ((1 << bitCount) - 1) == 0 else {
            throw Self.error("the last character of a text in \(name) has bits that belong to no byte")
        }
        return bytes
    }

    private static func error(_ message: String) -> MultiformatsError {
        MultiformatsError(code: .invalidText, message: message)
    }

    static let base16 = BitScheme("0123456789abcdef", bits: 4, anyCase: true)
    static let base16Upper = BitScheme("0123456789ABCDEF", bits: 4, anyCase: true)
    static let base32 = BitScheme("abcdefghijklmnopqrstuvwxyz234567", bits: 5, anyCase: true)
    static let base32Upper = BitScheme("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", bits: 5, anyCase: true)
    static let base32Pad = BitScheme("abcdefghijklmnopqrstuvwxyz234567", bits: 5, anyCase: true, group: 8)
    static let base32PadUpper = BitScheme("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", bits: 5, anyCase: true, group: 8)
    static let base32Hex = BitScheme("0123456789abcdefghijklmnopqrstuv", bits: 5, anyCase: true)
    static let base32HexUpper = BitScheme("0123456789ABCDEFGHIJKLMNOPQRSTUV", bits: 5, anyCase: true)
    static let base32HexPad = BitScheme("0123456789abcdefghijklmnopqrstuv", bits: 5, anyCase: true, group: 8)
    static let base32HexPadUpper = BitScheme("0123456789ABCDEFGHIJKLMNOPQRSTUV", bits: 5, anyCase: true, group: 8)
    static let base64 = BitScheme(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", bits: 6, anyCase: false)
    static let base64Pad = BitScheme(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", bits: 6, anyCase: false, group: 4)
    static let base64URL = BitScheme(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", bits: 6, anyCase: false)
    static let base64URLPad = BitScheme(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", bits: 6, anyCase: false, group: 4)
}

/// What a byte that is no character of an alphabet maps to.
let characterWithoutValue: UInt8 = 0xff

/// The value of each of the 256 bytes in an alphabet.
func characterValues(of alphabet: [UInt8], anyCase: Bool) -> [UInt8] {
    var values = [UInt8](repeating: characterWithoutValue, count: 256)
    for (value, character) in alphabet.enumerated() {
        values[Int(character)] = UInt8(value)
        if anyCase, character >= UInt8(ascii: "A") {
            values[Int(character ^ 0x20)] = UInt8(value)
        }
    }
    return values
}
