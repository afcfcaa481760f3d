import NIOConcurrencyHelpers

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A directory that this process has open as a store: no second store of the process may open it, since LMDB's file
/// locks are those of the process and the first to close would drop them for both.
struct StoreDirectory: Sendable {
    private struct Identity: Hashable {
        let device: UInt64
        let file: UInt64
    }

    private static let open = NIOLockedValueBox<Set<Identity>>([])

    private let identity: Identity

    /// Claims the directory for this process, making it first if it does not exist and may be made.
    init(claiming path: String, mayCreate: Bool) throws(BlockstoreError) {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw BlockstoreError(
                code: .notFound, message: "A block store cannot be opened without the path of a directory.", path: path)
        }
        var status = stat()
        var result = stat(path, &status)
        if result != 0 && errno == ENOENT && mayCreate {
            try Self.make(path)
            result = stat(path, &status)
        }
        guard result == 0 else { throw BlockstoreError(status: errno, path: path, doing: "opened") }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw BlockstoreError(
                code: .notADirectory,
                message: "The block store at \(path) cannot be opened: that is not a directory. Choose another path.",
                path: path)
        }
        let identity = Identity(device: UInt64(truncatingIfNeeded: status.st_dev), file: UInt64(status.st_ino))
        guard Self.open.withLockedValue({ $0.insert(identity).inserted }) else {
            throw BlockstoreError(
                code: .alreadyOpen,
                message: "The block store at \(path) is open already in this process: use that one, or close it first.",
                path: path)
        }
        self.identity = identity
    }

    /// Lets others open the directory; to be called once.
    func release() {
        _ = Self.open.withLockedValue { $0.remove(identity) }
    }

    private static func make(_ path: String) throws(BlockstoreError) {
        guard mkdir(path, 0o700) != 0 && errno != EEXIST else {
            sync(parent(of: path))
            return
        }
        guard errno == ENOENT else { throw BlockstoreError(status: errno, path: path, doing: "made") }
        throw BlockstoreError(
            code: .notFound,
            message: "The block store at \(path) cannot be made: the directory \(parent(of: path)) does not exist. Make"
                + " that first, or check the path.", path: path)
    }

    private static func parent(of path: String) -> String {
        var rest = Substring(path)
        while rest.count > 1 && rest.last == "/" { rest.removeLast() }
        guard let slash = rest.lastIndex(of: "/") else { return "." }
        return slash == rest.startIndex ? "/" : String(rest[..<slash])
    }

    /// The name of a new directory must survive a loss of power as well as what is put into it. As far as the file
    /// system can.
    private static func sync(_ directory: String) {
        let descriptor = Self.openForReading(directory)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        _ = closeDescriptor(descriptor)
    }

    private static func openForReading(_ path: String) -> CInt {
        #if canImport(Glibc)
            Glibc.open(path, O_RDONLY | O_CLOEXEC)
        #elseif canImport(Musl)
            Musl.open(path, O_RDONLY | O_CLOEXEC)
        #elseif canImport(Darwin)
            Darwin.open(path, O_RDONLY | O_CLOEXEC)
        #endif
    }

    private static func closeDescriptor(_ descriptor: CInt) -> CInt {
        close(descriptor)
    }
}
