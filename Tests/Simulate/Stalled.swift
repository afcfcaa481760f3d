import Bitswap
import Blockstore
import NIOConcurrencyHelpers
import TestSupport

/// A server whose response window is filled by peers that asked for everything and read nothing, and four more that fetch
/// a file from it meanwhile: what they get must not depend on the others.
public struct Stalled: Scenario {
    public static let name = "stalled"

    var healthy = 4
    var blocks = 256
    var blockBytes = 256 << 10
    var uplink = 40_000_000

    public init(size: ScenarioSize) {
        // The file must be larger than a stalled peer's window and all that the server queues for it.
        if size == .small {
            blockBytes /= 4
            uplink /= 4
        }
    }

    public func play(seed: UInt64, replay: String) async throws -> Outcome {
        let alone = try await run(besides: 0, seed: seed, replay: replay)
        var outcome = Outcome(
            [Figure("bytes a second of the healthy, alone", alone.throughput, ideal: Double(uplink))],
            trace: alone.trace)
        for stalled in [1, 20] {
            let run = try await run(besides: stalled, seed: seed, replay: replay)
            outcome.figures.append(
                Figure("lost beside \(stalled) stalled", 1 - run.throughput / alone.throughput, ideal: 0, bound: 0.05))
            outcome.figures.append(Figure("room left in the windows of those", run.room, ideal: 0, bound: 0.125))
            outcome.trace ^= run.trace
        }
        return outcome
    }

    private func run(
        besides stalled: Int, seed: UInt64, replay: String
    ) async throws -> (throughput: Double, room: Double, trace: UInt64) {
        try await Simulation.run(seed: seed, replay: replay) { simulation in
            let server = simulation.node(uplink: uplink)
            let file = makeUpBlocks(blocks, bytes: blockBytes, &simulation.random)
            try await server.store.put(file)
            let link = LinkProperties(latency: .milliseconds(20))
            let stalled = (0..<stalled).map { _ in simulation.scriptedPeer() }
            for peer in stalled {
                simulation.connect(peer, server, link)
                peer.stopReading(from: server)
                try peer.send(WireMessage(wants: file.map(\.cid)), to: server)
            }
            try await simulation.settle()
            let nodes = (0..<healthy).map { _ in simulation.node() }
            for node in nodes { simulation.connect(node, server, link) }
            let start = simulation.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                for node in nodes { group.addTask { try await fetch(file.map(\.cid), with: node) } }
                try await group.waitForAll()
            }
            let throughput = Double(healthy * blocks * blockBytes) / (simulation.now - start).inSeconds
            let room = stalled.map { 1 - Double(server.bytesSent(to: $0)) / Double(link.window) }.max() ?? 0
            return (throughput, room, simulation.traceHash)
        }
    }
}
