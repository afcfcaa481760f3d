import Bitswap
import BitswapNode
import Blockstore
import Libp2p
import Logging
import Multiformats
import NIOCore
import PeerIdentity

/// What is said on standard error while blocks are fetched.
struct Narration: Sendable {
    let isOn: Bool
    let blockCount: Int
    /// With more blocks than this, none is spoken of by itself.
    private static let detailCount = 16

    func say(_ text: String) {
        if isOn { Console.narrate(text) }
    }

    func sayOfBlock(_ text: @autoclosure () -> String) {
        if isOn, blockCount <= Self.detailCount { Console.narrate(text()) }
    }
}

/// Gets blocks from the store, and those that are not there from peers.
struct Fetching: Sendable {
    let repository: Repository
    let peers: [Multiaddr]
    /// That of a node of our own.
    let protocolPrefix: ProtocolPrefix?
    /// Whether peers are looked for on the local networks too, when no node runs.
    let usesMDNS: Bool
    let timeout: Duration
    /// As it was given.
    let timeoutText: String
    let logger: Logger
    let narration: Narration
    let story: FetchStory

    /// Blocks that are asked for and not yet passed on: what a running node takes from one connection.
    private static let concurrency = ControlLimits().requestsPerConnection

    /// Passes the blocks on in the order of their CIDs.
    func fetch(_ cids: [CID], _ store: LMDBBlockstore, _ sink: (ObtainedBlock) throws -> Void) async throws {
        let sizes = try await store.sizes(of: cids.map(\.multihash))
        let missing = zip(cids, sizes).filter { $0.1 == nil }.map(\.0)
        guard let first = missing.first else { return try await deliver(cids, store, from: nil, sink) }
        for cid in missing { story.tell("not in the local store", cid: cid) }
        do {
            return try await ControlClient.withConnection(to: repository) { client in
                if protocolPrefix != nil {
                    Console.warning(
                        "the running node fetches with its own protocol prefix; --protocol-prefix is not used")
                }
                try await fetch(cids, store, from: RunningNode(client: client, store: store), sink)
            }
        } catch let error as NodeError where error.code == .notRunning {
            // Then by ourselves.
        }
        guard !peers.isEmpty || usesMDNS else {
            throw CommandFailure(
                status: CommandFailure.notFound,
                message:
                    "the block \(first) is not in the repository and there is nobody to ask; name a peer with --peer, "
                    + "or start a node with: bitswap serve --repo \(repository.path)")
        }
        try await withEphemeralNode(store) { try await fetch(cids, store, from: $0, sink) }
    }

    /// A node that only dials, under a name of its own: several commands, and a node that serves, may run at once without
    /// being taken for each other.
    private func withEphemeralNode(
        _ store: LMDBBlockstore, _ body: (EphemeralNode) async throws -> Void
    ) async throws {
        var configuration = BitswapNode.Configuration()
        configuration.protocolPrefix = protocolPrefix
        configuration.usesMDNS = usesMDNS
        let node = BitswapNode(
            identity: try KeyPair.generate(), store: store, configuration: configuration, logger: logger)
        story.observe(node)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await node.run() }
            defer { group.cancelAll() }
            // Named with their addresses, so that one that is lost is dialled again.
            let providers = peers.compactMap { address in
                address.peerMultihash.flatMap { try? PeerID(multihash: $0) }.map { Provider($0, addresses: [address]) }
            }
            try await node.blocks.withSession(providers: .preferring(providers)) { session in
                let events = session.events
                group.addTask { [story] in for await event in events { story.tell(event) } }
                try await body(EphemeralNode(node: node, session: session, usesMDNS: usesMDNS))
            }
        }
    }

    private func fetch(
        _ cids: [CID], _ store: LMDBBlockstore, from source: some BlockSource, _ sink: (ObtainedBlock) throws -> Void
    ) async throws {
        guard !peers.isEmpty else {
            narration.say("asking \(try await source.name)")
            return try await deliver(cids, store, from: source, sink)
        }
        try await whileDialing(source) { try await deliver(cids, store, from: source, sink) }
    }

    private func deliver(
        _ cids: [CID], _ store: LMDBBlockstore, from source: (any BlockSource)?, _ sink: (ObtainedBlock) throws -> Void
    ) async throws {
        let timeout = timeout
        let start = ContinuousClock.now
        var byteCount = 0
        try await forEachConcurrently(cids, limit: Self.concurrency) { cid in
            let start = ContinuousClock.now
            if let bytes = try await store.get(cid.multihash) {
                let elapsed = start.duration(to: .now) / .milliseconds(1)
                return ObtainedBlock(cid: cid, bytes: bytes, peer: nil, milliseconds: elapsed)
            }
            guard let source else {
                throw CommandFailure(status: CommandFailure.notFound, message: "the block \(cid) was removed just now")
            }
            return try await source.fetch(cid, timeout: timeout)
        } emit: { block in
            try sink(block)
            byteCount += block.bytes.readableBytes
            let source = block.peer.map(\.description) ?? "the local store"
            let milliseconds = Int(block.milliseconds.rounded())
            narration.sayOfBlock("\(block.bytes.readableBytes) bytes from \(source) in \(milliseconds) ms")
        }
        if cids.count > 1 {
            let milliseconds = Int((start.duration(to: .now) / .milliseconds(1)).rounded())
            narration.say("\(cids.count) blocks, \(byteCount) bytes in \(milliseconds) ms")
        }
    }
}
