import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers
import Testing

@testable import Libp2p

@Suite("Swarm: one dial for many callers", .timeLimit(.minutes(5)))
struct SwarmDialTests {
    @Test("Callers at the same time share a dial")
    func shared() async throws {
        try await withNodes { server, client in
            let address = try await server.listen()
            let connections = try await withThrowingTaskGroup(of: Connection.self) { group in
                for _ in 0..<20 { group.addTask { try await client.swarm.connect(to: address) } }
                return try await group.reduce(into: Set<Connection>()) { $0.insert($1) }
            }
            #expect(connections.count == 1)
            _ = try await server.connected()
            #expect(server.swarm.connections().count == 1)
        }
    }

    @Test("A later caller's addresses join the dial")
    func addressesJoin() async throws {
        let silent = try await RawListener()
        try await withNodes({ _ in }, { $0.dialStagger = .milliseconds(10) }) { server, client in
            let address = try await server.listen()
            async let first = client.swarm.connect(to: server.peerID, addresses: [try silent.address])
            try await silent.accepted.first { _ in true }
            let second = try await client.swarm.connect(to: server.peerID, addresses: [address])
            #expect(try await first == second)
        }
        await silent.close()
    }

    @Test("Who is cancelled leaves the dial to the others; the last one takes it along")
    func cancellation() async throws {
        let silent = try await RawListener()
        try await withNode { node in
            let peer = try KeyPair.generate().peerID
            let address = try silent.address
            let first = Task { try await node.swarm.connect(to: peer, addresses: [address]) }
            try await silent.accepted.first { _ in true }
            let second = Task { try await node.swarm.connect(to: peer, addresses: [address]) }
            try await until { node.swarm.state.withLockedValue({ $0.dials.values.first?.waiters.count }) == 2 }

            first.cancel()
            await #expect(throws: CancellationError.self) { _ = try await first.value }
            #expect(node.swarm.state.withLockedValue { $0.dials.count } == 1)
            #expect(silent.closed.elements.isEmpty)

            second.cancel()
            await #expect(throws: CancellationError.self) { _ = try await second.value }
            #expect(node.swarm.state.withLockedValue { $0.dials.count } == 0)
            try await silent.closed.first { $0 }
            #expect(silent.accepted.elements.count == 1)
        }
        await silent.close()
    }

    @Test("A task that is cancelled already does not dial")
    func cancelledBefore() async throws {
        try await withNodes { server, client in
            let address = try await server.listen()
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await client.swarm.connect(to: address)
            }
            await #expect(throws: CancellationError.self) { _ = try await task.value }
            #expect(client.held == nothingHeld)
        }
    }

    @Test("Two nodes that dial each other at once both succeed")
    func simultaneous() async throws {
        try await withNodes { first, second in
            let firstAddress = try await first.listen()
            let secondAddress = try await second.listen()
            async let there = first.swarm.connect(to: secondAddress)
            async let back = second.swarm.connect(to: firstAddress)
            let (out, back2) = try await (there, back)
            #expect(out.peer == second.peerID)
            #expect(back2.peer == first.peerID)
            #expect(try await first.swarm.ping(second.peerID) > .zero)
            #expect(try await second.swarm.ping(first.peerID) > .zero)
        }
    }
}
