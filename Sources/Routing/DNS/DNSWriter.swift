extension DNSMessage {
    /// The message as it goes over the wire, with the ends of names written once.
    var bytes: [UInt8] {
        var writer = DNSWriter()
        for value in [id, flags] { writer.word(value) }
        for count in [questions.count, answers.count, 0, additionals.count] { writer.word(UInt16(clamping: count)) }
        for question in questions { writer.question(question) }
        for record in answers { writer.record(record) }
        for record in additionals { writer.record(record) }
        return writer.bytes
    }
}

private struct DNSWriter {
    private(set) var bytes: [UInt8] = []
    /// Where ends of names are.
    private var written: [ArraySlice<UInt8>: Int] = [:]

    private static let internet: UInt16 = 1
    private static let topBit: UInt16 = 0x8000
    /// A pointer has 14 bits.
    private static let reach = 0x3FFF

    mutating func word(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }

    private mutating func long(_ value: UInt32) {
        word(UInt16(value >> 16))
        word(UInt16(truncatingIfNeeded: value))
    }

    mutating func question(_ question: DNSQuestion) {
        name(question.name)
        word(question.type.rawValue)
        word(Self.internet | (question.wantsUnicast ? Self.topBit : 0))
    }

    mutating func record(_ record: DNSRecord) {
        name(record.name)
        word(record.type.rawValue)
        word(Self.internet | (record.replacesOthers ? Self.topBit : 0))
        long(record.lifetime)
        let lengthPosition = bytes.count
        word(0)
        switch record.content {
        case .pointer(let target): name(target)
        case .text(let strings):
            for string in strings {
                let kept = string.prefix(255)
                bytes.append(UInt8(kept.count))
                bytes += kept
            }
        case .service(let port, let host):
            long(0)
            word(port)
            name(host)
        case .ip4(let address): long(address)
        case .ip6(let high, let low):
            for half in [high, low] {
                long(UInt32(half >> 32))
                long(UInt32(truncatingIfNeeded: half))
            }
        case .other: break
        }
        let length = UInt16(clamping: bytes.count - lengthPosition - 2)
        bytes[lengthPosition] = UInt8(length >> 8)
        bytes[lengthPosition + 1] = UInt8(truncatingIfNeeded: length)
    }

    private mutating func name(_ name: DNSName) {
        var rest = name.wire[...]
        while let length = rest.first, length > 0 {
            if let position = written[rest] {
                word(0xC000 | UInt16(position))
                return
            }
            if bytes.count <= Self.reach { written[rest] = bytes.count }
            bytes += rest.prefix(Int(length) + 1)
            rest = rest.dropFirst(Int(length) + 1)
        }
        bytes.append(0)
    }
}
