/// The bounds of a block store.
public struct BlockstoreLimits: Sendable, Hashable {
    /// The longest multihash that can be a key, in bytes of its encoded form: LMDB's own limit. A longer one cannot be
    /// stored, and so is never found.
    public static let maximumKeySize = 511

    /// The largest block that can be stored, in bytes. The exchange takes blocks of at most 2 MiB from peers
    /// (`BitswapLimits.blockBytes`).
    public var blockSize = 64 << 20

    /// A transaction takes no further block once it holds this many bytes. One block may be larger than that.
    public var transactionByteCount = 16 << 20

    /// The number of blocks in one transaction.
    public var transactionBlockCount = 4096

    /// A `put` waits while blocks of this many bytes wait to be written. One block may be larger than that.
    public var queuedByteCount = 64 << 20

    /// The number of keys that a listing fetches at a time.
    public var listingPageCount = 1024

    /// A read transaction ends once it has given out this many bytes of blocks, and a new one begins for the rest: while
    /// one is open, no page that was freed since can be used again, and the file grows instead. One block may be larger.
    public var readTransactionByteCount = 4 << 20

    /// The number of blocks that are looked up in one read transaction for one caller.
    public var readTransactionKeyCount = 4096

    /// The number of keys that one verification names as corrupt; further ones are only counted.
    public var reportedKeyCount = 65_536

    /// Read transactions of all processes together, or more where their table fills its last page. The first process to
    /// open the store decides.
    public var readerCount = 1024

    public init() {}
}
