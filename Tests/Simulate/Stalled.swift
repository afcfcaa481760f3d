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
        blockBytes /= size.divisor
        uplink /= size.divisor
    }

    public func play(seed: UInt64, replay: String) async throws -> [Figure] {
        let alone = try await throughput(besides: 0, seed: seed, replay: replay)
        var figures = [Figure("bytes a second of the healthy, alone", alone, ideal: Double(uplink))]
        for stalled in [1, 20] {
            let value = try await throughput(besides: stalled, seed: seed, replay: replay)
            figures.append(Figure("lost beside \(stalled) stalled", 1 - value / alone, ideal: 0, bound: 0.05))
        }
        return figures
    }

    private func throughput(besides stalled: Int, seed: UInt64, replay: String) async throws -> Double {
        try await Simulation.run(seed: seed, replay: replay) { simulation in
            let server = simulation.node(uplink: uplink)
            let file = makeUpBlocks(blocks, bytes: blockBytes, &simulation.random)
            try await server.store.put(file)
            let link = LinkProperties(latency: .milliseconds(20))
            for _ in 0..<stalled {
                let peer = simulation.scriptedPeer()
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
            return Double(healthy * blocks * blockBytes) / (simulation.now - start).inSeconds
        }
    }
}
