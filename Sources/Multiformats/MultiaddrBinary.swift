extension Multiaddr {
    /// Reads the binary form that is the whole of `bytes`.
    /// - Throws: `unknownProtocol`, naming the code, for a protocol that is not known here: its length cannot be known
    ///   either, so nothing behind it can be read.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(MultiformatsError) {
        try Self.checkLength(bytes.count)
        var reader = ByteReader(bytes)
        var components: [Component] = []
        while reader.remaining > 0 {
            components.append(try Component(from: &reader))
        }
        try self.init(components)
    }

    /// Reads the binary form that is the whole of `bytes`.
    public init(bytes: some Sequence<UInt8>) throws(MultiformatsError) {
        self = try withContiguousBytes(bytes) { (bytes) throws(MultiformatsError) in try Multiaddr(decoding: bytes) }
    }

    /// The binary form.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(components.reduce(0) { $0 + $1.byteCount })
        for component in components { component.encode(into: &bytes) }
        return bytes
    }
}

extension Multiaddr.Component {
    init(from reader: inout ByteReader) throws(MultiformatsError) {
        let code = try reader.varint()
        switch code {
        case 4:
            let bytes = try reader.bytes(4, of: "/ip4")
            self = .ip4(.init(rawValue: UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))))
        case 6: self = .tcp(try Self.port(from: &reader, of: "/tcp"))
        case 41:
            let bytes = try reader.bytes(16, of: "/ip6")
            self = .ip6(
                .init(
                    high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                    low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))))
        case 42: self = .ip6zone(try Self.text(from: &reader, of: "/ip6zone"))
        case 53: self = .dns(try Self.text(from: &reader, of: "/dns"))
        case 54: self = .dns4(try Self.text(from: &reader, of: "/dns4"))
        case 55: self = .dns6(try Self.text(from: &reader, of: "/dns6"))
        case 56: self = .dnsaddr(try Self.text(from: &reader, of: "/dnsaddr"))
        case 273: self = .udp(try Self.port(from: &reader, of: "/udp"))
        case 280: self = .webrtcDirect
        case 281: self = .webrtc
        case 290: self = .p2pCircuit
        case 400: self = .unix(try Self.text(from: &reader, of: "/unix"))
        case 421: self = .p2p(try Multihash(decoding: Self.value(from: &reader, of: "/p2p")))
        case 443: self = .https
        case 448: self = .tls
        case 449: self = .sni(try Self.text(from: &reader, of: "/sni"))
        case 454: self = .noise
        case 460: self = .quic
        case 461: self = .quicV1
        case 465: self = .webtransport
        case 466: self = .certhash(try Multihash(decoding: Self.value(from: &reader, of: "/certhash")))
        case 477: self = .ws
        case 478: self = .wss
        case 480: self = .http
        default:
            throw MultiformatsError(
                code: .unknownProtocol, message: "the multiaddr protocol with code \(code) is not known")
        }
    }

    private static func port(from reader: inout ByteReader, of name: StaticString) throws(MultiformatsError) -> UInt16 {
        UInt16(bigEndian: try reader.bytes(2, of: name).loadUnaligned(as: UInt16.self))
    }

    private static func value(
        from reader: inout ByteReader, of name: StaticString
    ) throws(MultiformatsError) -> UnsafeRawBufferPointer {
        let length = try reader.length(limit: MultiformatsLimits.multiaddrLength, of: name)
        return try reader.bytes(length, of: name)
    }

    private static func text(
        from reader: inout ByteReader, of name: StaticString
    ) throws(MultiformatsError) -> String {
        let bytes = try value(from: &reader, of: name)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw MultiformatsError(code: .invalidAddress, message: "the value of \(name) is not UTF-8")
        }
        return text
    }

    /// Bytes in the binary form.
    var byteCount: Int {
        let value =
            switch self {
            case .ip4: 4
            case .ip6: 16
            case .tcp, .udp: 2
            case .ip6zone(let text), .dns(let text), .dns4(let text), .dns6(let text), .dnsaddr(let text),
                .sni(let text), .unix(let text):
                Self.prefixed(text.utf8.count)
            case .p2p(let hash), .certhash(let hash): Self.prefixed(hash.byteCount)
            case .quic, .quicV1, .webtransport, .webrtc, .webrtcDirect, .tls, .noise, .ws, .wss, .http, .https,
                .p2pCircuit:
                0
            }
        return UVarint.encodedLength(code) + value
    }

    private static func prefixed(_ length: Int) -> Int {
        UVarint.encodedLength(UInt64(length)) + length
    }

    fileprivate func encode(into bytes: inout [UInt8]) {
        UVarint.encode(code, into: &bytes)
        switch self {
        case .ip4(let address): bytes += address.bytes
        case .ip6(let address): bytes += address.bytes
        case .tcp(let port), .udp(let port):
            bytes.append(UInt8(truncatingIfNeeded: port >> 8))
            bytes.append(UInt8(truncatingIfNeeded: port))
        case .ip6zone(let text), .dns(let text), .dns4(let text), .dns6(let text), .dnsaddr(let text),
            .sni(let text), .unix(let text):
            UVarint.encode(UInt64(text.utf8.count), into: &bytes)
            bytes += text.utf8
        case .p2p(let hash), .certhash(let hash):
            UVarint.encode(UInt64(hash.byteCount), into: &bytes)
            bytes += hash.bytes
        case .quic, .quicV1, .webtransport, .webrtc, .webrtcDirect, .tls, .noise, .ws, .wss, .http, .https,
            .p2pCircuit:
            break
        }
    }
}
