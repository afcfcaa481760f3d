import ArgumentParser
import Bitswap
import BitswapNode
import Blockstore
import Libp2p
import Multiformats
import NIOPosix
import PeerIdentity

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The side of a benchmark that fetches: as many nodes as there are to be connections, all with one store.
///
/// Says `connected` once they all are, and answers `fetch` with `fetched`, `single` with `single`, `cold` with `cold`. The
/// peer may be any that speaks Bitswap, for all but `single`.
struct BenchClient: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-client", abstract: "One side of bitswap bench.", shouldDisplay: false)

    @Option var store: String
    @Option var cids: String
    @Option var address: String
    @Option var bare: UInt16 = 0
    @Option var connections = 1
    /// How many of the CIDs count.
    @Option var blocks = Int.max
    /// Bytes of blocks that a connection has asked for at a time.
    @Option var asked = 32 << 20
    @Option var durability: BenchDurability
    @Option var security: BenchSecurity

    /// How long to wait for a block: what takes so long has failed.
    private static let timeout = Duration.seconds(120)

    func run() async throws {
        raiseFileLimit()
        let cids = try readCIDs()
        let address = try Multiaddr(address)
        var options = LMDBBlockstore.Configuration()
        options.durability = durability.durability
        let store = try LMDBBlockstore(path: store, configuration: options)
        let nodes = try (0..<connections).map { _ in try makeNode(store) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in nodes { group.addTask { try await node.run() } }
            defer { group.cancelAll() }
            let began = ContinuousClock.now
            // So many at a time as other nodes let in.
            try await forEachConcurrently(nodes, limit: 32) {
                try await $0.swarm.connect(to: address)
            } emit: { _ in
            }
            var line = BenchLine("connected")
            line.set("nanoseconds", began.duration(to: .now).nanoseconds)
            Console.print(line.description)
            for await text in LineReader(0, onEnd: leave) {
                guard let line = BenchLine(parsing: text) else { continue }
                let count = Int(line.number("count") ?? 0)
                switch line.word {
                case "fetch": Console.print(try await fetch(cids, nodes, store).description)
                case "single": Console.print(try await fetchOneByOne(cids.prefix(count), nodes[0]).description)
                case "cold":
                    Console.print(try await fetchFromNothing(cids.suffix(count), address, store).description)
                default: throw CommandFailure(message: "\(line.word) is no order for a client")
                }
            }
        }
    }

    private func makeNode(_ store: LMDBBlockstore) throws -> BitswapNode {
        var configuration = BitswapNode.Configuration()
        security.narrow(&configuration.swarm)
        return BitswapNode(
            identity: try KeyPair.generate(), store: store, configuration: configuration, logger: BenchServer.logger)
    }

    private func readCIDs() throws -> [CID] {
        guard let file = fopen(cids, "r") else {
            throw CommandFailure(message: "cannot read \(cids): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var found: [CID] = []
        while found.count < blocks, let line = readLine(from: file) { found.append(try CID(line)) }
        return found
    }

    private func readLine(from file: UnsafeMutablePointer<FILE>) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard let start = buffer.baseAddress, fgets(start, Int32(buffer.count), file) != nil else { return nil }
            let text = String(cString: start)
            return text.hasSuffix("\n") ? String(text.dropLast()) : text
        }
    }

    // MARK: Many blocks

    /// Every node fetches its part of the blocks, all of them at once.
    private func fetch(_ cids: [CID], _ nodes: [BitswapNode], _ store: LMDBBlockstore) async throws -> BenchLine {
        let storedBefore = try await store.statistics()
        let asked = asked
        let sampler = PeakSampler()
        _ = sampler.takePeak()
        let before = Usage.now()
        let began = ContinuousClock.now
        let parts = try await withThrowingTaskGroup(of: (time: Duration, blocks: [Double]).self) { group in
            for (index, node) in nodes.enumerated() {
                let part = cids[cids.count * index / nodes.count..<cids.count * (index + 1) / nodes.count]
                group.addTask {
                    let times = try await Self.fetch(part, of: node, bytes: asked)
                    return (began.duration(to: .now), times)
                }
            }
            return try await sampler.watch { try await group.reduce(into: []) { $0.append($1) } }
        }
        let wall = began.duration(to: .now)
        let used = Usage.now() - before

        let storedAfter = try await store.statistics()
        var line = BenchLine("fetched")
        line.set("wall", wall.nanoseconds)
        line.set("blocks", storedAfter.blockCount - storedBefore.blockCount)
        line.set("bytes", storedAfter.byteCount - storedBefore.byteCount)
        Percentiles(parts.flatMap(\.blocks)).write(to: &line, "block")
        // All parts are alike, so a part's rate is the inverse of its time.
        let rates = parts.map { 1 / $0.time.nanoseconds }
        if let least = rates.min() { line.set("slowest", least / (rates.reduce(0, +) / Double(rates.count))) }
        used.write(to: &line)
        line.set("privatePeak", sampler.takePeak())
        return line
    }

    /// Returns how long each block took, in nanoseconds, from its being asked for to its being stored.
    private static func fetch(_ cids: ArraySlice<CID>, of node: BitswapNode, bytes: Int) async throws -> [Double] {
        try await node.blocks.withSession { session in
            var times: [Double] = []
            times.reserveCapacity(cids.count)
            for try await fetched in session.blocks(for: cids, bytes: bytes, timeout: timeout) {
                times.append(try elapsed(fetched))
            }
            return times
        }
    }

    private static func elapsed(_ fetched: FetchedBlock) throws -> Double {
        guard case .network(_) = fetched.source else {
            throw CommandFailure(message: "\(fetched.block.cid) was in the store already")
        }
        return fetched.elapsed.nanoseconds
    }

    // MARK: One block

    /// One block after the other on an open connection: half of them for a task of its event loop, half for another. Then
    /// as many bare requests to the same process.
    private func fetchOneByOne(_ cids: ArraySlice<CID>, _ node: BitswapNode) async throws -> BenchLine {
        guard let connection = node.swarm.connections().first else {
            throw CommandFailure(message: "the connection of the benchmark was closed")
        }
        let count = cids.count / 2
        let elsewhere = try await Self.fetchOneByOne(cids.prefix(count), node)
        let onLoop = try await withTaskExecutorPreference(connection.taskExecutor) {
            try await Self.fetchOneByOne(cids.dropFirst(count), node)
        }
        let port = bare
        let bareTimes = try await NIOThreadPool.singleton.runIfActive { try Self.askBarely(port, count) }
        var line = BenchLine("single")
        Percentiles(elsewhere).write(to: &line, "elsewhere")
        Percentiles(onLoop).write(to: &line, "loop")
        Percentiles(bareTimes).write(to: &line, "bare")
        return line
    }

    private static func fetchOneByOne(_ cids: ArraySlice<CID>, _ node: BitswapNode) async throws -> [Double] {
        var times: [Double] = []
        for cid in cids { times.append(try elapsed(await node.blocks.fetch(cid, timeout: timeout))) }
        return times
    }

    private static func askBarely(_ port: UInt16, _ count: Int) throws -> [Double] {
        let socket = try BareSocket.connected(to: port)
        let request = Region(BenchServer.bareRequestBytes)
        let answer = Region(BenchServer.bareAnswerBytes)
        return try (0..<count).map { _ in
            let began = ContinuousClock.now
            try socket.send(UnsafeRawBufferPointer(request.bytes))
            guard try socket.receiveAll(into: answer.bytes) else {
                throw CommandFailure(message: "the bare connection was closed")
            }
            return began.duration(to: .now).nanoseconds
        }
    }

    /// Each block by a node of its own that knows nobody: dial, handshake, want, block.
    private func fetchFromNothing(
        _ cids: ArraySlice<CID>, _ address: Multiaddr, _ store: LMDBBlockstore
    ) async throws -> BenchLine {
        var times: [Double] = []
        for cid in cids {
            let node = try makeNode(store)
            let time = try await withThrowingTaskGroup(of: Void.self) { group in
                // Not all of the node, which would close the store in the end.
                group.addTask { await node.exchange.run() }
                defer { group.cancelAll() }
                let began = ContinuousClock.now
                _ = try await node.swarm.connect(to: address)
                _ = try Self.elapsed(await node.blocks.fetch(cid, timeout: Self.timeout))
                return began.duration(to: .now)
            }
            times.append(time.nanoseconds)
            await node.swarm.shutdown()
        }
        var line = BenchLine("cold")
        Percentiles(times).write(to: &line, "block")
        return line
    }
}
