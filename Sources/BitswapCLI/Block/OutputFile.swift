import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A file that is written beside its place and put there when it is whole: never seen half-written. A file that is there
/// already keeps its mode, and a link to it stays one. What is there and is no regular file, such as a pipe, is written to
/// directly.
final class OutputFile {
    private let path: String
    /// Where the file comes to be: `path`, or what that is a link to.
    private let place: String
    /// Nil when `place` itself is written to.
    private var temporaryPath: String?
    private var descriptor: Int32

    init(_ path: String) throws {
        self.path = path
        var status = stat()
        let isThere = stat(path, &status) == 0
        place = isThere ? Self.resolved(path) : path
        if isThere, status.st_mode & S_IFMT != S_IFREG {
            descriptor = open(path, O_WRONLY | O_CLOEXEC)
        } else {
            let temporary = "\(place).\(getpid()).tmp"
            descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, isThere ? 0o600 : 0o666)
            if isThere, descriptor >= 0 { fchmod(descriptor, status.st_mode & 0o777) }
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
        guard rename(temporaryPath, place) == 0 else { throw Self.failure(path, errno) }
        self.temporaryPath = nil
    }

    private static func resolved(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func failure(_ path: String, _ number: Int32) -> CommandFailure {
        CommandFailure(message: "cannot write \(path): \(String(cString: strerror(number)))")
    }
}
