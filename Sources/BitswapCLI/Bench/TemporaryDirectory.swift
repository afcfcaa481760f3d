import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A new directory in $TMPDIR, else in /tmp.
struct TemporaryDirectory {
    let path: String

    init() throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        var template = Array("\(parent)/bitswap-bench-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw CommandFailure(
                message: "cannot make a directory in \(parent): \(String(cString: strerror(errno))); "
                    + "name another one with TMPDIR")
        }
        path = String(cString: made)
    }

    func remove() { removeTree(path) }
}

/// Removes a directory with all that is in it, as far as that can be done.
func removeTree(_ path: String) {
    // A link is not followed: that it is no directory shows when it is opened as one.
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    if descriptor >= 0, let directory = fdopendir(descriptor) {
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: field.pointee)) {
                    String(cString: $0)
                }
            }
            if name != ".", name != ".." { removeTree("\(path)/\(name)") }
        }
        closedir(directory)
    }
    _ = remove(path)
}

/// Copies an LMDB store that nobody has open.
func copyStore(from source: String, to destination: String) throws {
    func failure(_ path: String) -> CommandFailure {
        CommandFailure(message: "cannot copy \(path): \(String(cString: strerror(errno)))")
    }
    guard mkdir(destination, 0o700) == 0 || errno == EEXIST else { throw failure(destination) }
    let input = open(source + "/data.mdb", O_RDONLY | O_CLOEXEC)
    guard input >= 0 else { throw failure(source) }
    defer { close(input) }
    let file = try OutputFile(destination + "/data.mdb")
    var buffer = ByteBufferAllocator().buffer(capacity: 1 << 20)
    while true {
        buffer.clear()
        let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 1 << 20) {
            max(0, read(input, $0.baseAddress, $0.count))
        }
        if count == 0 { break }
        try file.write(buffer)
    }
    try file.commit()
}
