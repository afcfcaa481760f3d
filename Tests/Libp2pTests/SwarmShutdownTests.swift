import Multiformats
import NIOCore
import PeerIdentity
import Testing

@testable import Libp2p

@Suite("Swarm: shutting down", .timeLimit(.minutes(5)))
struct SwarmShutdownTests {
    @Test("Everything is closed at both ends, streams end with an error, observers are told")
    func closesEverything() async throws {
        try await withNodes { server, client in
            let events = Recorder<ScriptHandler.Event>()
            let address = try await server.listen()
            let connection = try await client.swarm.connect(to: address)
            try await connection.openStream([.echo]) { _ in ScriptHandler(events) }.get()
            // Until it has finished the handshake too, it has nobody to say goodbye to.
            _ = try await server.connected()
            await server.swarm.shutdown()
            #expect(server.held == nothingHeld)
            #expect(try await server.disconnected() == nil)
            #expect(try await client.disconnected() == nil)
            guard case .closed(.some) = try await events.first(where: \.isClosed) else {
                throw Libp2pError(.internal, "the stream ended without an error")
            }
            let again = await libp2pError { _ = try await client.swarm.connect(to: address) }
            #expect(again?.code == .dialFailed)
        }
    }

    @Test("Afterwards nothing can be begun, and it can be called again")
    func afterwards() async throws {
        let node = try TestNode()
        let address = try await node.listen()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<5 { group.addTask { await node.swarm.shutdown() } }
        }
        await node.swarm.shutdown()
        #expect(node.held == nothingHeld)
        let connecting = await libp2pError {
            _ = try await node.swarm.connect(to: try KeyPair.generate().peerID, addresses: [address])
        }
        #expect(connecting?.code == .shutDown)
        let listening = await libp2pError { try await node.swarm.listen(on: Multiaddr("/ip4/127.0.0.1/tcp/0")) }
        #expect(listening?.code == .shutDown)
        #expect(node.held == nothingHeld)
    }

    @Test("Dials and handshakes under way are given up")
    func dialsEnd() async throws {
        let silent = try await RawListener()
        let node = try TestNode()
        let address = try silent.address
        let dial = Task { try await node.swarm.connect(to: address) }
        try await silent.accepted.first { _ in true }
        let guest = try await rawClient(to: try #require(try await node.listen().removingPeer()))
        await node.swarm.shutdown()
        let error = await libp2pError { _ = try await dial.value }
        #expect(error?.code == .shutDown)
        #expect(node.held == nothingHeld)
        try await silent.closed.first { $0 }
        try await guest.closeFuture.get()
        await silent.close()
    }

    @Test("A peer that reads nothing does not hold it up")
    func deafPeer() async throws {
        try await withNodes({ $0.closeTimeout = .milliseconds(50) }) { server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            let connected = try await server.connected()
            let inbound = try #require(connected)
            try await connection.channel.setOption(.autoRead, value: false).get()
            try await inbound.openStream([.echo]) { _ in
                ScriptHandler(Recorder()) { stream in stream.writeAndFlush(ByteBuffer(repeating: 1, count: 8 << 20)) }
            }.get()
            await server.swarm.shutdown()
            #expect(server.held == nothingHeld)
        }
    }
}
