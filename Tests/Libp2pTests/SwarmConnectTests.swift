import Multiformats
import NIOCore
import PeerIdentity
import Testing

@testable import Libp2p

@Suite("Swarm: connecting over real sockets", .timeLimit(.minutes(5)))
struct SwarmConnectTests {
    @Test("Both sides know each other, and streams go both ways")
    func connects() async throws {
        try await withNodes { server, client in
            let address = try await server.listen()
            #expect(address.peerMultihash == server.peerID.multihash)
            let out = try await client.swarm.connect(to: address)
            #expect(out.peer == server.peerID)
            #expect(out.direction == .outbound)
            #expect(out.remoteAddress == address.removingPeer())
            let connected = try await server.connected()
            let inbound = try #require(connected)
            #expect(inbound.peer == client.peerID)
            #expect(inbound.publicKey == client.swarm.identity.publicKey)
            #expect(inbound.direction == .inbound)
            #expect(inbound.remoteAddress == out.localAddress)
            #expect(client.swarm.connections(to: server.peerID) == [out])
            #expect(server.swarm.connections() == [inbound])

            for connection in [out, inbound] {
                let events = try await run([.echo], on: connection) { stream in
                    stream.write(ByteBuffer(string: "hello"))
                    stream.finish()
                }
                var received = ByteBuffer()
                for case .bytes(let bytes) in events { received.writeImmutableBuffer(bytes) }
                #expect(received == ByteBuffer(string: "hello"))
                guard case .closed(nil) = events.last else {
                    Issue.record("not closed cleanly: \(events)")
                    continue
                }
            }
        }
    }

    @Test("Many bytes come through whole, in order")
    func bulk() async throws {
        try await withNodes { server, client in
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

    @Test("A reset ends the stream at both ends and leaves the connection")
    func reset() async throws {
        try await withNodes { server, client in
            let atServer = Recorder<ScriptHandler.Event>()
            server.swarm.handle(["/test/reset"]) { _, _ in ScriptHandler(atServer) }
            let connection = try await client.swarm.connect(to: try await server.listen())
            let events = try await run(["/test/reset"], on: connection) { stream in
                stream.writeAndFlush(ByteBuffer(string: "x"))
                stream.eventLoop.assumeIsolated().execute { stream.reset() }
            }
            guard case .closed(let error?) = events.last else { throw Libp2pError(.internal, "no error") }
            #expect(error.code == .streamResetLocally)
            let last = try await atServer.first(where: \.isClosed)
            guard case .closed(let remote?) = last else { throw Libp2pError(.internal, "no error") }
            #expect(remote.code == .streamReset)
            #expect(try await client.swarm.ping(server.peerID) > .zero)
        }
    }

    @Test("A protocol the peer does not speak")
    func unknownProtocol() async throws {
        try await withNodes { server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            let error = await libp2pError {
                try await connection.openStream(["/test/none/1", "/test/none/2"]) { _ in EchoHandler() }.get()
            }
            #expect(error?.code == .protocolNotSupported)
            // The second choice is taken where the first is unknown.
            let events = try await run(["/test/none/1", .echo], on: connection) { $0.finish() }
            guard case .closed(nil) = events.last else { throw Libp2pError(.internal, "not closed cleanly") }
        }
    }

    @Test("Another identity than the address says")
    func wrongPeer() async throws {
        try await withNodes { server, client in
            let address = try await server.listen()
            let other = try KeyPair.generate().peerID
            let error = await libp2pError {
                _ = try await client.swarm.connect(to: try address.appending(peer: other.multihash))
            }
            #expect(error?.code == .wrongPeer)
            #expect(error?.message.contains("\(other)") == true)
            #expect(error?.message.contains("\(server.peerID)") == true)
            let bare = try #require(address.removingPeer())
            #expect(error?.message.contains("\(bare)") == true)
            #expect(client.swarm.connections().isEmpty)
        }
    }

    @Test("A peer and addresses of another peer")
    func addressOfAnotherPeer() async throws {
        try await withNodes { server, client in
            let address = try await server.listen()
            let error = await libp2pError {
                _ = try await client.swarm.connect(to: try KeyPair.generate().peerID, addresses: [address])
            }
            #expect(error?.code == .wrongPeer)
        }
    }

    @Test("This node itself, by its ID and by a bare address")
    func selfDial() async throws {
        try await withNode { node in
            let address = try await node.listen()
            let byID = await libp2pError { _ = try await node.swarm.connect(to: address) }
            #expect(byID?.code == .selfDial)
            let bare = await libp2pError {
                _ = try await node.swarm.connect(to: try #require(address.removingPeer()))
            }
            #expect(bare?.code == .selfDial)
            #expect(node.swarm.connections().isEmpty)
        }
    }

    @Test("Nothing listens there")
    func refused() async throws {
        try await withNode { node in
            let address = try await deadAddress()
            let error = await libp2pError { _ = try await node.swarm.connect(to: address) }
            #expect(error?.code == .dialFailed)
            #expect(error?.message.contains("\(address)") == true)
            #expect(error?.message.contains("refused") == true)
        }
    }

    @Test(
        "Addresses of other transports name themselves and what is supported",
        arguments: [
            "/ip4/127.0.0.1/udp/4001/quic-v1", "/ip4/127.0.0.1/tcp/4001/ws", "/dns4/example.org/tcp/443/wss",
            "/unix/tmp/socket", "/dnsaddr/example.org", "/ip4/127.0.0.1", "/ip4/127.0.0.1/tcp/1/tcp/2",
        ])
    func unsupported(_ text: String) async throws {
        try await withNode { node in
            let error = await libp2pError { _ = try await node.swarm.connect(to: try Multiaddr(text)) }
            #expect(error?.code == .unsupportedAddress)
            #expect(error?.message.contains(text) == true)
            #expect(error?.message.contains("TCP") == true)
            let listening = await libp2pError { try await node.swarm.listen(on: try Multiaddr(text)) }
            #expect(listening?.code == .unsupportedAddress)
        }
    }

    @Test("A listener that never speaks is given up in time")
    func silence() async throws {
        let listener = try await RawListener()
        try await withNode({ $0.handshakeTimeout = .milliseconds(100) }) { node in
            let address = try listener.address
            let error = await libp2pError { _ = try await node.swarm.connect(to: address) }
            #expect(error?.code == .timeout)
            #expect(error?.message.contains("\(address)") == true)
            try await listener.closed.first { $0 }
        }
        await listener.close()
    }

    @Test("The whole dial has a limit too")
    func dialTimeout() async throws {
        let listener = try await RawListener()
        try await withNode({ $0.dialTimeout = .milliseconds(100) }) { node in
            let address = try listener.address
            let error = await libp2pError { _ = try await node.swarm.connect(to: address) }
            #expect(error?.code == .timeout)
            #expect(error?.message.contains("\(address)") == true)
            try await listener.closed.first { $0 }
        }
        await listener.close()
    }

    @Test("Names are resolved")
    func names() async throws {
        try await withNodes { server, client in
            let address = try await server.listen()
            guard case .tcp(let port) = address.components[1] else { throw Libp2pError(.internal, "no port") }
            let byName = try await client.swarm.connect(
                to: Multiaddr("/dns4/localhost/tcp/\(port)/p2p/\(server.peerID)"))
            #expect(byName.peer == server.peerID)
            let error = await libp2pError {
                _ = try await client.swarm.connect(to: Multiaddr("/dns4/no-such-host.invalid/tcp/1"))
            }
            #expect(error?.code == .dialFailed)
            #expect(error?.message.contains("no-such-host.invalid") == true)
        }
    }

    @Test("Of several addresses the one that works is found")
    func severalAddresses() async throws {
        let silent = try await RawListener()
        try await withNodes({ _ in }, { $0.dialStagger = .milliseconds(20) }) { server, client in
            let good = try await server.listen()
            let addresses = [
                try await deadAddress(), try silent.address, try Multiaddr("/ip4/127.0.0.1/udp/1/quic-v1"), good,
            ]
            let connection = try await client.swarm.connect(to: server.peerID, addresses: addresses)
            #expect(connection.remoteAddress == good.removingPeer())
            // The attempt that lost is closed.
            try await silent.closed.first { $0 }
            #expect(client.swarm.connections().count == 1)
        }
        await silent.close()
    }

    @Test("When no address works, each is named with its reason")
    func noAddressWorks() async throws {
        try await withNode { node in
            let dead = try await deadAddress()
            let error = await libp2pError {
                _ = try await node.swarm.connect(
                    to: try KeyPair.generate().peerID, addresses: [dead, Multiaddr("/ip4/127.0.0.1/tcp/1/ws")])
            }
            #expect(error?.code == .dialFailed)
            #expect(error?.message.contains("\(dead)") == true)
            #expect(error?.message.contains("/ip4/127.0.0.1/tcp/1/ws") == true)
            let none = await libp2pError {
                _ = try await node.swarm.connect(to: try KeyPair.generate().peerID, addresses: [])
            }
            #expect(none?.code == .dialFailed)
            // With and without the peer, an address is one address.
            let peer = try KeyPair.generate().peerID
            let twice = await libp2pError {
                _ = try await node.swarm.connect(
                    to: peer, addresses: [dead, try dead.appending(peer: peer.multihash)])
            }
            #expect(twice?.message.split(separator: "refused").count == 2)
        }
    }

    @Test("An unspecified address announces those of the interfaces")
    func unspecified() async throws {
        try await withNodes { server, client in
            let addresses = try await server.swarm.listen(on: Multiaddr("/ip4/0.0.0.0/tcp/0"))
            #expect(!addresses.isEmpty)
            #expect(addresses == server.swarm.listenAddresses)
            let loopback = try #require(
                addresses.first { $0.components.first == .ip4(.init(127, 0, 0, 1)) })
            let connection = try await client.swarm.connect(to: loopback)
            #expect(connection.peer == server.peerID)
        }
    }

    @Test("A port that is taken")
    func portTaken() async throws {
        try await withNodes { first, second in
            let address = try #require(try await first.listen().removingPeer())
            let error = await libp2pError { try await second.swarm.listen(on: address) }
            #expect(error?.code == .listenFailed)
            #expect(error?.message.contains("\(address)") == true)
        }
    }

    @Test("An existing connection is reused; disconnecting closes it at both ends")
    func reuse() async throws {
        try await withNodes { server, client in
            let address = try await server.listen()
            let first = try await client.swarm.connect(to: address)
            let second = try await client.swarm.connect(to: server.peerID, addresses: [])
            #expect(first == second)
            // Until it has finished the handshake too, a connection that ends is none that it tells of.
            _ = try await server.connected()
            await client.swarm.disconnect(server.peerID)
            #expect(client.swarm.connections().isEmpty)
            #expect(try await client.disconnected() == nil)
            #expect(try await server.disconnected() == nil)
            #expect(server.swarm.connections().isEmpty)
            let error = await libp2pError { try await first.openStream([.echo]) { _ in EchoHandler() }.get() }
            #expect(error?.code == .connectionClosed)
            let third = try await client.swarm.connect(to: address)
            #expect(third != first)
        }
    }

    @Test("A connection whose peer goes away is no longer offered, and its streams go on")
    func goAway() async throws {
        try await withNodes { server, client in
            let address = try await server.listen()
            let old = try await client.swarm.connect(to: address)
            let events = Recorder<ScriptHandler.Event>()
            let more = old.eventLoop.makePromise(of: Void.self)
            try await old.openStream([.echo]) { _ in
                ScriptHandler(events) { stream in
                    stream.writeAndFlush(ByteBuffer(string: "before"))
                    more.futureResult.assumeIsolated().whenComplete { _ in
                        stream.write(ByteBuffer(string: "after"))
                        stream.finish()
                    }
                }
            }.get()
            // The stream must be open at the other end too before that stops taking streams.
            try await events.first { if case .bytes = $0 { true } else { false } }
            let connected = try await server.connected()
            let inbound = try #require(connected)
            inbound.eventLoop.execute { inbound.muxer.value?.stopAccepting() }
            try await until { old.isClosing }
            #expect(client.swarm.connections().isEmpty)
            let new = try await client.swarm.connect(to: address)
            #expect(new != old)
            more.succeed()
            guard case .closed(nil) = try await events.first(where: \.isClosed) else {
                throw Libp2pError(.internal, "the stream did not end cleanly")
            }
            var received = ByteBuffer()
            for case .bytes(let bytes) in events.elements { received.writeImmutableBuffer(bytes) }
            #expect(received == ByteBuffer(string: "beforeafter"))
        }
    }

    @Test("Each connection's events come in order")
    func eventOrder() async throws {
        try await withNodes { server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            _ = try await client.identified()
            _ = try await server.identified()
            try await connection.close().get()
            _ = try await server.disconnected()
            for node in [server, client] {
                let names = node.events.elements.map { event in
                    switch event {
                    case .connected: "connected"
                    case .identified: "identified"
                    case .superseded: "superseded"
                    case .disconnected: "disconnected"
                    }
                }
                #expect(names == ["connected", "identified", "disconnected"])
            }
        }
    }
}
