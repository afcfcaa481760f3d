public import Multiformats
public import NIOCore

/// A place that keeps blocks, keyed by multihash: a CIDv0 and a CIDv1 of the same bytes are one block.
///
/// Every function may be called from any task or thread. After ``close()`` each of them throws `closed`. A key longer
/// than ``BlockstoreLimits/maximumKeySize`` is never found, and cannot be stored.
///
/// Cancellation: reading and writing one block or batch is short and runs to its end in a cancelled task, so a
/// cancelled `put` may still be stored, and a `put` that returned is. Only what may take long looks at cancellation:
/// ``put(_:)-([Block])`` between transactions, a listing between pages, a verification between batches.
public protocol Blockstore: Sendable {
    /// The bytes of a block, or nil when it is not here.
    func get(_ key: Multihash) async throws(BlockstoreError) -> ByteBuffer?

    /// Whether a block is here.
    func has(_ key: Multihash) async throws(BlockstoreError) -> Bool

    /// The size of a block in bytes, without reading it; nil when it is not here.
    func size(of key: Multihash) async throws(BlockstoreError) -> Int?

    /// The sizes of many blocks, in the order of their keys, as of one moment.
    func sizes(of keys: [Multihash]) async throws(BlockstoreError) -> [Int?]

    /// Reads many blocks as of one moment without copying them. `each` gets the index of a key and the bytes, or nil
    /// when the block is not here; they are valid during the call only. It runs on a thread of the store: it must be
    /// brief, must not block, and must not call the store.
    func read(
        _ keys: [Multihash], each: @escaping @Sendable (_ index: Int, _ bytes: UnsafeRawBufferPointer?) -> Void
    ) async throws(BlockstoreError)

    /// Stores a block unless it is here already. Returns when it is as durable as the store is configured to make it.
    func put(_ block: Block) async throws(BlockstoreError)

    /// Stores blocks, in order, in as few transactions as the limits allow. After an error some may be stored.
    func put(_ blocks: [Block]) async throws(BlockstoreError)

    /// Removes a block; whether it was here.
    func delete(_ key: Multihash) async throws(BlockstoreError) -> Bool

    /// All blocks in the order of their keys, fetched page by page: what is stored or removed meanwhile may be missed.
    func list() -> BlockListing

    /// How much the store holds, as of one moment.
    func statistics() async throws(BlockstoreError) -> BlockstoreStatistics

    /// Returns when all that was put before is on the disk.
    func flush() async throws(BlockstoreError)

    /// Finishes what was begun, then closes. A second call waits for the first and has the same outcome.
    ///
    /// - Throws: why not all that was put is known to be on the disk, if nobody was told before; it is closed all the same.
    func close() async throws(BlockstoreError)

    /// The bounds that the store was made with.
    var limits: BlockstoreLimits { get }
}

/// How much a block store holds.
public struct BlockstoreStatistics: Sendable, Hashable {
    /// Blocks.
    public var blockCount: Int
    /// The sum of their sizes.
    public var byteCount: Int
    /// What they take on the disk, in bytes.
    public var storageByteCount: Int

    public init(blockCount: Int, byteCount: Int, storageByteCount: Int) {
        self.blockCount = blockCount
        self.byteCount = byteCount
        self.storageByteCount = storageByteCount
    }
}

/// What a store offers besides to code that runs on an event loop and cannot wait.
package protocol ImmediateBlockstore: Blockstore {
    /// Looks a few blocks up on the calling thread: for what somebody waits for, where waking another thread would cost
    /// more than the look-up. `body` gets the bytes in the order of the keys, nil for what is not here; they are valid
    /// during it only, and it must not call the store. It may have to read from the disk.
    func readNow<R>(_ keys: [Multihash], _ body: ([UnsafeRawBufferPointer?]) throws -> R) throws -> R

    /// Queues blocks to be stored and returns at once; `done` is called once, when they are durable or have failed: on a
    /// thread of the store, or on the calling thread before this returns.
    ///
    /// - Parameter now: whether to store them on the calling thread, if nothing has to be waited for: for little, where
    ///   waking another thread would cost more.
    /// - Returns: whether the queue is within its limit. When it is not, hold back until an earlier `done`.
    func submit(_ blocks: [Block], now: Bool, done: @escaping @Sendable (BlockstoreError?) -> Void) -> Bool
}

extension ImmediateBlockstore {
    /// Looks up one block in this way.
    package func readNow<R>(_ key: Multihash, _ body: (UnsafeRawBufferPointer?) throws -> R) throws -> R {
        try readNow([key]) { try body($0[0]) }
    }
}

extension Block {
    /// Checks a block against the limits of a store.
    func checkSize(_ limits: BlockstoreLimits) throws(BlockstoreError) {
        let keySize = cid.multihash.withUnsafeBytes { $0.count }
        guard keySize <= BlockstoreLimits.maximumKeySize else {
            throw BlockstoreError(
                code: .keyTooLong,
                message:
                    "The multihash of \(cid) is \(keySize) bytes long; a block store keeps blocks under multihashes"
                    + " of at most \(BlockstoreLimits.maximumKeySize). Use a shorter hash.")
        }
        guard bytes.readableBytes <= limits.blockSize else {
            throw BlockstoreError(
                code: .blockTooLarge,
                message: "The block \(cid) has \(bytes.readableBytes) bytes, the limit of the store is"
                    + " \(limits.blockSize): split it, or raise BlockstoreLimits.blockSize.")
        }
    }
}
