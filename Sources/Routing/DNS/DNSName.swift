/// A domain name: labels of 1 to 63 bytes, at most 255 bytes on the wire (RFC 1035, section 3.1).
///
/// Names are the same whatever the case of their ASCII letters, so these are kept in lower case.
struct DNSName: Hashable, Sendable, CustomStringConvertible {
    /// A length and so many bytes for each label, and a zero at the end.
    let wire: [UInt8]

    static let longestLabel = 63
    static let longestName = 255

    /// Nil for labels that are empty or too long, and for too many of them.
    init?(labels: [[UInt8]]) {
        var wire: [UInt8] = []
        for label in labels {
            guard (1...Self.longestLabel).contains(label.count) else { return nil }
            wire.append(UInt8(label.count))
            wire += label.lazy.map(Self.lowercase)
        }
        wire.append(0)
        guard wire.count <= Self.longestName else { return nil }
        self.wire = wire
    }

    /// Nil for a text that is no name; dots separate labels, and none is at the end.
    init?(_ text: some StringProtocol) {
        self.init(
            labels: text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map { Array($0) })
    }

    /// For what a reader has checked and put into lower case.
    init(checked wire: [UInt8]) { self.wire = wire }

    /// This name with a label in front; nil when that is too long.
    func prefixed(by label: [UInt8]) -> DNSName? {
        let length = label.count + 1 + wire.count
        guard (1...Self.longestLabel).contains(label.count), length <= Self.longestName else { return nil }
        return DNSName(checked: [UInt8(label.count)] + label.map(Self.lowercase) + wire)
    }

    /// Whether this is the other name with one label in front.
    func isChild(of parent: DNSName) -> Bool {
        guard let first = wire.first, first > 0 else { return false }
        return wire.dropFirst(Int(first) + 1).elementsEqual(parent.wire)
    }

    var labels: [ArraySlice<UInt8>] {
        var labels: [ArraySlice<UInt8>] = []
        var rest = wire[...]
        while let length = rest.popFirst(), length > 0 {
            labels.append(rest.prefix(Int(length)))
            rest = rest.dropFirst(Int(length))
        }
        return labels
    }

    var description: String { labels.map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".") }

    static func lowercase(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}
