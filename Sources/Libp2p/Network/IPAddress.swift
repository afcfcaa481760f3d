public import Multiformats
public import NIOCore

/// An address of either version of IP, without port and zone.
public enum IPAddress: Hashable, Sendable, CustomStringConvertible {
    case v4(Multiaddr.IPv4)
    case v6(Multiaddr.IPv6)

    /// Nil for a socket of another family.
    public init?(_ socketAddress: SocketAddress) {
        self.init(bytes: socketAddress.ipBytes[...])
    }

    /// From four or sixteen bytes in network order; nil for another number.
    init?(bytes: ArraySlice<UInt8>) {
        func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self = .v4(Multiaddr.IPv4(rawValue: UInt32(truncatingIfNeeded: word(bytes))))
        case 16: self = .v6(Multiaddr.IPv6(high: word(bytes.prefix(8)), low: word(bytes.suffix(8))))
        default: return nil
        }
    }

    /// What a multiaddr begins with; nil if that is no IP address.
    public init?(_ address: Multiaddr) {
        switch address.components.first {
        case .ip4(let ip): self = .v4(ip)
        case .ip6(let ip): self = .v6(ip)
        default: return nil
        }
    }

    public var bytes: [UInt8] {
        switch self {
        case .v4(let address): address.bytes
        case .v6(let address): address.bytes
        }
    }

    public var isLoopback: Bool {
        switch self {
        case .v4(let address): address.rawValue >> 24 == 127
        case .v6(let address): address == .loopback
        }
    }

    /// fe80::/10 and 169.254/16: of one link alone.
    public var isLinkLocal: Bool {
        switch self {
        case .v4(let address): address.rawValue >> 16 == 0xA9FE
        case .v6(let address): address.high >> 54 == 0xFE80 >> 6
        }
    }

    public var description: String {
        switch self {
        case .v4(let address): address.description
        case .v6(let address): address.description
        }
    }
}

/// An address with the length of the prefix that its network has in common.
public struct IPNetwork: Hashable, Sendable {
    public let address: IPAddress
    /// Bits; 0 to 32 or 128.
    public let prefixLength: Int

    /// - Parameter prefixLength: brought into its bounds.
    public init(_ address: IPAddress, prefixLength: Int) {
        self.address = address
        self.prefixLength = min(max(0, prefixLength), address.bytes.count * 8)
    }

    /// Whether the address is in this network.
    public func contains(_ other: IPAddress) -> Bool {
        let (own, others) = (address.bytes, other.bytes)
        guard own.count == others.count else { return false }
        let whole = prefixLength / 8
        guard own.prefix(whole).elementsEqual(others.prefix(whole)) else { return false }
        let rest = prefixLength % 8
        return rest == 0 || (own[whole] ^ others[whole]) >> UInt8(8 - rest) == 0
    }
}
