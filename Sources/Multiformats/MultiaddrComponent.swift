extension Multiaddr {
    /// One protocol of an address, with its value. More protocols may come, so a switch over them needs a `default`.
    ///
    /// Codes and names: https://github.com/multiformats/multiaddr/blob/master/protocols.csv
    public enum Component: Hashable, Sendable {
        case ip4(IPv4)
        case ip6(IPv6)
        /// The zone of the `ip6` that follows.
        case ip6zone(String)
        case dns(String)
        case dns4(String)
        case dns6(String)
        case dnsaddr(String)
        case tcp(UInt16)
        case udp(UInt16)
        case quic
        case quicV1
        case webtransport
        case webrtc
        case webrtcDirect
        case certhash(Multihash)
        case tls
        case sni(String)
        case noise
        case ws
        case wss
        case http
        case https
        /// The multihash of a peer ID.
        case p2p(Multihash)
        case p2pCircuit
        /// The absolute path of a socket; always the last component.
        case unix(String)

        /// The name in the table of protocols.
        public var name: String { Self.row(of: self).name }
        /// The code in the table of protocols.
        public var code: UInt64 { Self.row(of: self).code }

        static func row(of component: Component) -> (name: String, code: UInt64) {
            switch component {
            case .ip4: ("ip4", 4)
            case .tcp: ("tcp", 6)
            case .ip6: ("ip6", 41)
            case .ip6zone: ("ip6zone", 42)
            case .dns: ("dns", 53)
            case .dns4: ("dns4", 54)
            case .dns6: ("dns6", 55)
            case .dnsaddr: ("dnsaddr", 56)
            case .udp: ("udp", 273)
            case .webrtcDirect: ("webrtc-direct", 280)
            case .webrtc: ("webrtc", 281)
            case .p2pCircuit: ("p2p-circuit", 290)
            case .unix: ("unix", 400)
            case .p2p: ("p2p", 421)
            case .https: ("https", 443)
            case .tls: ("tls", 448)
            case .sni: ("sni", 449)
            case .noise: ("noise", 454)
            case .quic: ("quic", 460)
            case .quicV1: ("quic-v1", 461)
            case .webtransport: ("webtransport", 465)
            case .certhash: ("certhash", 466)
            case .ws: ("ws", 477)
            case .wss: ("wss", 478)
            case .http: ("http", 480)
            }
        }

        /// The value in text, nil for protocols without one.
        var valueText: String? {
            switch self {
            case .ip4(let address): address.description
            case .ip6(let address): address.description
            case .tcp(let port), .udp(let port): String(port)
            case .ip6zone(let text), .dns(let text), .dns4(let text), .dns6(let text), .dnsaddr(let text),
                .sni(let text), .unix(let text):
                text
            case .p2p(let peer): peer.peerIDText
            case .certhash(let hash): hash.withUnsafeBytes { Multibase.base64URL.encode($0) }
            case .quic, .quicV1, .webtransport, .webrtc, .webrtcDirect, .tls, .noise, .ws, .wss, .http, .https,
                .p2pCircuit:
                nil
            }
        }

        /// - Throws: `invalidAddress` for a value that its protocol does not allow.
        func validate() throws(MultiformatsError) {
            switch self {
            case .dns(let text), .dns4(let text), .dns6(let text), .dnsaddr(let text), .sni(let text):
                try Self.checkName(text, of: name, limit: MultiformatsLimits.domainNameLength)
            case .ip6zone(let text):
                try Self.checkName(text, of: name, limit: MultiformatsLimits.domainNameLength)
            case .unix(let path):
                let bytes = path.utf8
                guard bytes.count >= 2, bytes.first == UInt8(ascii: "/"), bytes.last != UInt8(ascii: "/"),
                    !bytes.contains(0)
                else { throw Self.invalid(path, of: name, "needs an absolute path of a socket") }
            case .p2p(let peer):
                try peer.checkPeerID()
            default: break
            }
        }

        private static func checkName(_ text: String, of name: String, limit: Int) throws(MultiformatsError) {
            guard !text.isEmpty, text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "/") }) else {
                throw invalid(text, of: name, "needs a name without slashes, spaces and control characters")
            }
            guard text.utf8.count <= limit else {
                throw MultiformatsError(
                    code: .limitExceeded,
                    message: "the value of /\(name) has \(text.utf8.count) bytes; the limit is \(limit)")
            }
        }

        static func invalid(_ value: String, of name: String, _ need: String) -> MultiformatsError {
            MultiformatsError(code: .invalidAddress, message: "/\(name) \(need), not \(quoted(value))")
        }
    }
}

extension Multihash {
    /// Reads the text of a peer ID: a multihash in base58, or a CID with the codec libp2p-key.
    ///
    /// Specification: https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
    package init(peerIDText text: some StringProtocol) throws(MultiformatsError) {
        if text.hasPrefix("Qm") || text.hasPrefix("1") {
            do {
                let bytes = try Multibase.base58btc.decodeUnprefixed(text)
                try self.init(bytes: bytes)
            } catch {
                throw MultiformatsError(code: error.code, message: "\(quoted(text)) is not a peer ID: \(error.message)")
            }
        } else {
            let cid: CID
            do {
                cid = try CID(text)
            } catch {
                throw MultiformatsError(code: error.code, message: "\(quoted(text)) is not a peer ID: \(error.message)")
            }
            guard cid.codec == .libp2pKey else {
                throw MultiformatsError(
                    code: .invalidAddress,
                    message: "\(quoted(text)) is not a peer ID: its codec is \(cid.codec), not libp2p-key")
            }
            self = cid.multihash
        }
        try checkPeerID()
    }

    /// The usual text of a peer ID: base58, without multibase prefix.
    package var peerIDText: String {
        withUnsafeBytes { Multibase.base58btc.encodeUnprefixed($0) }
    }

    /// - Throws: `invalidAddress` unless this is a whole sha2-256 or an identity, the two that peer IDs use.
    package func checkPeerID() throws(MultiformatsError) {
        guard code == .identity ? digestLength > 0 : code == .sha2_256 && digestLength == 32 else {
            throw MultiformatsError(
                code: .invalidAddress,
                message: "a peer ID is a sha2-256 digest of 32 bytes or an identity, not a \(code) digest of "
                    + "\(digestLength) bytes")
        }
    }
}
