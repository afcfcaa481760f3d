import Multiformats
import NIOCore
import PeerIdentity
import Testing

@testable import Libp2p

@Suite("Two nodes that dial each other at once", .timeLimit(.minutes(5)))
struct SimultaneousDialTests {
    // Whatever a busy machine makes of it, both dial in the same moment.

    private func quick(_ configuration: inout SwarmConfiguration) {
        configuration.supersededGrace = .milliseconds(20)
        configuration.simultaneousDialWindow = .seconds(300)
    }

    /// Two connections, one from each side: what each has dialled.
    private func dialBoth(_ first: TestNode, _ second: TestNode) async throws -> (Connection, Connection) {
        let addresses = (try await first.listen(), try await second.listen())
        // Without the peer an address is dialled whether there is a connection or not.
        return (
            try await first.swarm.connect(to: try #require(addresses.1.removingPeer())),
            try await second.swarm.connect(to: try #require(addresses.0.removingPeer()))
        )
    }

    @Test("One connection is left, which the lower peer ID dialled")
    func oneIsLeft() async throws {
        try await withNodes(quick, quick) { first, second in
            let (fromFirst, fromSecond) = try await dialBoth(first, second)
            for node in [first, second] {
                try await node.events.first { if case .superseded = $0 { true } else { false } }
            }
            try await until { first.swarm.connections().count == 1 && second.swarm.connections().count == 1 }
            let isFirstLower = first.peerID < second.peerID
            let left = isFirstLower ? fromFirst : fromSecond
            #expect((isFirstLower ? first : second).swarm.connections() == [left])
            #expect(left.isSuperseded == false && left.isClosing == false)
        }
    }

    @Test("A stream on the other one is not cut off")
    func streamsGoOn() async throws {
        try await withNodes(quick, quick) { first, second in
            let (lower, higher) = first.peerID < second.peerID ? (first, second) : (second, first)
            let addresses = (try await lower.listen(), try await higher.listen())
            let extra = try await higher.swarm.connect(to: try #require(addresses.0.removingPeer()))
            let goOn = extra.eventLoop.makePromise(of: Void.self)
            defer { goOn.succeed() }
            let events = Recorder<ScriptHandler.Event>()
            try await extra.openStream([.echo]) { _ in
                ScriptHandler(events) { stream in
                    let bound = NIOLoopBound(stream, eventLoop: stream.eventLoop)
                    goOn.futureResult.whenSuccess {
                        bound.value.write(ByteBuffer(string: "still here"))
                        bound.value.finish()
                    }
                }
            }.get()
            _ = try await lower.swarm.connect(to: try #require(addresses.1.removingPeer()))
            try await higher.events.first { if case .superseded = $0 { true } else { false } }
            // Many times the grace.
            try await Task.sleep(for: .milliseconds(200))
            #expect(!extra.isClosing)
            goOn.succeed()
            try await events.first(where: \.isClosed)
            #expect(events.elements.contains { if case .bytes = $0 { true } else { false } })
            guard case .closed(nil) = events.elements.last else {
                Issue.record("cut off: \(events.elements)")
                return
            }
            try await until { higher.swarm.connections().count == 1 }
            #expect(extra.isClosing)
        }
    }

    @Test("A second connection from the same side is left alone, and the newer one is used")
    func sameSide() async throws {
        try await withNodes(quick, quick) { server, client in
            let address = try #require(try await server.listen().removingPeer())
            _ = try await client.swarm.connect(to: address)
            let newer = try await client.swarm.connect(to: address)
            try await until { server.swarm.connections().count == 2 }
            #expect(client.swarm.connection(to: server.peerID) === newer)
            try await Task.sleep(for: .milliseconds(100))
            #expect(client.swarm.connections().count == 2)
        }
    }

    @Test("Connections whose own address is gone from the machine are closed, others are not")
    func networkChanged() async throws {
        try await withNodes { server, client in
            _ = try await client.swarm.connect(to: try await server.listen())
            // Until it has finished the handshake too, a connection that ends is none that it tells of.
            _ = try await server.connected()
            let loopback = try #require(NetworkInterface.all().first { $0.isLoopback })
            client.swarm.networkChanged(to: [loopback])
            client.swarm.networkChanged(to: [])
            #expect(client.swarm.connections().count == 1)
            let elsewhere = IPNetwork(.v4(Multiaddr.IPv4(192, 0, 2, 1)), prefixLength: 24)
            client.swarm.networkChanged(to: [NetworkInterface(name: "e0", index: 7, networks: [elsewhere])])
            _ = try await server.disconnected()
            #expect(client.swarm.connections().isEmpty)
        }
    }
}
