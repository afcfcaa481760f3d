import Bitswap
import Blockstore
import TestSupport

/// A thousand calls for a thousand blocks that nobody has, all cancelled: nothing of it is left anywhere.
public struct Absent: Scenario {
    public static let name = "absent"

    var peers = 10
    var wants = 1_000

    public init(size: ScenarioSize) {}

    public func play(seed: UInt64, replay: String) async throws -> Outcome {
        try await Simulation.run(seed: seed, replay: replay) { simulation in
            let client = simulation.node()
            let peers = (0..<peers).map { _ in simulation.node() }
            for peer in peers { simulation.connect(client, peer) }
            let absent = makeUpBlocks(wants, bytes: 100, &simulation.random).map(\.cid)
            var known = 0
            await withThrowingTaskGroup(of: Void.self) { group in
                for cid in absent { group.addTask { _ = try await client.exchange.want(cid) } }
                try? await simulation.sleep(for: .seconds(30))
                known = peers.reduce(0) { $0 + ($1.exchange.ledger(of: client.id)?.wants ?? 0) }
                group.cancelAll()
            }
            try await simulation.settle()
            let left = peers.reduce(0) { $0 + ($1.exchange.ledger(of: client.id)?.wants ?? 0) }
            let figures = [
                Figure("wants known to peers before", Double(known)),
                Figure("wants known to peers after", Double(left), ideal: 0, bound: 0),
                Figure("wants left at the client", Double(client.exchange.wantlist.count), ideal: 0, bound: 0),
            ]
            return Outcome(figures, trace: simulation.traceHash)
        }
    }
}
