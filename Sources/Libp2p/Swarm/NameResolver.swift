import Multiformats
import NIOCore
import NIOPosix

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// The system's resolver, asked on a thread of its own because it blocks.
enum NameResolver {
    enum Family {
        case any, ip4, ip6

        var number: CInt {
            switch self {
            case .any: AF_UNSPEC
            case .ip4: AF_INET
            case .ip6: AF_INET6
            }
        }

        var text: String {
            switch self {
            case .any: ""
            case .ip4: "IPv4 "
            case .ip6: "IPv6 "
            }
        }
    }

    static func resolve(
        _ name: String, _ family: Family, port: UInt16, on eventLoop: any EventLoop
    ) -> EventLoopFuture<[SocketAddress]> {
        NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) {
            try lookUp(name, family, port: port)
        }
    }

    private static func lookUp(_ name: String, _ family: Family, port: UInt16) throws(Libp2pError) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_family = family.number
        hints.ai_protocol = CInt(IPPROTO_TCP)
        // One entry per address, not one per kind of socket.
        #if canImport(Glibc)
            hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        #else
            hints.ai_socktype = SOCK_STREAM
        #endif
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(name, String(port), &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard status == 0 else {
            let reason = gai_strerror(status).map { String(cString: $0) } ?? "error \(status)"
            throw Libp2pError(.dialFailed, "The name \(name) has no \(family.text)address: \(reason).")
        }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ai_next
            guard let raw = UnsafeRawPointer(entry.pointee.ai_addr) else { continue }
            switch entry.pointee.ai_family {
            case AF_INET: addresses.append(SocketAddress(raw.loadUnaligned(as: sockaddr_in.self), host: name))
            case AF_INET6: addresses.append(SocketAddress(raw.loadUnaligned(as: sockaddr_in6.self), host: name))
            default: continue
            }
        }
        return addresses
    }
}
