public import Multiformats
public import NIOCore

/// Blocks on the disk, in an LMDB database.
///
/// The store is a directory (`data.mdb`, `lock.mdb`). Several processes may use one directory at a time, each through
/// one store; what one has put the others find. A process may open it only once.
///
/// Reading happens on a few threads of the store, writing on one: blocks that are put while a commit is under way share
/// the next one. Every function may be called from anywhere.
///
/// Close a store when it is no longer needed. One that is let go closes by itself, but in its own time: until then the
/// directory counts as open.
public final class LMDBBlockstore: ImmediateBlockstore {
    /// When a block that was put is on the disk.
    public struct Durability: Sendable, Hashable {
        let interval: Duration?

        /// Every commit is on the disk before a `put` returns: nothing that was reported as stored is lost, neither
        /// when the process dies nor when the machine loses power. The default.
        public static let synced = Durability(interval: nil)

        /// A `put` returns when the operating system has the block, and all of it goes to the disk at this interval,
        /// with ``Blockstore/flush()`` and with ``Blockstore/close()``.
        ///
        /// Nothing is lost when the process dies, even by `kill -9`. When the machine dies or loses power, what was
        /// put since the last sync is lost, and since the file system may have written parts of it in any order, the
        /// store may be damaged as a whole: for blocks that can be had again. A sync that fails is reported by the
        /// next call that writes or flushes.
        public static func background(interval: Duration) -> Durability {
            Durability(interval: max(interval, .milliseconds(1)))
        }
    }

    /// How a store is opened.
    public struct Configuration: Sendable {
        /// When blocks are on the disk.
        public var durability = Durability.synced

        /// Opens a store that exists, to read only. Whatever would write throws `readOnly`. On a file system that can
        /// be written the lock file still is.
        public var isReadOnly = false

        /// The address space in bytes that the store begins with; it grows by itself. It is neither memory nor disk.
        public var initialMapSize = 16 << 30

        /// The store never grows beyond this many bytes: `put` then throws `storeFull`.
        public var maximumMapSize = 16 << 40

        /// The threads that read: one for each processor, from 2, as a thread may wait for the disk, to 16.
        public var readerThreadCount = min(max(System.coreCount, 2), 16)

        /// Bounds on blocks, transactions and queues.
        public var limits = BlockstoreLimits()

        public init() {}
    }

    /// The directory, as it was given.
    public let path: String
    /// The bounds in force.
    public let limits: BlockstoreLimits
    private let engine: Engine
    let readers: BlockReaders
    let writer: BlockWriter

    /// Opens the store in a directory. The directory is made if only it is missing, the store if there is none in it.
    ///
    /// Blocks the calling thread for some file operations.
    ///
    /// - Throws: an error that names the path: `notFound`, `notADirectory`, `permissionDenied`, `readOnly`,
    ///   `alreadyOpen`, `foreign`, `unsupportedVersion`, `corrupt`, `diskFull`, `inputOutput`, `tooManyReaders`.
    public init(path: String, configuration: Configuration = Configuration()) throws(BlockstoreError) {
        let directory = try StoreDirectory(claiming: path, mayCreate: !configuration.isReadOnly)
        do throws(BlockstoreError) {
            let engine = try Engine(path: path, configuration: configuration)
            let readers = try BlockReaders(
                engine: engine, threadCount: configuration.readerThreadCount,
                transactionByteCount: configuration.limits.readTransactionByteCount)
            do throws(BlockstoreError) {
                writer = try BlockWriter(engine: engine, configuration: configuration) {
                    readers.stop()
                    engine.shut()
                    directory.release()
                }
            } catch {
                readers.stop()
                throw error
            }
            self.engine = engine
            self.readers = readers
        } catch {
            directory.release()
            throw error
        }
        self.path = path
        self.limits = configuration.limits
    }

    deinit {
        writer.beginClosing()
    }

    // MARK: Reading

    public func get(_ key: Multihash) async throws(BlockstoreError) -> ByteBuffer? {
        try await readers.read { (transaction) throws(BlockstoreError) in
            guard let bytes = try transaction.bytes(of: key) else { return nil }
            var buffer = ByteBufferAllocator().buffer(capacity: bytes.count)
            buffer.writeBytes(bytes)
            return buffer
        }
    }

    public func has(_ key: Multihash) async throws(BlockstoreError) -> Bool {
        try await readers.read { (transaction) throws(BlockstoreError) in try transaction.size(of: key) != nil }
    }

    public func size(of key: Multihash) async throws(BlockstoreError) -> Int? {
        try await readers.read { (transaction) throws(BlockstoreError) in try transaction.size(of: key) }
    }

    public func sizes(of keys: [Multihash]) async throws(BlockstoreError) -> [Int?] {
        var sizes: [Int?] = []
        sizes.reserveCapacity(keys.count)
        while sizes.count < keys.count {
            let part = keys[sizes.count..<min(keys.count, sizes.count + max(1, limits.readTransactionKeyCount))]
            sizes += try await readers.read { (transaction) throws(BlockstoreError) in
                try part.map { (key) throws(BlockstoreError) in try transaction.size(of: key) }
            }
        }
        return sizes
    }

    public func read(
        _ keys: [Multihash], each: @escaping @Sendable (Int, UnsafeRawBufferPointer?) -> Void
    ) async throws(BlockstoreError) {
        var next = 0
        while next < keys.count {
            let start = next
            next = try await readers.read { [limits] (transaction) throws(BlockstoreError) in
                var index = start
                repeat {
                    each(index, try transaction.bytes(of: keys[index]))
                    index += 1
                } while index < keys.count && index - start < limits.readTransactionKeyCount
                    && transaction.byteCount < limits.readTransactionByteCount
                return index
            }
        }
    }

    package func readNow<R>(_ keys: [Multihash], _ body: ([UnsafeRawBufferPointer?]) throws -> R) throws -> R {
        let result = try engine.read { (transaction) throws(BlockstoreError) in
            let found = try keys.map { (key) throws(BlockstoreError) in try transaction.bytes(of: key) }
            return Result { try body(found) }
        }
        return try result.get()
    }

    public func list() -> BlockListing {
        BlockListing(pageCount: limits.listingPageCount) { [readers] (after, limit) async throws(BlockstoreError) in
            try await readers.read { (transaction) throws(BlockstoreError) in
                try transaction.page(after: after, limit: limit)
            }
        }
    }

    public func statistics() async throws(BlockstoreError) -> BlockstoreStatistics {
        let found = try await readers.read { (transaction) throws(BlockstoreError) in try transaction.statistics() }
        return BlockstoreStatistics(
            blockCount: found.blockCount, byteCount: found.byteCount, storageByteCount: found.fileByteCount)
    }

    /// The number of transactions that all processes have committed to this store since it was made.
    package func transactionCount() throws(BlockstoreError) -> UInt64 {
        try engine.statistics().transaction
    }

    /// The address space that the store has at present, in bytes.
    package func mapByteCount() throws(BlockstoreError) -> Int {
        try engine.statistics().mapByteCount
    }

    // MARK: Writing

    public func put(_ block: Block) async throws(BlockstoreError) {
        try block.checkSize(limits)
        _ = try await writer.perform(.put([block]))
    }

    public func put(_ blocks: [Block]) async throws(BlockstoreError) {
        for block in blocks { try block.checkSize(limits) }
        guard writer.isOpen else { throw .closed(path: path) }
        for part in parts(of: blocks) {
            guard !Task.isCancelled else { throw .cancelled }
            _ = try await writer.perform(.put(Array(part)))
        }
    }

    package func submit(
        _ blocks: [Block], now: Bool, done: @escaping @Sendable (BlockstoreError?) -> Void
    ) -> Bool {
        do throws(BlockstoreError) {
            for block in blocks { try block.checkSize(limits) }
        } catch {
            done(error)
            return true
        }
        let finish: @Sendable (BlockWriter.Outcome) -> Void = { result in
            switch result {
            case .success: done(nil)
            case .failure(let error): done(error)
            }
        }
        if now, let outcome = writer.performNow(.put(blocks)) {
            finish(outcome)
            return true
        }
        return writer.submit(.put(blocks), done: finish)
    }

    /// Runs of blocks that each fit a transaction.
    private func parts(of blocks: [Block]) -> [ArraySlice<Block>] {
        var parts: [ArraySlice<Block>] = []
        var start = 0
        var byteCount = 0
        for (index, block) in blocks.enumerated() {
            let size = block.bytes.readableBytes
            let isFull =
                byteCount > limits.transactionByteCount - size || index - start >= limits.transactionBlockCount
            if index > start && isFull {
                parts.append(blocks[start..<index])
                start = index
                byteCount = 0
            }
            byteCount += size
        }
        if start < blocks.count { parts.append(blocks[start...]) }
        return parts
    }

    public func delete(_ key: Multihash) async throws(BlockstoreError) -> Bool {
        try await writer.perform(.delete(key))
    }

    public func flush() async throws(BlockstoreError) {
        _ = try await writer.perform(.sync)
    }

    public func close() async throws(BlockstoreError) {
        try await writer.close()
    }
}
