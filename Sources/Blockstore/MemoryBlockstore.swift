public import Multiformats
public import NIOCore
import NIOConcurrencyHelpers

/// Blocks in memory, gone with the store: for tests, and for nodes that keep nothing.
///
/// Every call is done on the calling thread, under a lock that is held for a look-up or a change, never while a closure
/// of the caller runs.
public final class MemoryBlockstore: ImmediateBlockstore {
    private struct State {
        var blocks: [Multihash: ByteBuffer] = [:]
        var byteCount = 0
        /// The keys in order; made when a listing asks for them, dropped when the set of keys changes.
        var order: [Multihash]?
        var isClosed = false
    }

    public let limits: BlockstoreLimits
    private let state = NIOLockedValueBox(State())

    private let kept: @Sendable (Block) -> ByteBuffer

    /// An empty store. Keeps copies of what is put, at most ``BlockstoreLimits/blockSize`` bytes each.
    public convenience init(limits: BlockstoreLimits = BlockstoreLimits()) {
        // A copy of its own: a slice would keep the whole buffer that it was received in.
        self.init(limits: limits) { ByteBuffer(bytes: $0.bytes.readableBytesView) }
    }

    /// - Parameter kept: the buffer that is kept for a block, with the same bytes. It must not call the store.
    package init(limits: BlockstoreLimits = BlockstoreLimits(), kept: @escaping @Sendable (Block) -> ByteBuffer) {
        self.limits = limits
        self.kept = kept
    }

    private func withState<R: Sendable>(_ body: (inout State) -> R) throws(BlockstoreError) -> R {
        let result = state.withLockedValue { state -> R? in state.isClosed ? nil : body(&state) }
        guard let result else { throw .closed() }
        return result
    }

    public func get(_ key: Multihash) async throws(BlockstoreError) -> ByteBuffer? {
        try withState { $0.blocks[key] }
    }

    public func has(_ key: Multihash) async throws(BlockstoreError) -> Bool {
        try withState { $0.blocks[key] != nil }
    }

    public func size(of key: Multihash) async throws(BlockstoreError) -> Int? {
        try withState { $0.blocks[key]?.readableBytes }
    }

    public func sizes(of keys: [Multihash]) async throws(BlockstoreError) -> [Int?] {
        try withState { state in keys.map { state.blocks[$0]?.readableBytes } }
    }

    public func read(
        _ keys: [Multihash], each: @escaping @Sendable (Int, UnsafeRawBufferPointer?) -> Void
    ) async throws(BlockstoreError) {
        let blocks = try withState { state in keys.map { state.blocks[$0] } }
        for (index, bytes) in blocks.enumerated() {
            if let bytes {
                bytes.withUnsafeReadableBytes { each(index, $0) }
            } else {
                each(index, nil)
            }
        }
    }

    package func readNow<R>(_ keys: [Multihash], _ body: ([UnsafeRawBufferPointer?]) throws -> R) throws -> R {
        let blocks = try withState { state in keys.map { state.blocks[$0] } }
        var found: [UnsafeRawBufferPointer?] = []
        /// Each block's bytes are lent within those of the one before.
        func lend() throws -> R {
            guard found.count < blocks.count else { return try body(found) }
            guard let bytes = blocks[found.count] else {
                found.append(nil)
                return try lend()
            }
            return try bytes.withUnsafeReadableBytes {
                found.append($0)
                return try lend()
            }
        }
        return try lend()
    }

    public func put(_ block: Block) async throws(BlockstoreError) {
        try store([block])
    }

    public func put(_ blocks: [Block]) async throws(BlockstoreError) {
        try store(blocks)
    }

    package func submit(
        _ blocks: [Block], now: Bool, done: @escaping @Sendable (BlockstoreError?) -> Void
    ) -> Bool {
        do throws(BlockstoreError) {
            try store(blocks)
            done(nil)
        } catch {
            done(error)
        }
        return true
    }

    private func store(_ blocks: [Block]) throws(BlockstoreError) {
        for block in blocks { try block.checkSize(limits) }
        try withState { state in
            for block in blocks where state.blocks[block.cid.multihash] == nil {
                state.blocks[block.cid.multihash] = kept(block)
                state.byteCount += block.bytes.readableBytes
                state.order = nil
            }
        }
    }

    public func delete(_ key: Multihash) async throws(BlockstoreError) -> Bool {
        try withState { state in
            guard let old = state.blocks.removeValue(forKey: key) else { return false }
            state.byteCount -= old.readableBytes
            state.order = nil
            return true
        }
    }

    public func list() -> BlockListing {
        BlockListing(pageCount: limits.listingPageCount) { (after, limit) async throws(BlockstoreError) in
            try self.page(after: after, limit: limit)
        }
    }

    private func page(after: Multihash?, limit: Int) throws(BlockstoreError) -> [BlockListing.Element] {
        try withState { state in
            let order = state.order ?? state.blocks.keys.sorted()
            state.order = order
            var start = order.startIndex
            if let after {
                var end = order.endIndex
                while start < end {
                    let middle = start + (end - start) / 2
                    if after < order[middle] { end = middle } else { start = middle + 1 }
                }
            }
            return order[start...].prefix(limit).map { ($0, state.blocks[$0]?.readableBytes ?? 0) }
        }
    }

    public func statistics() async throws(BlockstoreError) -> BlockstoreStatistics {
        try withState { state in
            BlockstoreStatistics(
                blockCount: state.blocks.count, byteCount: state.byteCount, storageByteCount: 0)
        }
    }

    public func flush() async throws(BlockstoreError) {
        try withState { _ in }
    }

    public func close() async throws(BlockstoreError) {
        state.withLockedValue { state in
            state = State()
            state.isClosed = true
        }
    }
}
