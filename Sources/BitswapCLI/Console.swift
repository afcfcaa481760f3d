import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Standard output and standard error, written at once and without buffers.
enum Console {
    /// One line on standard output. Errors are as good as ignored: for help texts.
    static func print(_ text: String) {
        _ = write(text + "\n", to: STDOUT_FILENO)
    }

    /// `bitswap: …` on standard error: always one line.
    static func error(_ message: String) {
        _ = write("bitswap: \(singleLine(message))\n", to: STDERR_FILENO)
    }

    static func warning(_ message: String) {
        error("warning: \(message)")
    }

    /// A line of narration on standard error.
    static func narrate(_ message: String) {
        _ = write(singleLine(message) + "\n", to: STDERR_FILENO)
    }

    static var isErrorTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    private static func singleLine(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map {
                    $0.value < 0x20 || $0.value == 0x7F || (0x80..<0xA0).contains($0.value) ? " " : $0
                }))
    }

    private static func write(_ text: String, to descriptor: Int32) -> Bool {
        var text = text
        return text.withUTF8 { writeAll(UnsafeRawBufferPointer($0), to: descriptor) } == 0
    }
}

/// Writes everything. Returns 0 or an `errno`.
func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if count > 0 {
            rest = rest.dropFirst(count)
        } else if errno == EAGAIN {
            var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = poll(&poller, 1, -1)
        } else if errno != EINTR {
            return errno
        }
    }
    return 0
}

/// Results on standard output. Lines are kept until ``flush()``, or until there are many.
///
/// When nobody reads them any more (`| head`), the program ends, quietly, as one ends that does not handle `SIGPIPE`:
/// SwiftNIO has it ignored.
struct Results {
    private var buffer: [UInt8] = []
    private static let bufferSize = 64 << 10

    mutating func line(_ text: some CustomStringConvertible) throws {
        buffer.append(contentsOf: text.description.utf8)
        buffer.append(UInt8(ascii: "\n"))
        if buffer.count >= Self.bufferSize { try flush() }
    }

    mutating func bytes(_ bytes: ByteBuffer) throws {
        try flush()
        try bytes.withUnsafeReadableBytes { try Self.write($0) }
    }

    mutating func flush() throws {
        defer { buffer.removeAll(keepingCapacity: true) }
        try buffer.withUnsafeBytes { try Self.write($0) }
    }

    private static func write(_ bytes: UnsafeRawBufferPointer) throws {
        let number = writeAll(bytes, to: STDOUT_FILENO)
        if number == EPIPE {
            signal(SIGPIPE, SIG_DFL)
            raise(SIGPIPE)
        }
        if number != 0 {
            throw CommandFailure(message: "cannot write to standard output: \(String(cString: strerror(number)))")
        }
    }
}
