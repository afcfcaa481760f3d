import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A file named on the command line; `-` is standard input.
struct InputFile: Sendable {
    let path: String

    /// The whole file. Reads on a thread of its own pool, as a pipe may keep us waiting; who is cancelled waits no longer.
    ///
    /// - Throws: ``CommandFailure``, which names the file, also when it is larger than `limit` bytes; `CancellationError`.
    func read(limit: Int) async throws -> ByteBuffer {
        let (outcome, continuation) = AsyncThrowingStream.makeStream(of: ByteBuffer.self)
        NIOThreadPool.singleton.submit { _ in
            continuation.yield(with: Result { try readNow(limit: limit) })
        }
        for try await bytes in outcome { return bytes }
        throw CancellationError()
    }

    private func readNow(limit: Int) throws -> ByteBuffer {
        guard path != "-" else { return try read(STDIN_FILENO, "standard input", limit: limit, expected: 0) }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(path) }
        guard status.st_mode & S_IFMT != S_IFDIR else {
            throw CommandFailure(message: "\(path) is a directory; block put stores files, each as one block")
        }
        let isRegular = status.st_mode & S_IFMT == S_IFREG
        if isRegular, status.st_size > limit { throw tooLarge(path, "\(status.st_size)", limit) }
        return try read(descriptor, path, limit: limit, expected: isRegular ? Int(status.st_size) : 0)
    }

    private func read(_ descriptor: Int32, _ name: String, limit: Int, expected: Int) throws -> ByteBuffer {
        var bytes = ByteBufferAllocator().buffer(capacity: expected + 1)
        while true {
            bytes.reserveCapacity(minimumWritableBytes: bytes.writableBytes > 0 ? 1 : 64 << 10)
            var number: Int32 = 0
            let count = bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: 1) { space in
                let count = systemRead(descriptor, space)
                if count < 0 { number = errno }
                return max(0, count)
            }
            if number == EINTR { continue }
            if number != 0 { throw failure(name, number) }
            if count == 0 { return bytes }
            if bytes.readableBytes > limit { throw tooLarge(name, "more than \(limit)", limit) }
        }
    }

    private func failure(_ name: String, _ number: Int32 = errno) -> CommandFailure {
        CommandFailure(message: "cannot read \(name): \(String(cString: strerror(number)))")
    }

    private func tooLarge(_ name: String, _ size: String, _ limit: Int) -> CommandFailure {
        CommandFailure(
            message: "\(name) has \(size) bytes; a block has at most \(limit), so that every peer accepts it")
    }
}

/// `read(2)`, which the method of the same name hides.
private func systemRead(_ descriptor: Int32, _ space: UnsafeMutableRawBufferPointer) -> Int {
    read(descriptor, space.baseAddress, space.count)
}
