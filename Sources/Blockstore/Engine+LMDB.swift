internal import CBlockstore
import Multiformats

/// Owns the C engine of one open store. Its own lock keeps transactions apart from closing and from changes of the
/// map; after ``shut()`` every call throws `closed`.
final class Engine: Sendable {
    struct Statistics {
        var blockCount: Int
        var byteCount: Int
        var fileByteCount: Int
        var mapByteCount: Int
        /// The number of the last committed transaction of any process.
        var transaction: UInt64
    }

    let path: String
    // C memory that locks for itself; freed when nobody can reach it any more.
    private nonisolated(unsafe) let store: OpaquePointer

    /// Opens the files in the directory, or makes them.
    init(path: String, configuration: LMDBBlockstore.Configuration) throws(BlockstoreError) {
        var opened: OpaquePointer?
        let status = path.withCString { name in
            var options = cbs_options()
            options.path = name
            options.initial_map_size = UInt64(clamping: configuration.initialMapSize)
            options.map_limit = UInt64(clamping: configuration.maximumMapSize)
            options.maximum_readers = UInt32(clamping: configuration.limits.readerCount)
            options.read_only = configuration.isReadOnly
            options.no_sync = configuration.durability.interval != nil
            return cbs_open(&options, &opened)
        }
        guard status == CBS_OK, let opened else {
            throw BlockstoreError(status: status, path: path, doing: "opened")
        }
        self.path = path
        self.store = opened
    }

    deinit {
        cbs_free(store)
    }

    /// Waits for open transactions, then closes the files.
    func shut() {
        cbs_shut(store)
    }

    /// Runs `body` in a read transaction on the latest state. It must be brief and must not call the engine.
    func read<R>(
        _ body: (inout ReadTransaction) throws(BlockstoreError) -> R
    ) throws(BlockstoreError) -> R {
        var reader: OpaquePointer?
        let status = cbs_read_begin(store, &reader)
        guard status == CBS_OK, let reader else {
            throw BlockstoreError(status: status, path: path, doing: "read")
        }
        var transaction = ReadTransaction(reader: reader, path: path)
        return try body(&transaction)
    }

    /// Whether no other process has written since this one last did: a write then hardly ever waits for one.
    var isAlone: Bool { cbs_write_is_alone(store) }

    /// Runs `body` in the write transaction and commits it; from one thread at a time. When the map is too small it
    /// is made larger and `body` runs again from the start; the same once if only pages that the last transaction freed are
    /// left.
    ///
    /// - Parameter byteCount: the bytes of the file that `body` may take; 0 when it only deletes.
    func write<R>(
        byteCount: Int, _ body: (borrowing WriteTransaction) throws(WriteTransaction.Failure) -> R
    ) throws(BlockstoreError) -> R {
        var isGrown = false
        var isFreed = false
        func failed(_ status: CInt) throws(BlockstoreError) {
            let error = BlockstoreError(status: status, path: path, doing: "written")
            guard !isFreed, error.code == .diskFull || error.code == .storeFull, cbs_free_pages(store) == CBS_OK else {
                throw error
            }
            isFreed = true
        }
        while true {
            var writer: OpaquePointer?
            var status = cbs_write_begin(store, UInt64(clamping: byteCount), &writer)
            guard status == CBS_OK, let writer else {
                throw BlockstoreError(status: status, path: path, doing: "written")
            }
            let transaction = WriteTransaction(writer: writer)
            do throws(WriteTransaction.Failure) {
                let result = try body(transaction)
                status = cbs_write_commit(writer)
                if status == CBS_OK { return result }
            } catch {
                cbs_write_abort(writer)
                status = error.status
            }
            guard status == CBS_MAP_FULL else {
                try failed(status)
                continue
            }
            // The first time by a usual step; if that was not enough, by what is asked and more each time.
            let grown = cbs_grow(store, isGrown ? UInt64(clamping: byteCount) : 0)
            isGrown = true
            if grown != CBS_OK { try failed(grown) }
        }
    }

    /// Brings all commits so far to the disk.
    func sync() throws(BlockstoreError) {
        let status = cbs_sync(store)
        guard status == CBS_OK else { throw BlockstoreError(status: status, path: path, doing: "synced") }
    }

    func statistics() throws(BlockstoreError) -> Statistics {
        try read { (transaction) throws(BlockstoreError) in try transaction.statistics() }
    }
}
