import Multiformats
import NIOCore
import PeerIdentity
import Testing

@testable import Libp2p

@Suite("Swarm: what connections are secured with", .timeLimit(.minutes(1)))
struct SwarmSecurityTests {
    /// What a client and a server with these protocols agree on.
    private func agreed(
        _ client: [SecurityProtocol], _ server: [SecurityProtocol]
    ) async throws -> [SecurityProtocol] {
        var found: [SecurityProtocol] = []
        try await withNodes({ $0.securityProtocols = server }, { $0.securityProtocols = client }) { server, client in
            let out = try await client.swarm.connect(to: try await server.listen())
            let inbound = try #require(try await server.connected())
            #expect(inbound.peer == client.peerID && out.peer == server.peerID)
            let events = try await run([.echo], on: out) { stream in
                stream.write(ByteBuffer(string: "hello"))
                stream.finish()
            }
            var received = ByteBuffer()
            for case .bytes(let bytes) in events { received.writeImmutableBuffer(bytes) }
            #expect(received == ByteBuffer(string: "hello"))
            found = [out.security, inbound.security]
        }
        return found
    }

    @Test("TLS, unless somebody wants otherwise")
    func standard() async throws {
        let standard = SwarmConfiguration().securityProtocols
        #expect(standard == [.tls, .noise])
        #expect(try await agreed(standard, standard) == [.tls, .tls])
    }

    @Test("The one who dials chooses")
    func order() async throws {
        #expect(try await agreed([.noise, .tls], [.tls, .noise]) == [.noise, .noise])
        #expect(try await agreed([.tls, .noise], [.noise, .tls]) == [.tls, .tls])
    }

    @Test("What only one side speaks is passed over")
    func oneOnly() async throws {
        #expect(try await agreed([.tls, .noise], [.noise]) == [.noise, .noise])
        #expect(try await agreed([.noise, .tls], [.tls]) == [.tls, .tls])
        #expect(try await agreed([.noise], [.tls, .noise]) == [.noise, .noise])
        #expect(try await agreed([.tls], [.tls, .noise]) == [.tls, .tls])
    }

    @Test("Nothing in common")
    func nothingInCommon() async throws {
        try await withNodes({ $0.securityProtocols = [.noise] }, { $0.securityProtocols = [.tls] }) { server, client in
            let address = try await server.listen()
            let error = await libp2pError { _ = try await client.swarm.connect(to: address) }
            #expect(error?.code == .protocolNotSupported)
            #expect(error?.message.contains("/tls/1.0.0") == true)
        }
    }

    @Test("Another peer than the address says, and ourselves, with each", arguments: [SecurityProtocol.tls, .noise])
    func wrongPeer(security: SecurityProtocol) async throws {
        try await withNodes({ $0.securityProtocols = [security] }, { $0.securityProtocols = [security] }) {
            server, client in
            let address = try #require(try await server.listen().removingPeer())
            let other = try KeyPair.generate().peerID
            let error = await libp2pError {
                _ = try await client.swarm.connect(to: try address.appending(peer: other.multihash))
            }
            #expect(error?.code == .wrongPeer)
            let own = await libp2pError { _ = try await server.swarm.connect(to: address) }
            #expect(own?.code == .selfDial)
            try await until { server.swarm.statistics.handshakesFailed >= 1 }
        }
    }

    @Test("Many bytes come through whole, in order, with each", arguments: [SecurityProtocol.tls, .noise])
    func bulk(security: SecurityProtocol) async throws {
        try await withNodes({ $0.securityProtocols = [security] }, { $0.securityProtocols = [security] }) {
            server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            var generator = SplitMix(seed: 7)
            let sent = ByteBuffer(bytes: generator.bytes(3 << 20))
            let events = try await run([.echo], on: connection) { stream in
                stream.write(sent)
                stream.finish()
            }
            var received = ByteBuffer()
            for case .bytes(let bytes) in events { received.writeImmutableBuffer(bytes) }
            #expect(received == sent)
        }
    }

    @Test("Whoever stops in the TLS handshake is shown out when the time is up")
    func timeLimit() async throws {
        try await withNode({ $0.handshakeTimeout = .milliseconds(100) }) { server in
            let channel = try await rawClient(to: try await server.listen())
            try await channel.writeAndFlush(ByteBuffer(string: "\u{13}/multistream/1.0.0\n\u{0B}/tls/1.0.0\n"))
            try await channel.closeFuture.get()
            #expect(server.swarm.statistics.handshakesFailed == 1)
        }
    }
}
