internal import CBlockstore
import Multiformats

/// The state of the store as of one moment. Bytes it gives out are valid while it lives.
///
/// While it lives no page is used again that was freed since: whoever holds one ends it soon (see
/// ``BlockstoreLimits/readTransactionByteCount``).
struct ReadTransaction: ~Copyable {
    private let reader: OpaquePointer
    private let path: String
    /// What it has given out so far.
    private(set) var byteCount = 0

    init(reader: OpaquePointer, path: String) {
        self.reader = reader
        self.path = path
    }

    deinit {
        cbs_read_end(reader)
    }

    /// The bytes of a block, in the map; touching them may read from the disk.
    mutating func bytes(of key: Multihash) throws(BlockstoreError) -> UnsafeRawBufferPointer? {
        guard let bytes = try find(key) else { return nil }
        byteCount += bytes.count
        return bytes
    }

    /// The size of a block, whose bytes are not touched.
    func size(of key: Multihash) throws(BlockstoreError) -> Int? {
        try find(key)?.count
    }

    private func find(_ key: Multihash) throws(BlockstoreError) -> UnsafeRawBufferPointer? {
        var value = cbs_slice()
        let status = key.withUnsafeBytes { cbs_read_get(reader, $0.baseAddress, $0.count, &value) }
        switch status {
        case CBS_OK: return UnsafeRawBufferPointer(start: value.data, count: value.size)
        case CBS_NOT_FOUND, CBS_BAD_KEY: return nil
        default: throw BlockstoreError(status: status, path: path, doing: "read")
        }
    }

    /// At most `limit` entries whose keys come after the given one.
    func page(after: Multihash?, limit: Int) throws(BlockstoreError) -> [BlockListing.Element] {
        struct Page {
            var entries: [BlockListing.Element] = []
            var isDamaged = false
        }
        var page = Page()
        func collect(_ start: UnsafeRawBufferPointer) -> CInt {
            withUnsafeMutablePointer(to: &page) { context in
                cbs_read_page(
                    reader, start.baseAddress, start.count, max(1, limit),
                    { context, key, keySize, valueSize in
                        guard let page = context?.assumingMemoryBound(to: Page.self) else { return }
                        let bytes = UnsafeRawBufferPointer(start: key, count: keySize)
                        if let multihash = try? Multihash(decoding: bytes), let size = Int(exactly: valueSize) {
                            page.pointee.entries.append((multihash, size))
                        } else {
                            page.pointee.isDamaged = true
                        }
                    }, context)
            }
        }
        let status = after?.withUnsafeBytes(collect) ?? collect(UnsafeRawBufferPointer(start: nil, count: 0))
        guard status == CBS_OK, !page.isDamaged else {
            throw BlockstoreError(status: status == CBS_OK ? CBS_CORRUPT : status, path: path, doing: "listed")
        }
        return page.entries
    }

    func statistics() throws(BlockstoreError) -> Engine.Statistics {
        var found = cbs_statistics()
        let status = cbs_read_statistics(reader, &found)
        guard status == CBS_OK else { throw BlockstoreError(status: status, path: path, doing: "read") }
        return Engine.Statistics(
            blockCount: Int(clamping: found.count), byteCount: Int(clamping: found.bytes),
            fileByteCount: Int(clamping: found.file_size), mapByteCount: Int(clamping: found.map_size),
            transaction: found.transaction)
    }
}

/// The one write transaction; ended by the engine.
struct WriteTransaction: ~Copyable {
    struct Failure: Error {
        let status: CInt
    }

    private let writer: OpaquePointer

    init(writer: OpaquePointer) {
        self.writer = writer
    }

    /// Whether the block was not here yet.
    func put(_ key: Multihash, _ bytes: UnsafeRawBufferPointer) throws(Failure) -> Bool {
        var added = false
        let status = key.withUnsafeBytes {
            cbs_write_put(writer, $0.baseAddress, $0.count, bytes.baseAddress, bytes.count, &added)
        }
        guard status == CBS_OK else { throw Failure(status: status) }
        return added
    }

    /// Whether the block was here.
    func delete(_ key: Multihash) throws(Failure) -> Bool {
        var removed = false
        let status = key.withUnsafeBytes { cbs_write_delete(writer, $0.baseAddress, $0.count, &removed) }
        switch status {
        case CBS_OK: return removed
        case CBS_BAD_KEY: return false
        default: throw Failure(status: status)
        }
    }
}
