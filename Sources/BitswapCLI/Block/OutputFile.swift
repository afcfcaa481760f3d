import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A file that is written beside its place and put there when it is whole: never seen half-written. What is there already
/// and is no regular file, such as a pipe, is written to directly.
final class OutputFile {
    private let path: String
    /// Nil when `path` itself is written to.
    private var temporaryPath: String?
    private var descriptor: Int32

    init(_ path: String) throws {
        self.path = path
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            descriptor = open(path, O_WRONLY | O_CLOEXEC)
        } else {
            let temporary = "\(path).\(getpid()).tmp"
            descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
            temporaryPath = temporary
        }
        guard descriptor >= 0 else {
            temporaryPath = nil
            throw Self.failure(path, errno)
        }
    }

    /// Without ``commit()`` nothing is left behind.
    deinit {
        if descriptor >= 0 { close(descriptor) }
        if let temporaryPath { unlink(temporaryPath) }
    }

    func write(_ bytes: ByteBuffer) throws {
        let number = bytes.withUnsafeReadableBytes { writeAll($0, to: descriptor) }
        if number != 0 { throw Self.failure(path, number) }
    }

    func commit() throws {
        let isClosed = close(descriptor) == 0
        descriptor = -1
        guard isClosed else { throw Self.failure(path, errno) }
        guard let temporaryPath else { return }
        guard rename(temporaryPath, path) == 0 else { throw Self.failure(path, errno) }
        self.temporaryPath = nil
    }

    private static func failure(_ path: String, _ number: Int32) -> CommandFailure {
        CommandFailure(message: "cannot write \(path): \(String(cString: strerror(number)))")
    }
}
