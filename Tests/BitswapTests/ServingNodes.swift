import Blockstore
import Libp2p
import Logging
import Multiformats
import NIOConcurrencyHelpers
import NIOCore
import PeerIdentity
import TestSupport

@testable import Bitswap

/// Exchanges with configurations of their own on a network in memory; their stores tell what is looked up in them.
struct ServingNodes {
    struct Node {
        let id: PeerID
        let exchange: Exchange
        let store: WatchedStore
    }

    let network = MemoryNetwork()
    let clock = ManualClock()

    func node(
        _ number: Int, _ configuration: Exchange.Configuration = .init(), router: (any ContentRouting)? = nil
    ) -> Node {
        let (id, store) = (peer(number), WatchedStore())
        let exchange = Exchange(
            store: store, network: network.face(of: id), router: router, configuration: configuration,
            time: clock.timeSource, logger: Logger(label: "test"))
        network.add(exchange, as: id)
        return Node(id: id, exchange: exchange, store: store)
    }

    /// Runs the network and the nodes around a test.
    func running(_ nodes: Node..., body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await network.run() }
            for node in nodes { group.addTask { await node.exchange.run() } }
            try await body()
            group.cancelAll()
        }
    }
}

/// A message with a wantlist.
func wantlist(_ entries: [Message.Entry], isFull: Bool = false) -> ByteBuffer {
    var encoder = MessageEncoder(version: .v1_2_0, entries: entries, isFull: isFull, capacity: 0)
    return encoder.finish(pendingBytes: 0)
}

/// A store in memory that has to be waited for, and remembers of which blocks sizes were asked, as an exchange does for
/// peers.
final class WatchedStore: Blockstore {
    private let base = MemoryBlockstore()
    private let asked = NIOLockedValueBox<[Multihash]>([])

    var lookups: [Multihash] { asked.withLockedValue { $0 } }

    func sizes(of keys: [Multihash]) async throws(BlockstoreError) -> [Int?] {
        asked.withLockedValue { $0 += keys }
        return try await base.sizes(of: keys)
    }

    func get(_ key: Multihash) async throws(BlockstoreError) -> ByteBuffer? { try await base.get(key) }
    func has(_ key: Multihash) async throws(BlockstoreError) -> Bool { try await base.has(key) }
    func size(of key: Multihash) async throws(BlockstoreError) -> Int? { try await base.size(of: key) }
    func read(
        _ keys: [Multihash], each: @escaping @Sendable (Int, UnsafeRawBufferPointer?) -> Void
    ) async throws(BlockstoreError) { try await base.read(keys, each: each) }
    func put(_ block: Block) async throws(BlockstoreError) { try await base.put(block) }
    func put(_ blocks: [Block]) async throws(BlockstoreError) { try await base.put(blocks) }
    func delete(_ key: Multihash) async throws(BlockstoreError) -> Bool { try await base.delete(key) }
    func list() -> BlockListing { base.list() }
    func statistics() async throws(BlockstoreError) -> BlockstoreStatistics { try await base.statistics() }
    func flush() async throws(BlockstoreError) { try await base.flush() }
    func close() async throws(BlockstoreError) { try await base.close() }
    var limits: BlockstoreLimits { base.limits }
}
