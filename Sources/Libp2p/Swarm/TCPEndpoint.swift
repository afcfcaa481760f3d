import Multiformats
import NIOCore
import PeerIdentity

/// A multiaddr that the TCP transport understands: `(/ip4 | /ip6 | /dns | /dns4 | /dns6)/…/tcp/PORT`, with `/p2p/ID`
/// behind it or not.
struct TCPEndpoint {
    enum Host {
        case address(SocketAddress)
        /// A name, or an address with a zone, for the system's resolver.
        case name(String, NameResolver.Family)
    }

    let host: Host
    let port: UInt16
    /// Who is expected there.
    let peer: PeerID?

    init(_ address: Multiaddr) throws(Libp2pError) {
        var rest = address.components[...]
        let zone: String?
        if case .ip6zone(let name) = rest.first {
            zone = name
            rest.removeFirst()
        } else {
            zone = nil
        }
        let first = rest.popFirst()
        guard case .tcp(let port) = rest.popFirst() else { throw Self.unsupported(address) }
        if case .p2p(let multihash) = rest.first {
            rest.removeFirst()
            do {
                peer = try PeerID(multihash: multihash)
            } catch {
                throw Libp2pError(.unsupportedAddress, "The peer ID in \(address) is none.", underlying: error)
            }
        } else {
            peer = nil
        }
        guard rest.isEmpty else { throw Self.unsupported(address) }
        self.port = port
        switch (first, zone) {
        case (.ip6(let ip), let zone?):
            host = .name("\(ip)%\(zone)", .ip6)
        case (let first?, nil):
            switch first {
            case .ip4, .ip6:
                guard let socketAddress = Self.socketAddress(first, port: port) else { throw Self.unsupported(address) }
                host = .address(socketAddress)
            case .dns(let name): host = .name(name, .any)
            case .dns4(let name): host = .name(name, .ip4)
            case .dns6(let name): host = .name(name, .ip6)
            default: throw Self.unsupported(address)
            }
        default: throw Self.unsupported(address)
        }
    }

    private static func unsupported(_ address: Multiaddr) -> Libp2pError {
        Libp2pError(
            .unsupportedAddress,
            """
            The address \(address) is not supported: this node speaks TCP, as in \
            /ip4/192.0.2.1/tcp/4001, /ip6/2001:db8::1/tcp/4001 or /dns4/example.org/tcp/4001, each with /p2p/PEER-ID.
            """)
    }

    private static func socketAddress(_ component: Multiaddr.Component, port: UInt16) -> SocketAddress? {
        let bytes =
            switch component {
            case .ip4(let address): address.bytes
            case .ip6(let address): address.bytes
            default: [UInt8]()
            }
        return try? SocketAddress(packedIPAddress: ByteBuffer(bytes: bytes), port: Int(port))
    }
}

extension Multiaddr {
    /// The address of a TCP socket, without a peer. `nil` if it is not an IP socket.
    init?(tcp socketAddress: SocketAddress) {
        guard let port = socketAddress.port.flatMap(UInt16.init(exactly:)) else { return nil }
        let bytes = socketAddress.ipBytes
        func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        let host: Component
        switch bytes.count {
        case 4: host = .ip4(IPv4(rawValue: UInt32(truncatingIfNeeded: word(bytes[...]))))
        case 16: host = .ip6(IPv6(high: word(bytes.prefix(8)), low: word(bytes.suffix(8))))
        default: return nil
        }
        guard let address = try? Multiaddr([host, .tcp(port)]) else { return nil }
        self = address
    }
}

extension SocketAddress {
    /// The bytes of the IP address in network order: 4, 16, or none if it is not an IP address.
    var ipBytes: [UInt8] {
        guard let text = ipAddress else { return [] }
        return Multiaddr.IPv4(text)?.bytes ?? Multiaddr.IPv6(text)?.bytes ?? []
    }

    /// Means every interface of the machine.
    var isUnspecified: Bool {
        let bytes = ipBytes
        return !bytes.isEmpty && bytes.allSatisfy { $0 == 0 }
    }

    /// fe80::/10: means something only together with an interface.
    var isLinkLocalIPv6: Bool {
        let bytes = ipBytes
        return bytes.count == 16 && bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80
    }
}

extension ConnectionLedger.Source {
    init?(_ socketAddress: SocketAddress?) {
        guard let bytes = socketAddress?.ipBytes, !bytes.isEmpty else { return nil }
        isIPv6 = bytes.count == 16
        prefix = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
