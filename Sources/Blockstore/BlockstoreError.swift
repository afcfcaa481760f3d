/// What went wrong in a block store, where, and what can be done about it.
public struct BlockstoreError: Error, Sendable, CustomStringConvertible {
    /// The kind of an error. More kinds may come: always have a default case.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String

        private init(_ description: String) { self.description = description }

        /// The store was closed, or is closing.
        public static let closed = Code("closed")
        /// This process has the same directory open already.
        public static let alreadyOpen = Code("alreadyOpen")
        /// The directory, or the one it should be made in, does not exist; or a store opened to read has no files yet.
        public static let notFound = Code("notFound")
        /// The path names something other than a directory.
        public static let notADirectory = Code("notADirectory")
        /// The file system does not let this process in.
        public static let permissionDenied = Code("permissionDenied")
        /// The file system, or the store as it was opened, is read-only.
        public static let readOnly = Code("readOnly")
        /// No room on the disk, over quota, or at the file size limit of the process.
        public static let diskFull = Code("diskFull")
        /// The store has reached ``LMDBBlockstore/Configuration/maximumMapSize``.
        public static let storeFull = Code("storeFull")
        /// The files are a block store's but damaged or cut short.
        public static let corrupt = Code("corrupt")
        /// The files are not a block store's.
        public static let foreign = Code("foreign")
        /// The files were written by a later version of this library, or by another LMDB.
        public static let unsupportedVersion = Code("unsupportedVersion")
        /// The multihash is longer than ``BlockstoreLimits/maximumKeySize``.
        public static let keyTooLong = Code("keyTooLong")
        /// The block is larger than ``BlockstoreLimits/blockSize``.
        public static let blockTooLarge = Code("blockTooLarge")
        /// The bytes of a block do not have the hash that its CID says.
        public static let hashMismatch = Code("hashMismatch")
        /// The hash function is not known here, or a CID cannot be made of what was given.
        public static let unsupportedHash = Code("unsupportedHash")
        /// More readers than the files have places for, in all processes together.
        public static let tooManyReaders = Code("tooManyReaders")
        /// The task was cancelled.
        public static let cancelled = Code("cancelled")
        /// Input or output failed, or the system refused a resource.
        public static let inputOutput = Code("inputOutput")
    }

    public var code: Code
    /// What was wrong and what to do, in one sentence or two; names the path where there is one.
    public var message: String
    /// The directory of the store, where there is one.
    public var path: String?
    /// What caused this error, when it was another one.
    public var underlying: (any Error)?

    public init(code: Code, message: String, path: String? = nil, underlying: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.path = path
        self.underlying = underlying
    }

    public var description: String {
        guard let underlying else { return message }
        return "\(message) (\(underlying))"
    }
}

extension BlockstoreError {
    static func closed(path: String? = nil) -> BlockstoreError {
        let name = path.map { " at \($0)" } ?? ""
        return BlockstoreError(
            code: .closed, message: "The block store\(name) is closed: open it again to use it.", path: path)
    }

    static var cancelled: BlockstoreError {
        BlockstoreError(code: .cancelled, message: "The task was cancelled.")
    }
}
