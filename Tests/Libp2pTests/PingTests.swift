import NIOCore
import PeerIdentity
import Testing

@testable import Libp2p

@Suite("Ping", .timeLimit(.minutes(5)))
struct PingTests {
    @Test("There and back, from either side, alone and together")
    func bothWays() async throws {
        try await withNodes { server, client in
            _ = try await client.swarm.connect(to: try await server.listen())
            _ = try await server.connected()
            #expect(try await client.swarm.ping(server.peerID) > .zero)
            #expect(try await server.swarm.ping(client.peerID) > .zero)
            try await withThrowingTaskGroup(of: Duration.self) { group in
                for _ in 0..<20 { group.addTask { try await client.swarm.ping(server.peerID) } }
                for try await roundTrip in group { #expect(roundTrip > .zero) }
            }
        }
    }

    @Test("Nobody to ping")
    func notConnected() async throws {
        try await withNodes { server, client in
            let error = await libp2pError { _ = try await client.swarm.ping(server.peerID) }
            #expect(error?.code == .notConnected)
        }
    }

    @Test("A peer that does not answer, answers something else, or closes")
    func badPeers() async throws {
        let scripts: [(@Sendable (Libp2p.Stream) -> Void, Libp2pError.Code)] = [
            ({ _ in }, .timeout),
            ({ $0.writeAndFlush(ByteBuffer(repeating: 0, count: 32)) }, .protocolViolation),
            ({ $0.finish() }, .streamClosed),
            ({ $0.reset() }, .streamReset),
        ]
        for (script, code) in scripts {
            try await withNodes({ _ in }, { $0.pingTimeout = .milliseconds(200) }) { server, client in
                server.swarm.handle([.ping]) { _, _ in ScriptHandler(Recorder(), script) }
                _ = try await client.swarm.connect(to: try await server.listen())
                let error = await libp2pError { _ = try await client.swarm.ping(server.peerID) }
                #expect(error?.code == code)
            }
        }
    }

    @Test("The responder echoes payloads cut anywhere, any number, and then closes")
    func echoes() async throws {
        try await withNodes { server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            var generator = SplitMix(seed: 31)
            let bytes = ByteBuffer(bytes: generator.bytes(32 * 100))
            let events = try await run([.ping], on: connection) { stream in
                var rest = bytes
                while rest.readableBytes > 0 {
                    let part = rest.readSlice(length: min(rest.readableBytes, 13)) ?? ByteBuffer()
                    stream.writeAndFlush(part)
                }
                stream.finish()
            }
            var echoed = ByteBuffer()
            for case .bytes(let part) in events { echoed.writeImmutableBuffer(part) }
            #expect(echoed == bytes)
            guard case .closed(nil) = events.last else { throw Libp2pError(.internal, "not closed cleanly") }
        }
    }

    @Test("Two streams of a peer, not three")
    func streams() async throws {
        try await withNodes { server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            let payload = ByteBuffer(repeating: 9, count: 32)
            var held: [Recorder<ScriptHandler.Event>] = []
            for _ in 0..<2 {
                let events = Recorder<ScriptHandler.Event>()
                try await connection.openStream([.ping]) { _ in
                    ScriptHandler(events) { $0.writeAndFlush(payload) }
                }.get()
                try await events.first { if case .bytes = $0 { true } else { false } }
                held.append(events)
            }
            let third = try await run([.ping], on: connection) { $0.writeAndFlush(payload) }
            guard case .closed(let error?) = third.last else { throw Libp2pError(.internal, "not reset") }
            #expect(error.code == .streamReset)
            #expect(held.allSatisfy { !$0.elements.contains(where: \.isClosed) })
        }
    }
}
