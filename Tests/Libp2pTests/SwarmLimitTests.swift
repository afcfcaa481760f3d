import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers
import Testing

@testable import Libp2p

@Suite("Swarm: limits", .timeLimit(.minutes(5)))
struct SwarmLimitTests {
    /// A raw connection that the server has counted.
    private func guest(of server: TestNode, at address: Multiaddr, expecting count: Int) async throws -> any Channel {
        let channel = try await rawClient(to: try #require(address.removingPeer()))
        try await until { server.swarm.state.withLockedValue({ $0.ledger.inbound }) >= count }
        return channel
    }

    @Test("Handshakes under way: the limit, one past it, and room again")
    func pendingHandshakes() async throws {
        try await withNodes({ $0.limits.pendingInboundHandshakes = 2 }) { server, client in
            let address = try await server.listen()
            let guests = [
                try await guest(of: server, at: address, expecting: 1),
                try await guest(of: server, at: address, expecting: 2),
            ]
            let past = await libp2pError { _ = try await client.swarm.connect(to: address) }
            #expect(past != nil)
            #expect(server.swarm.state.withLockedValue { $0.ledger.pendingInbound } == 2)
            try await guests[0].close()
            try await until { server.swarm.state.withLockedValue({ $0.ledger.pendingInbound }) != 2 }
            _ = try await client.swarm.connect(to: address)
            try await guests[1].close()
        }
    }

    @Test("Handshakes under way from one address: the limit, one past it, and room again")
    func pendingHandshakesPerSource() async throws {
        try await withNodes({ $0.limits.pendingInboundHandshakesPerSource = 1 }) { server, client in
            let address = try await server.listen()
            let guest = try await guest(of: server, at: address, expecting: 1)
            #expect(await libp2pError { _ = try await client.swarm.connect(to: address) } != nil)
            try await guest.close()
            try await until { server.held[0] == 0 }
            // Who is done with the handshake is not counted.
            _ = try await client.swarm.connect(to: address)
            _ = try await client.swarm.connect(to: try #require(address.removingPeer()))
        }
    }

    @Test("A guest that never finishes its handshake is shown out")
    func slowGuest() async throws {
        try await withNodes({ $0.handshakeTimeout = .milliseconds(50) }) { server, _ in
            let channel = try await rawClient(to: try #require(try await server.listen().removingPeer()))
            try await channel.closeFuture.get()
            try await until { server.held[0] == 0 }
            #expect(server.events.elements.isEmpty)
        }
    }

    @Test("Sockets from one address")
    func perSource() async throws {
        try await withNodes({ $0.limits.inboundConnectionsPerSource = 1 }) { server, client in
            let address = try await server.listen()
            let guest = try await guest(of: server, at: address, expecting: 1)
            #expect(await libp2pError { _ = try await client.swarm.connect(to: address) } != nil)
            try await guest.close()
            try await until { server.held[0] == 0 }
            _ = try await client.swarm.connect(to: address)
        }
    }

    @Test("Sockets in all, inbound and outbound")
    func inAll() async throws {
        try await withNodes({ $0.limits.connections = 1 }) { server, client in
            let address = try await server.listen()
            let clientAddress = try await client.listen()
            _ = try await client.swarm.connect(to: address)
            _ = try await server.connected()
            // One past it from outside.
            let third = try TestNode()
            #expect(await libp2pError { _ = try await third.swarm.connect(to: address) } != nil)
            await third.swarm.shutdown()
            // And from inside: a peer that is connected is reused, so it is dialled without its name.
            let bare = try #require(clientAddress.removingPeer())
            let error = await libp2pError { _ = try await server.swarm.connect(to: bare) }
            #expect(error?.code == .limitReached)
        }
    }

    @Test("Connections with one peer")
    func perPeer() async throws {
        try await withNodes({ $0.limits.connectionsPerPeer = 2 }) { server, client in
            let address = try #require(try await server.listen().removingPeer())
            _ = try await client.swarm.connect(to: address)
            _ = try await client.swarm.connect(to: address)
            try await until { server.swarm.connections().count >= 2 }
            // The client sees a connection that is closed before or after it is up.
            let third = try? await client.swarm.connect(to: address)
            try? await third?.close().get()
            try await until { server.held[0] == 2 }
            #expect(server.swarm.connections(to: client.peerID).count == 2)
            #expect(try await server.swarm.ping(client.peerID) > .zero)
        }
    }

    @Test("Streams for one protocol: the limit, one past it, and room again", arguments: [false, true])
    func streamsPerProtocol(isException: Bool) async throws {
        try await withNodes({
            $0.limits.inboundStreamsPerProtocol = isException ? 1 : 2
            if isException { $0.limits.inboundStreamsByProtocol["/test/held"] = 2 }
        }) { server, client in
            let atServer = Recorder<ScriptHandler.Event>()
            server.swarm.handle(["/test/held"]) { _, _ in ScriptHandler(atServer) }
            let connection = try await client.swarm.connect(to: try await server.listen())
            let opened = { @Sendable in atServer.elements.count { if case .opened = $0 { true } else { false } } }
            let release = connection.eventLoop.makePromise(of: Void.self)
            var held: [Recorder<ScriptHandler.Event>] = []
            for _ in 0..<2 {
                let events = Recorder<ScriptHandler.Event>()
                try await connection.openStream(["/test/held"]) { _ in
                    ScriptHandler(events) { stream in
                        stream.writeAndFlush(ByteBuffer(string: "x"))
                        release.futureResult.assumeIsolated().whenComplete { _ in stream.reset() }
                    }
                }.get()
                held.append(events)
            }
            let past = try await run(["/test/held"], on: connection) { $0.writeAndFlush(ByteBuffer(string: "x")) }
            guard case .closed(let error?) = past.last else { throw Libp2pError(.internal, "not reset") }
            #expect(error.code == .streamReset)
            #expect(opened() == 2)
            // Other streams are not touched.
            #expect(held.allSatisfy { !$0.elements.contains(where: \.isClosed) })
            #expect(try await client.swarm.ping(server.peerID) > .zero)
            // And when they end there is room again.
            release.succeed()
            for events in held { try await events.first(where: \.isClosed) }
            _ = try await client.swarm.ping(server.peerID)
            _ = try await run(["/test/held"], on: connection) { stream in
                stream.writeAndFlush(ByteBuffer(string: "x"))
                stream.finish()
                stream.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(20)) { stream.reset() }
            }
            try await until { opened() >= 3 }
        }
    }

    @Test("A node full of guests can still dial")
    func guestsLeaveRoom() async throws {
        try await withNodes({ $0.limits.inboundConnections = 1 }) { server, client in
            let address = try await server.listen()
            let clientAddress = try await client.listen()
            let guest = try await guest(of: server, at: address, expecting: 1)
            #expect(await libp2pError { _ = try await client.swarm.connect(to: address) } != nil)
            _ = try await server.swarm.connect(to: clientAddress)
            try await guest.close()
        }
    }

    @Test("Dials under way")
    func dials() async throws {
        let silent = try await RawListener()
        try await withNode({ $0.limits.dials = 1 }) { node in
            let address = try silent.address
            let first = Task { try await node.swarm.connect(to: address) }
            try await silent.accepted.first { _ in true }
            let error = await libp2pError { _ = try await node.swarm.connect(to: address) }
            #expect(error?.code == .limitReached)
            first.cancel()
            _ = await first.result
        }
        await silent.close()
    }

    @Test("Bytes that are no multistream end the connection and leave nothing behind")
    func garbage() async throws {
        try await withNodes { server, client in
            let address = try await server.listen()
            var generator = SplitMix(seed: 11)
            for _ in 0..<50 {
                let channel = try await rawClient(to: try #require(address.removingPeer()))
                let bytes = generator.bytes(Int.random(in: 1...2_000, using: &generator))
                try? await channel.writeAndFlush(ByteBuffer(bytes: bytes))
                try? await channel.close()
            }
            try await until { server.held[0] == 0 }
            #expect(server.events.elements.isEmpty)
            _ = try await client.swarm.connect(to: address)
        }
    }
}

@Suite("Swarm: the ledger")
struct ConnectionLedgerTests {
    private func source(_ number: UInt64) -> ConnectionLedger.Source { .init(prefix: number, isIPv6: false) }

    @Test("Random comings and goings never pass a limit and end at zero")
    func property() throws {
        var limits = SwarmLimits()
        limits.connections = 10
        limits.inboundConnections = 7
        limits.connectionsPerPeer = 3
        limits.inboundConnectionsPerSource = 4
        limits.pendingInboundHandshakes = 3
        limits.pendingInboundHandshakesPerSource = 2
        var ledger = ConnectionLedger(limits: limits)
        var generator = SplitMix(seed: 5)
        let peers = try (0..<3).map { _ in try KeyPair.generate().peerID }
        var tickets: [ConnectionLedger.Ticket] = []
        var refusals: Set<String> = []
        for _ in 0..<20_000 {
            do throws(ConnectionLedger.Refusal) {
                switch Int.random(in: 0..<5, using: &generator) {
                case 0, 1:
                    tickets.append(
                        try ledger.admitInbound(from: source(UInt64.random(in: 0...2, using: &generator))))
                case 2:
                    tickets.append(try ledger.admitOutbound())
                case 3:
                    guard let index = tickets.indices.randomElement(using: &generator) else { continue }
                    guard tickets[index].peer == nil, let peer = peers.randomElement(using: &generator) else {
                        continue
                    }
                    try ledger.establish(&tickets[index], with: peer)
                default:
                    guard let index = tickets.indices.randomElement(using: &generator) else { continue }
                    ledger.release(tickets.remove(at: index))
                }
            } catch {
                refusals.insert(error.rawValue)
            }
            #expect(ledger.total == tickets.count)
            #expect(ledger.total <= limits.connections)
            #expect(ledger.inbound <= limits.inboundConnections)
            #expect(ledger.pendingInbound <= limits.pendingInboundHandshakes)
            #expect(ledger.byPeer.values.allSatisfy { $0 <= limits.connectionsPerPeer })
            #expect(ledger.bySource.values.allSatisfy { $0 <= limits.inboundConnectionsPerSource })
            #expect(ledger.pendingBySource.values.allSatisfy { $0 <= limits.pendingInboundHandshakesPerSource })
            #expect(ledger.pendingBySource.values.reduce(0, +) == ledger.pendingInbound)
        }
        let kinds: Set = [
            "connections", "inbound_connections", "source", "pending_handshakes", "pending_handshakes_of_source",
            "peer",
        ]
        #expect(refusals == kinds)
        for ticket in tickets { ledger.release(ticket) }
        #expect(ledger.total == 0 && ledger.inbound == 0 && ledger.pendingInbound == 0)
        #expect(ledger.bySource.isEmpty && ledger.pendingBySource.isEmpty && ledger.byPeer.isEmpty)
    }

    @Test("IPv6 addresses of one /64 are one source, IPv4 addresses are each their own")
    func sources() throws {
        func source(_ text: String) throws -> ConnectionLedger.Source? {
            ConnectionLedger.Source(try SocketAddress(ipAddress: text, port: 1))
        }
        #expect(try source("2001:db8::1") == source("2001:db8::2:3"))
        #expect(try source("2001:db8::1") != source("2001:db8:0:1::1"))
        #expect(try source("192.0.2.1") != source("192.0.2.2"))
        #expect(try source("::c000:201") != source("192.0.2.1"))
    }
}
