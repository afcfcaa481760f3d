import NIOConcurrencyHelpers
import NIOCore

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// An interface of this machine, with the networks that it is in.
public struct NetworkInterface: Hashable, Sendable {
    public var name: String
    /// The system's number for it. An interface that goes and comes back may have another.
    public var index: Int
    /// Up, with a carrier.
    public var isRunning: Bool
    /// The loopback of the machine, which also carries multicast where the system lets it.
    public var isLoopback: Bool
    /// Whether it carries multicast.
    public var takesMulticast: Bool
    /// Its addresses, each with the prefix of its network.
    public var networks: [IPNetwork]

    public init(
        name: String, index: Int, isRunning: Bool = true, isLoopback: Bool = false, takesMulticast: Bool = true,
        networks: [IPNetwork]
    ) {
        self.name = name
        self.index = index
        self.isRunning = isRunning
        self.isLoopback = isLoopback
        self.takesMulticast = takesMulticast
        self.networks = networks
    }

    /// Whether an address is one of this interface, or belongs to a machine in one of its networks.
    public func reaches(_ address: IPAddress) -> Bool {
        networks.contains { $0.contains(address) }
    }

    /// What the machine has now, by number. Empty when the system does not say. Does not block.
    public static func all() -> [NetworkInterface] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var interfaces: [Int: NetworkInterface] = [:]
        var next = list
        while let entry = next?.pointee {
            next = entry.ifa_next
            let flags = Int32(truncatingIfNeeded: entry.ifa_flags)
            func has(_ flag: some BinaryInteger) -> Bool { flags & Int32(truncatingIfNeeded: flag) != 0 }
            let index = Int(if_nametoindex(entry.ifa_name))
            guard index > 0 else { continue }
            var interface =
                interfaces[index]
                ?? NetworkInterface(
                    name: String(cString: entry.ifa_name), index: index, isRunning: has(IFF_UP) && has(IFF_RUNNING),
                    isLoopback: has(IFF_LOOPBACK), takesMulticast: has(IFF_MULTICAST), networks: [])
            if let address = ipAddress(entry.ifa_addr), let mask = ipAddress(entry.ifa_netmask) {
                let ones = mask.bytes.reduce(0) { $0 + $1.nonzeroBitCount }
                let network = IPNetwork(address, prefixLength: ones)
                if !interface.networks.contains(network) { interface.networks.append(network) }
            }
            interfaces[index] = interface
        }
        return interfaces.values.sorted { $0.index < $1.index }
    }

    private static let seen = NIOLockedValueBox<(interfaces: [NetworkInterface], when: ContinuousClock.Instant)?>(nil)

    /// What the machine had at most so long ago: many nodes in one process that look again and again look together.
    package static func all(within age: Duration) -> [NetworkInterface] {
        let now = ContinuousClock.now
        return seen.withLockedValue { seen in
            if let seen, now - seen.when < age { return seen.interfaces }
            let interfaces = all()
            seen = (interfaces, now)
            return interfaces
        }
    }

    private static func ipAddress(_ pointer: UnsafeMutablePointer<sockaddr>?) -> IPAddress? {
        guard let pointer else { return nil }
        let raw = UnsafeRawPointer(pointer)
        switch Int32(pointer.pointee.sa_family) {
        case AF_INET: return IPAddress(SocketAddress(raw.loadUnaligned(as: sockaddr_in.self), host: ""))
        case AF_INET6: return IPAddress(SocketAddress(raw.loadUnaligned(as: sockaddr_in6.self), host: ""))
        default: return nil
        }
    }
}
