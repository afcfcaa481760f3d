extension Multiaddr {
    /// An IPv4 address.
    public struct IPv4: Hashable, Sendable, CustomStringConvertible {
        /// The address as a number: 127.0.0.1 is 0x7f000001.
        public let rawValue: UInt32

        public init(rawValue: UInt32) { self.rawValue = rawValue }

        public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
            rawValue = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
        }

        /// Reads four decimal numbers, without leading zeros (which some read as octal); nil if the text is not that.
        public init?(_ text: some StringProtocol) {
            self.init(utf8: Array(text.utf8)[...])
        }

        init?(utf8 text: ArraySlice<UInt8>) {
            let parts = text.split(separator: UInt8(ascii: "."), maxSplits: 4, omittingEmptySubsequences: false)
            guard parts.count == 4 else { return nil }
            var value: UInt32 = 0
            for part in parts {
                guard let byte = decimal(part, maximum: 255), part.count == 1 || part.first != UInt8(ascii: "0") else {
                    return nil
                }
                value = value << 8 | UInt32(byte)
            }
            rawValue = value
        }

        /// The four bytes, most significant first.
        public var bytes: [UInt8] { withUnsafeBytes(of: rawValue.bigEndian) { Array($0) } }

        /// The dotted form.
        public var description: String {
            "\(rawValue >> 24).\(rawValue >> 16 & 0xff).\(rawValue >> 8 & 0xff).\(rawValue & 0xff)"
        }

        public static let any = IPv4(rawValue: 0)
        public static let loopback = IPv4(127, 0, 0, 1)
    }

    /// An IPv6 address, without zone.
    public struct IPv6: Hashable, Sendable, CustomStringConvertible {
        /// The first and the last 64 bits.
        public let high: UInt64
        public let low: UInt64

        public init(high: UInt64, low: UInt64) {
            self.high = high
            self.low = low
        }

        /// Reads every form of RFC 4291, section 2.2: full, with `::`, and with an IPv4 address at the end; nil if the
        /// text is none of them.
        public init?(_ text: some StringProtocol) {
            self.init(utf8: Array(text.utf8)[...])
        }

        init?(utf8 text: ArraySlice<UInt8>) {
            // The longest form is 45 characters.
            guard text.count <= 45 else { return nil }
            let colon = UInt8(ascii: ":")
            var head: [UInt16] = []
            var tail: [UInt16] = []
            var compressed = false
            var rest = text
            if rest.first == colon {
                guard rest.starts(with: "::".utf8) else { return nil }
                compressed = true
                rest = rest.dropFirst(2)
            }
            while !rest.isEmpty {
                let group = rest.prefix { $0 != colon }
                rest = rest[group.endIndex...]
                var numbers: [UInt16]
                if rest.isEmpty, group.contains(UInt8(ascii: ".")) {
                    guard let address = IPv4(utf8: group) else { return nil }
                    numbers = [UInt16(address.rawValue >> 16), UInt16(truncatingIfNeeded: address.rawValue)]
                } else {
                    guard let number = hexadecimalGroup(group) else { return nil }
                    numbers = [number]
                }
                if compressed { tail += numbers } else { head += numbers }
                if rest.isEmpty { break }
                rest = rest.dropFirst()
                if rest.first == colon {
                    guard !compressed else { return nil }
                    compressed = true
                    rest = rest.dropFirst()
                } else if rest.isEmpty {
                    return nil
                }
            }
            let count = head.count + tail.count
            // `::` stands for at least one group.
            guard compressed ? count <= 7 : count == 8 else { return nil }
            let groups = head + [UInt16](repeating: 0, count: 8 - count) + tail
            high = groups[..<4].reduce(0) { $0 << 16 | UInt64($1) }
            low = groups[4...].reduce(0) { $0 << 16 | UInt64($1) }
        }

        /// The sixteen bytes, most significant first.
        public var bytes: [UInt8] { withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { Array($0) } }

        /// The form of RFC 5952: lower case, the longest run of zeros as `::`, a mapped IPv4 address in dots.
        public var description: String {
            if high == 0, low >> 32 == 0xffff {
                return "::ffff:\(IPv4(rawValue: UInt32(truncatingIfNeeded: low)))"
            }
            let groups = (0..<8).map { index in
                UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - index % 4 * 16))
            }
            var longest = 0..<0
            var start = 0
            while start < 8 {
                var end = start
                while end < 8, groups[end] == 0 { end += 1 }
                if end - start > longest.count { longest = start..<end }
                start = end + 1
            }
            func text(_ groups: ArraySlice<UInt16>) -> String {
                groups.map { String($0, radix: 16) }.joined(separator: ":")
            }
            guard longest.count >= 2 else { return text(groups[...]) }
            return text(groups[..<longest.lowerBound]) + "::" + text(groups[longest.upperBound...])
        }

        public static let any = IPv6(high: 0, low: 0)
        public static let loopback = IPv6(high: 0, low: 1)
    }
}

/// A decimal number of plain digits; nil for anything else, or one above `maximum`.
func decimal(_ text: ArraySlice<UInt8>, maximum: Int) -> Int? {
    guard !text.isEmpty, text.count <= 5 else { return nil }
    var value = 0
    for character in text {
        guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= character else { return nil }
        value = value * 10 + Int(character - UInt8(ascii: "0"))
    }
    return value <= maximum ? value : nil
}

/// One to four hexadecimal digits.
private func hexadecimalGroup(_ text: ArraySlice<UInt8>) -> UInt16? {
    guard 1...4 ~= text.count else { return nil }
    var value: UInt16 = 0
    for character in text {
        let digit: UInt8
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = character - UInt8(ascii: "A") + 10
        default: return nil
        }
        value = value << 4 | UInt16(digit)
    }
    return value
}
