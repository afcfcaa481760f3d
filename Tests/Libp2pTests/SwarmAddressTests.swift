import Multiformats
import NIOCore
import PeerIdentity
import Testing

@testable import Libp2p

@Suite("Swarm: TCP addresses")
struct SwarmAddressTests {
    @Test("Addresses of sockets and multiaddrs are the same thing")
    func roundTrip() throws {
        var generator = SplitMix(seed: 41)
        for length in [4, 16] {
            for _ in 0..<500 {
                let port = UInt16.random(in: .min ... .max, using: &generator)
                var bytes = generator.bytes(length)
                // Runs of zeros, which IPv6 writes in a short form.
                if Bool.random(using: &generator) {
                    for index in 0..<Int.random(in: 0...length, using: &generator) { bytes[index] = 0 }
                }
                let socketAddress = try SocketAddress(packedIPAddress: ByteBuffer(bytes: bytes), port: Int(port))
                #expect(socketAddress.ipBytes == bytes)
                let multiaddr = try #require(Multiaddr(tcp: socketAddress))
                let endpoint = try TCPEndpoint(multiaddr)
                guard case .address(let back) = endpoint.host else { throw Libp2pError(.internal, "no address") }
                #expect(back == socketAddress)
                #expect(endpoint.port == port)
                #expect(endpoint.peer == nil)
            }
        }
        #expect(Multiaddr(tcp: try SocketAddress(unixDomainSocketPath: "/tmp/x")) == nil)
    }

    @Test("Names, zones and peers")
    func forms() throws {
        let peer = try KeyPair.generate().peerID
        let named = try TCPEndpoint(Multiaddr("/dns6/example.org/tcp/4001/p2p/\(peer)"))
        guard case .name("example.org", .ip6) = named.host else { throw Libp2pError(.internal, "\(named)") }
        #expect(named.peer == peer)
        #expect(named.port == 4001)
        let zoned = try TCPEndpoint(Multiaddr("/ip6zone/eth0/ip6/fe80::1/tcp/1"))
        guard case .name("fe80::1%eth0", .ip6) = zoned.host else { throw Libp2pError(.internal, "\(zoned)") }
    }

    @Test(
        "Everything else is refused",
        arguments: [
            "/ip6zone/eth0/ip4/1.2.3.4/tcp/1", "/ip6zone/eth0/dns/example.org/tcp/1", "/tcp/1",
            "/ip4/1.2.3.4/tcp/1/tls",
            "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWAaK12mpa2RxX6MuwE9aFvnubstVKAwJ2KR5LBrSH8ThY/p2p-circuit",
        ])
    func refused(_ text: String) throws {
        let address = try Multiaddr(text)
        let error = #expect(throws: Libp2pError.self) { _ = try TCPEndpoint(address) }
        #expect(error?.code == .unsupportedAddress)
    }

    @Test("Which addresses mean every interface, and which mean only a link")
    func kinds() throws {
        func address(_ text: String) throws -> SocketAddress { try SocketAddress(ipAddress: text, port: 1) }
        #expect(try address("0.0.0.0").isUnspecified)
        #expect(try address("::").isUnspecified)
        #expect(try !address("::1").isUnspecified)
        #expect(try address("fe80::1").isLinkLocalIPv6)
        #expect(try address("febf::1").isLinkLocalIPv6)
        #expect(try !address("fec0::1").isLinkLocalIPv6)
        #expect(try !address("254.128.0.1").isLinkLocalIPv6)
    }
}
