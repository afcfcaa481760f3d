import Bitswap
import Blockstore
import Multiformats
import NIOConcurrencyHelpers
import NIOCore
import TestSupport

/// Fifty nodes, each connected to each: one has a file of 64 MiB, the others fetch it, from it and from each other.
public struct Swarm: Scenario {
    public static let name = "swarm"

    var nodes = 50
    var blocks = 256
    var blockBytes = 256 << 10
    /// Bytes a second.
    var uplink = 10_000_000
    var downlink = 40_000_000
    /// Nodes of 49 that misbehave in each of three ways.
    var silent = 0
    var lying = 0
    var leaving = 0
    /// What the figures must not pass, in terms of the ideal. Nobody can come near that here: a node decides what it asks the
    /// source for long before its turn comes there, one in fifty, and word of what others have got meanwhile comes behind the
    /// blocks that are under way to it. So the source sends every block more than once before it has sent each.
    var bounds = Bounds(seedBytes: 2.8, duplicates: 0.01, wantsPerBlock: 52, time: 2.8)

    struct Bounds {
        /// Bytes that the seed sends, over those of the file.
        var seedBytes: Double
        /// Bytes of blocks that came twice, over those that came.
        var duplicates: Double
        var wantsPerBlock: Double
        var time: Double
    }

    public init(size: ScenarioSize) {
        blockBytes /= size.divisor
        uplink /= size.divisor
        downlink /= size.divisor
        guard size == .small else { return }
        nodes = 11
        blocks = 64
        // Wants do not shrink with the blocks: they take their part of the smaller links.
        bounds.time = 3.4
        bounds.seedBytes = 3.4
    }

    private var fileBytes: Int { blocks * blockBytes }

    /// The time in which a file can be distributed at best: no faster than its source sends it once, than the slowest node
    /// receives it, or than all uplinks together send it to everybody (Kurose and Ross, "Computer Networking", 2.5).
    var idealTime: Double {
        let (file, peers) = (Double(fileBytes), Double(nodes - 1))
        return max(
            file / Double(uplink), file / Double(downlink), peers * file / (Double(uplink) * (peers + 1)))
    }

    public func play(seed: UInt64, replay: String) async throws -> Outcome {
        var configuration = Simulation.Configuration()
        // Who has not finished by then never will; it is told what each waits for.
        configuration.timeLimit = .seconds(2 * bounds.time * idealTime)
        return try await Simulation.run(seed: seed, configuration: configuration, replay: replay) { simulation in
            try await play(in: simulation)
        }
    }

    private func play(in simulation: Simulation) async throws -> Outcome {
        let file = makeUpBlocks(blocks, bytes: blockBytes, &simulation.random)
        var configuration = Exchange.Configuration()
        // The windows shrink with the blocks.
        configuration.limits.initialRequestWindow = 4 * blockBytes
        configuration.limits.requestWindow = 64 * blockBytes
        let nodes = (0..<nodes).map { _ in
            simulation.node(configuration: configuration, uplink: uplink, downlink: downlink)
        }
        let (seed, fetchers) = (nodes[0], nodes[1...])
        try await seed.store.put(file)
        for (index, a) in nodes.enumerated() {
            for b in nodes[..<index] {
                let latency = Duration.milliseconds(Int.random(in: 5...50, using: &simulation.random))
                simulation.connect(a, b, LinkProperties(latency: latency))
            }
        }
        assignRoles(fetchers, in: simulation)
        let cids = file.map(\.cid)
        let times = try await withThrowingTaskGroup(of: Duration.self) { group in
            for node in fetchers {
                group.addTask {
                    try await fetch(cids, with: node)
                    return simulation.now
                }
            }
            return try await group.reduce(into: [Double]()) { $0.append($1.inSeconds) }.sorted()
        }
        return Outcome(figures(seed, fetchers, times), trace: simulation.traceHash)
    }

    private func assignRoles(_ fetchers: ArraySlice<SimulatedNode>, in simulation: Simulation) {
        var roles = fetchers.shuffled(using: &simulation.random)[...]
        for node in roles.prefix(silent) { node.misbehaviour = .silent }
        roles = roles.dropFirst(silent)
        for node in roles.prefix(lying) { node.misbehaviour = .lying(blockBytes: blockBytes) }
        roles = roles.dropFirst(lying)
        for node in roles.prefix(leaving) {
            simulation.letComeAndGo(node, meanStay: .seconds(2), meanAbsence: .seconds(1))
        }
    }

    private func figures(_ seed: SimulatedNode, _ fetchers: ArraySlice<SimulatedNode>, _ times: [Double]) -> [Figure] {
        let traffic = fetchers.map(\.traffic)
        func sum(_ value: (Traffic) -> Int) -> Double { Double(traffic.reduce(0) { $0 + value($1) }) }
        let fetched = Double(fetchers.count * blocks)
        return [
            Figure(
                "bytes sent by the seed / file", Double(seed.traffic.blockBytesSent) / Double(fileBytes), ideal: 1,
                bound: bounds.seedBytes),
            Figure(
                "duplicate bytes / bytes", sum(\.duplicateBytesReceived) / sum(\.blockBytesReceived), ideal: 0,
                bound: bounds.duplicates),
            Figure("wants sent per block", sum(\.wantsSent) / fetched, ideal: 1, bound: bounds.wantsPerBlock),
            Figure("of those for the block itself", sum(\.wantBlocksSent) / fetched, ideal: 1),
            Figure("cancels sent per block", sum(\.cancelsSent) / fetched, ideal: 0),
            Figure("bytes of wantlists per block", sum(\.wantlistBytesSent) / fetched),
            Figure("lies sent", sum(\.liesSent)),
            Figure("seconds, first node", times[0], ideal: idealTime),
            Figure("seconds, median node", times[times.count / 2], ideal: idealTime),
            Figure("seconds, last node", times[times.count - 1], ideal: idealTime, bound: bounds.time * idealTime),
        ]
    }
}

/// The same with one node in five silent, one lying and one leaving and coming back: they too fetch the file.
public struct Hostile: Scenario {
    public static let name = "hostile"
    var swarm: Swarm

    public init(size: ScenarioSize) {
        swarm = Swarm(size: size)
        let fifth = swarm.nodes / 5
        (swarm.silent, swarm.lying, swarm.leaving) = (fifth, fifth, fifth)
        // Of fifty uplinks thirty give what they have, and ten of those a part of the time.
        swarm.bounds.time *= 3
        swarm.bounds.seedBytes *= 2
        swarm.bounds.duplicates = 0.04
        // Who comes back asks all others again for what it still wants, and is asked again by all of them.
        swarm.bounds.wantsPerBlock = 120
    }

    public func play(seed: UInt64, replay: String) async throws -> Outcome {
        try await swarm.play(seed: seed, replay: replay)
    }
}

/// Fetches blocks in one session, as they come.
func fetch(_ cids: [CID], with node: SimulatedNode) async throws {
    try await node.exchange.withSession { session in
        // Nobody is to give up before the simulation does.
        for try await _ in session.blocks(for: cids, bytes: 64 << 20, timeout: nil) {}
    }
}

/// Blocks of random bytes.
func makeUpBlocks(_ count: Int, bytes: Int, _ random: inout SplitMix64) -> [Block] {
    (0..<count).map { _ in
        do { return try Block(ByteBuffer(bytes: random.bytes(bytes))) } catch {
            preconditionFailure("a raw block has a CID: \(error)")
        }
    }
}
