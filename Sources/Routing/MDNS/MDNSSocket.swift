import Libp2p
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

/// The socket of one link: bound to mDNS's port beside those of other programs, a member of the group on its interface.
enum MDNSSocket {
    typealias Link = MDNSStateMachine.Link

    private static let reusePort = NIOBSDSocket.Option(rawValue: SO_REUSEPORT)

    /// A packet as it came.
    struct Received {
        let bytes: [UInt8]
        let source: SocketAddress
        let link: Link
    }

    /// Where packets to all go.
    static func group(_ family: MDNSStateMachine.Family) -> SocketAddress? {
        try? SocketAddress(
            ipAddress: family == .ip4 ? "224.0.0.251" : "ff02::fb", port: MDNSStateMachine.port)
    }

    /// - Parameters:
    ///   - source: the IPv4 address that packets come from, where the system would choose none: on loopback.
    ///   - received: called on the event loop.
    static func open(
        _ link: Link, from source: Multiaddr.IPv4?, on eventLoop: any EventLoop, messageBytes: Int,
        received: @escaping (Received) -> Void
    ) -> EventLoopFuture<any Channel> {
        let handler = NIOLoopBound(Handler(link, received), eventLoop: eventLoop)
        var bootstrap = DatagramBootstrap(group: eventLoop)
            .channelOption(.socketOption(.so_reuseaddr), value: 1)
            .channelOption(ChannelOptions.Types.SocketOption(level: .socket, name: reusePort), value: 1)
            .channelOption(.receivePacketInfo, value: true)
            // One more than a message may have, so that a longer one is known.
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: messageBytes + 1))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
            }
        if link.family == .ip6 {
            bootstrap = bootstrap.channelOption(
                ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only), value: 1)
        }
        let any = link.family == .ip4 ? "0.0.0.0" : "::"
        return bootstrap.bind(host: any, port: MDNSStateMachine.port).flatMap { channel in
            join(channel, link, source).map { channel }.flatMapErrorThrowing { error in
                channel.close(promise: nil)
                throw error
            }
        }
    }

    private static func join(_ channel: any Channel, _ link: Link, _ source: Multiaddr.IPv4?) -> EventLoopFuture<Void> {
        guard let options = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        let index = UInt32(link.interface)
        switch link.family {
        case .ip4:
            let membership = Membership4(
                group: UInt32(bigEndian: 0xE000_00FB), address: UInt32(bigEndian: source?.rawValue ?? 0),
                interface: index)
            return EventLoopFuture.andAllSucceed(
                [
                    options.unsafeSetSocketOption(level: .ip, name: .ip_multicast_if, value: membership),
                    options.unsafeSetSocketOption(level: .ip, name: .ip_multicast_ttl, value: UInt8(255)),
                    options.unsafeSetSocketOption(level: .ip, name: .ip_multicast_loop, value: UInt8(1)),
                    options.unsafeSetSocketOption(level: .ip, name: .ip_add_membership, value: membership),
                ], on: channel.eventLoop)
        case .ip6:
            let membership = Membership6(
                group: (UInt64(bigEndian: 0xFF02_0000_0000_0000), UInt64(bigEndian: 0xFB)), interface: index)
            return EventLoopFuture.andAllSucceed(
                [
                    options.unsafeSetSocketOption(level: .ipv6, name: .ipv6_multicast_if, value: index),
                    options.unsafeSetSocketOption(level: .ipv6, name: .ipv6_multicast_hops, value: CInt(255)),
                    options.unsafeSetSocketOption(level: .ipv6, name: .ipv6_multicast_loop, value: CInt(1)),
                    options.unsafeSetSocketOption(level: .ipv6, name: .ipv6_join_group, value: membership),
                ], on: channel.eventLoop)
        }
    }

    /// `struct ip_mreqn`, whose fields cannot be named here: in a release build they belong to a module of NIO's.
    private struct Membership4: Sendable {
        let group: UInt32
        let address: UInt32
        let interface: UInt32
    }

    /// `struct ipv6_mreq`.
    private struct Membership6: Sendable {
        let group: (UInt64, UInt64)
        let interface: UInt32
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>

        private let link: Link
        private let received: (Received) -> Void

        init(_ link: Link, _ received: @escaping (Received) -> Void) {
            self.link = link
            self.received = received
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            var link = link
            if let info = envelope.metadata?.packetInfo, info.interfaceIndex != link.interface {
                // Sockets on one port hear what is for the group on each other's interfaces; what is for this node alone
                // comes to any one of them.
                guard !info.destinationAddress.isMulticast else { return }
                link = Link(interface: info.interfaceIndex, family: link.family)
            }
            received(
                Received(
                    bytes: Array(envelope.data.readableBytesView), source: envelope.remoteAddress, link: link))
        }

        /// Such as that a network is not there just now. The socket is of use again when it is.
        func errorCaught(context: ChannelHandlerContext, error: any Error) {}
    }
}
