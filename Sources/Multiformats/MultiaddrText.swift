extension Multiaddr {
    /// Reads the text form. Slashes at the end are ignored, and `/ipfs/` is read as `/p2p/`.
    /// - Throws: `limitExceeded`, `unknownProtocol`, `invalidAddress`; for a value of `/p2p` or `/certhash` also what
    ///   reading a ``CID`` from text throws.
    public init(_ text: some StringProtocol) throws(MultiformatsError) {
        guard text.utf8.count <= MultiformatsLimits.multiaddrTextLength else {
            throw MultiformatsError(
                code: .limitExceeded,
                message: "a multiaddr of \(text.utf8.count) characters; the limit is "
                    + "\(MultiformatsLimits.multiaddrTextLength)")
        }
        do {
            try self.init(Self.components(of: Array(text.utf8)[...]))
        } catch {
            throw MultiformatsError(code: error.code, message: "\(quoted(text)) is not a multiaddr: \(error.message)")
        }
    }

    private static func components(of text: ArraySlice<UInt8>) throws(MultiformatsError) -> [Component] {
        let slash = UInt8(ascii: "/")
        guard text.first == slash else {
            throw MultiformatsError(code: .invalidAddress, message: "it must start with a slash")
        }
        var rest = text
        while rest.last == slash { rest.removeLast() }
        var components: [Component] = []
        while !rest.isEmpty {
            rest = rest.dropFirst()
            let name = rest.prefix { $0 != slash }
            rest = rest[name.endIndex...]
            if let component = Component(nameWithoutValue: String(decoding: name, as: UTF8.self)) {
                components.append(component)
                continue
            }
            let value: ArraySlice<UInt8>
            if name.elementsEqual("unix".utf8) {
                value = rest
                rest = rest[rest.endIndex...]
            } else {
                value = rest.dropFirst().prefix { $0 != slash }
                rest = rest[value.endIndex...]
            }
            components.append(
                try Component(
                    name: String(decoding: name, as: UTF8.self), value: String(decoding: value, as: UTF8.self)))
        }
        return components
    }
}

extension Multiaddr: CustomStringConvertible {
    public var description: String {
        var text = ""
        for component in components {
            text += "/"
            text += component.name
            guard let value = component.valueText else { continue }
            // The path of a socket brings its own slash.
            if case .unix = component {} else { text += "/" }
            text += value
        }
        return text
    }
}

extension Multiaddr.Component: CustomStringConvertible {
    public var description: String {
        guard let value = valueText else { return "/" + name }
        if case .unix = self { return "/" + name + value }
        return "/" + name + "/" + value
    }

    private static let withoutValue: [String: Self] = Dictionary(
        uniqueKeysWithValues: ([
            .quic, .quicV1, .webtransport, .webrtc, .webrtcDirect, .tls, .noise, .ws, .wss, .http, .https, .p2pCircuit,
        ] as [Self]).map { ($0.name, $0) })

    fileprivate init?(nameWithoutValue name: String) {
        guard let component = Self.withoutValue[name] else { return nil }
        self = component
    }

    fileprivate init(name: String, value: String) throws(MultiformatsError) {
        let known: Bool
        switch name {
        case "ip4", "ip6", "ip6zone", "dns", "dns4", "dns6", "dnsaddr", "tcp", "udp", "sni", "certhash", "p2p", "ipfs",
            "unix":
            known = true
        default:
            known = false
        }
        guard known else {
            throw MultiformatsError(code: .unknownProtocol, message: "the protocol \(quoted(name)) is not known")
        }
        guard !value.isEmpty else {
            throw MultiformatsError(code: .invalidAddress, message: "/\(name) needs a value")
        }
        switch name {
        case "ip4":
            guard let address = Multiaddr.IPv4(value) else {
                throw Self.invalid(value, of: name, "needs an IPv4 address")
            }
            self = .ip4(address)
        case "ip6":
            guard let address = Multiaddr.IPv6(value) else {
                throw Self.invalid(value, of: name, "needs an IPv6 address")
            }
            self = .ip6(address)
        case "tcp": self = .tcp(try Self.port(value, of: name))
        case "udp": self = .udp(try Self.port(value, of: name))
        case "ip6zone": self = .ip6zone(value)
        case "dns": self = .dns(value)
        case "dns4": self = .dns4(value)
        case "dns6": self = .dns6(value)
        case "dnsaddr": self = .dnsaddr(value)
        case "sni": self = .sni(value)
        case "certhash": self = .certhash(try Multihash(bytes: Multibase.decode(value).bytes))
        case "unix": self = .unix(value)
        default: self = .p2p(try Multihash(peerIDText: value))
        }
    }

    private static func port(_ value: String, of name: String) throws(MultiformatsError) -> UInt16 {
        guard let port = decimal(Array(value.utf8)[...], maximum: 65_535) else {
            throw invalid(value, of: name, "needs a port from 0 to 65535")
        }
        return UInt16(port)
    }
}
