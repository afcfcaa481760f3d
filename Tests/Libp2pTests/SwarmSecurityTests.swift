import Multiformats
import NIOCore
import PeerIdentity
import Testing

@testable import Libp2p

@Suite("Swarm: what connections are secured with", .timeLimit(.minutes(5)))
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

    /// What a peer says that proposes TLS, and one that agrees.
    private let tlsAgreed = ByteBuffer(string: "\u{13}/multistream/1.0.0\n\u{0B}/tls/1.0.0\n")

    @Test("Whoever stops in the TLS handshake is shown out when the time is up")
    func timeLimit() async throws {
        try await withNode({ $0.handshakeTimeout = .seconds(20) }) { server in
            let channel = try await rawClient(to: try await server.listen())
            try await channel.writeAndFlush(tlsAgreed)
            try await channel.closeFuture.get()
            #expect(server.swarm.statistics.handshakesFailed == 1)
        }
    }

    @Test("A server that stops in the TLS handshake is given up when the time is up")
    func timeLimitOfServer() async throws {
        let listener = try await RawListener()
        try await withNode({ $0.handshakeTimeout = .seconds(20) }) { client in
            async let dial = libp2pError { _ = try await client.swarm.connect(to: try listener.address) }
            let accepted = try await listener.accepted.first { _ in true }
            try await accepted.writeAndFlush(tlsAgreed)
            let error = await dial
            #expect(error?.code == .timeout)
            #expect(error?.message.contains("TLS handshake") == true, "\(error?.message ?? "")")
        }
        await listener.close()
    }

    @Test("Garbage in the place of the TLS handshake ends that connection, and no other")
    func garbage() async throws {
        try await withNodes { server, client in
            let address = try await server.listen()
            for garbage in [
                "GET / HTTP/1.1\r\n\r\n", "\u{16}\u{03}\u{01}\u{00}\u{08}\u{01}garbage",
                "\u{17}\u{03}\u{03}\u{00}\u{01}x",
            ] {
                let channel = try await rawClient(to: address)
                try await channel.writeAndFlush(tlsAgreed)
                try await channel.writeAndFlush(ByteBuffer(string: garbage))
                try await channel.closeFuture.get()
            }
            try await until { server.swarm.statistics.handshakesFailed == 3 }
            #expect(try await client.swarm.connect(to: address).security == .tls)
        }
    }

    @Test("A connection that somebody cuts is an error of its streams, and not their end")
    func cut() async throws {
        try await withNodes { server, client in
            let relay = try await Relay(to: try await server.listen())
            let address = try relay.address.appending(peer: server.peerID.multihash)
            let connection = try await client.swarm.connect(to: address)
            // So that nothing is under way when it is cut.
            _ = try await client.identified()
            _ = try await server.identified()
            let events = Recorder<ScriptHandler.Event>()
            try await connection.openStream([.echo]) { _ in
                ScriptHandler(events) { $0.writeAndFlush(ByteBuffer(string: "hello")) }
            }.get()
            try await events.first { if case .bytes = $0 { true } else { false } }
            await relay.cut()
            let last = try await events.first(where: \.isClosed)
            guard case .closed(let error?) = last else { throw Libp2pError(.internal, "the stream ended well") }
            #expect(error.code == .connectionClosed)
            #expect(!events.elements.contains { if case .end = $0 { true } else { false } })
            for node in [client, server] {
                let error = try await node.disconnected()
                #expect(error?.message.contains("without the notice of TLS") == true, "\(String(describing: error))")
            }
        }
    }
}
