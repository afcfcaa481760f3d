import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers
import Testing

@testable import Libp2p

@Suite("Identify: between two nodes", .timeLimit(.minutes(5)))
struct IdentifyTests {
    @Test("Each side learns who the other is")
    func bothWays() async throws {
        try await withNodes({ $0.agentVersion = "server/1" }, { $0.agentVersion = "client/2" }) { server, client in
            let address = try await server.listen()
            let connection = try await client.swarm.connect(to: address)
            let aboutServer = try await client.identified()
            #expect(aboutServer.agentVersion == "server/1")
            #expect(aboutServer.protocolVersion == "ipfs/0.1.0")
            #expect(aboutServer.publicKey == server.swarm.identity.publicKey)
            #expect(aboutServer.listenAddresses == [try #require(address.removingPeer())])
            #expect(aboutServer.recordNumber != nil)
            #expect(aboutServer.observedAddress == connection.localAddress)
            #expect(aboutServer.protocols == [.identify, .identifyPush, .ping, .echo])
            #expect(connection.identifyInfo == aboutServer)
            let aboutClient = try await server.identified()
            #expect(aboutClient.agentVersion == "client/2")
            #expect(aboutClient.listenAddresses.isEmpty)
            #expect(aboutClient.observedAddress == connection.remoteAddress)
        }
    }

    @Test("New protocols and addresses are pushed, and so is what goes")
    func push() async throws {
        try await withNodes { server, client in
            _ = try await client.swarm.connect(to: try await server.listen())
            _ = try await client.identified()
            _ = try await server.identified()
            server.swarm.handle(["/test/new"]) { _, _ in EchoHandler() }
            _ = try await client.identified { $0.protocols.contains("/test/new") }
            server.swarm.stopHandling([.echo])
            _ = try await client.identified { !$0.protocols.contains(.echo) }
            let address = try await client.listen()
            let about = try await server.identified { !$0.listenAddresses.isEmpty }
            #expect(about.listenAddresses == [try #require(address.removingPeer())])
        }
    }

    @Test("A change while the peer is still asking reaches it")
    func earlyChange() async throws {
        try await withNodes { server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            server.swarm.handle(["/test/early"]) { _, _ in EchoHandler() }
            _ = try await client.identified { $0.protocols.contains("/test/early") }
            #expect(connection.identifyInfo?.protocols.contains("/test/early") == true)
        }
    }

    @Test("A peer that pushes the key of another, too much, or rubbish, is not believed and stays connected")
    func badPushes() async throws {
        try await withNodes { server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            let before = try await server.identified()
            var wrongKey = IdentifyMessage()
            wrongKey.publicKey = try KeyPair.generate().publicKey.protobufBytes
            wrongKey.agentVersion = Array("liar".utf8)
            let messages = [
                try wrongKey.framed(), ByteBuffer(repeating: 0xFF, count: 100), ByteBuffer(),
                ByteBuffer(repeating: 0, count: server.swarm.configuration.limits.identifyBytes + 1),
            ]
            for message in messages {
                _ = try await run([.identifyPush], on: connection) { stream in
                    stream.write(message)
                    stream.finish()
                }
            }
            #expect(server.swarm.connections().first?.identifyInfo == before)
            #expect(try await server.swarm.ping(client.peerID) > .zero)
        }
    }

    @Test("Pushes within a minute: the limit and one past it")
    func pushLimit() async throws {
        try await withNodes({ $0.limits.identifyPushesPerMinute = 2 }) { server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            _ = try await server.identified()
            for number in 1...3 {
                var message = IdentifyMessage()
                message.agentVersion = Array("agent \(number)".utf8)
                let bytes = try message.framed()
                _ = try await run([.identifyPush], on: connection) { stream in
                    stream.write(bytes)
                    stream.finish()
                }
            }
            #expect(server.swarm.connections().first?.identifyInfo?.agentVersion == "agent 2")
        }
    }

    @Test("A peer that does not say who it is stays connected, unidentified")
    func silentPeer() async throws {
        try await withNodes({ _ in }, { $0.identifyTimeout = .milliseconds(50) }) { server, client in
            server.swarm.stopHandling([.identify])
            server.swarm.handle([.identify]) { _, _ in ScriptHandler(Recorder()) }
            let connection = try await client.swarm.connect(to: try await server.listen())
            _ = try await server.identified()
            #expect(try await client.swarm.ping(server.peerID) > .zero)
            #expect(connection.identifyInfo == nil)
        }
    }
}
