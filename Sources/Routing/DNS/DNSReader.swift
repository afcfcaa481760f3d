extension DNSMessage {
    /// Reads a message. Never traps, and takes time and memory in proportion to the bytes.
    init(_ bytes: [UInt8], limits: DNSLimits = DNSLimits()) throws(DNSError) {
        guard bytes.count <= limits.messageBytes else { throw .tooMany }
        var reader = DNSReader(bytes)
        id = try reader.word()
        flags = try reader.word()
        let questionCount = Int(try reader.word())
        let answerCount = Int(try reader.word())
        let authorityCount = Int(try reader.word())
        let additionalCount = Int(try reader.word())
        guard questionCount <= limits.questions,
            answerCount + authorityCount + additionalCount <= limits.records
        else { throw .tooMany }
        for _ in 0..<questionCount { questions.append(try reader.question()) }
        for _ in 0..<answerCount { answers.append(try reader.record()) }
        // Somebody else's claims to a name: of no use here.
        for _ in 0..<authorityCount { _ = try reader.record() }
        for _ in 0..<additionalCount { additionals.append(try reader.record()) }
    }
}

/// Reads the parts of a message one after the other. Every position is checked before it is used.
private struct DNSReader {
    private let bytes: [UInt8]
    private var position = 0

    private static let topBit: UInt16 = 0x8000
    /// Pieces of a name that are written elsewhere.
    private static let mostJumps = 16

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func byte() throws(DNSError) -> UInt8 {
        guard position < bytes.count else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func word() throws(DNSError) -> UInt16 {
        let high = UInt16(try byte())
        return high << 8 | UInt16(try byte())
    }

    private mutating func long() throws(DNSError) -> UInt32 {
        let high = UInt32(try word())
        return high << 16 | UInt32(try word())
    }

    private mutating func quad() throws(DNSError) -> UInt64 {
        let high = UInt64(try long())
        return high << 32 | UInt64(try long())
    }

    private mutating func bytes(_ count: Int) throws(DNSError) -> ArraySlice<UInt8> {
        guard count <= bytes.count - position else { throw .truncated }
        defer { position += count }
        return bytes[position..<position + count]
    }

    mutating func question() throws(DNSError) -> DNSQuestion {
        let name = try name()
        let type = DNSType(rawValue: try word())
        return DNSQuestion(name: name, type: type, wantsUnicast: try word() & Self.topBit != 0)
    }

    mutating func record() throws(DNSError) -> DNSRecord {
        let name = try name()
        let type = DNSType(rawValue: try word())
        let replacesOthers = try word() & Self.topBit != 0
        let lifetime = try long()
        let length = Int(try word())
        guard length <= bytes.count - position else { throw .truncated }
        let end = position + length
        let content = try content(type, end: end)
        guard position == end else { throw .invalidRecord }
        return DNSRecord(name: name, type: type, replacesOthers: replacesOthers, lifetime: lifetime, content: content)
    }

    private mutating func content(_ type: DNSType, end: Int) throws(DNSError) -> DNSRecord.Content {
        switch type {
        case .pointer: return .pointer(try name())
        case .text:
            var strings: [[UInt8]] = []
            while position < end {
                let length = Int(try byte())
                guard length <= end - position else { throw .invalidRecord }
                strings.append(Array(try bytes(length)))
            }
            return .text(strings)
        case .service:
            _ = try long()  // priority and weight
            let port = try word()
            return .service(port: port, host: try name())
        case .ip4:
            guard end - position == 4 else { throw .invalidRecord }
            return .ip4(try long())
        case .ip6:
            guard end - position == 16 else { throw .invalidRecord }
            let high = try quad()
            return .ip6(high: high, low: try quad())
        default:
            _ = try bytes(end - position)
            return .other
        }
    }

    /// A name, whose end may be written elsewhere, before it (RFC 1035, section 4.1.4).
    private mutating func name() throws(DNSError) -> DNSName {
        var wire: [UInt8] = []
        var next = position
        /// Each jump must lead further back than all before, and there are few, so that there is an end, and soon.
        var earliest = position
        var jumps = 0
        var end: Int?
        while true {
            guard next < bytes.count else { throw .truncated }
            let length = bytes[next]
            switch length & 0xC0 {
            case 0x00:
                guard wire.count + Int(length) + 1 + (length > 0 ? 1 : 0) <= DNSName.longestName else {
                    throw .invalidName
                }
                guard Int(length) < bytes.count - next else { throw .truncated }
                wire.append(length)
                if length == 0 {
                    position = end ?? next + 1
                    return DNSName(checked: wire)
                }
                wire += bytes[next + 1..<next + 1 + Int(length)].lazy.map(DNSName.lowercase)
                next += 1 + Int(length)
            case 0xC0:
                guard next + 1 < bytes.count else { throw .truncated }
                let target = Int(length & 0x3F) << 8 | Int(bytes[next + 1])
                jumps += 1
                guard target < earliest, jumps <= Self.mostJumps else { throw .invalidName }
                end = end ?? next + 2
                earliest = target
                next = target
            default:
                throw .invalidName
            }
        }
    }
}
