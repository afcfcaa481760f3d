#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension KeyPair {
    /// Reads a key file that ``store(to:)`` or another libp2p implementation wrote: a `PrivateKey` message of
    /// `keys.proto`.
    ///
    /// Throws ``IdentityError/Code/fileNotFound``, ``IdentityError/Code/filePermissions`` when others than the owner may
    /// read or write the file, ``IdentityError/Code/fileAccess``, and what ``init(decoding:)`` throws; every message
    /// names the path.
    public static func load(from path: String) throws(IdentityError) -> KeyPair {
        // Not blocking, so that a pipe at the path is reported instead of waited for.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            if errno == ENOENT {
                throw IdentityError(.fileNotFound, "There is no key file at \(path).", underlying: SystemError())
            }
            throw .file("read the key file \(path)")
        }
        defer { close(file) }

        var status = stat()
        guard fstat(file, &status) == 0 else { throw .file("read the key file \(path)") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw IdentityError(.fileAccess, "The key file \(path) is not a regular file.")
        }
        guard status.st_mode & 0o077 == 0 else {
            throw IdentityError(
                .filePermissions,
                "The key file \(path) has mode \(String(status.st_mode & 0o777, radix: 8)): others than its owner can "
                    + "read or write it. If nobody has read it, run: chmod 600 \(path)")
        }
        guard status.st_size > 0, status.st_size <= off_t(IdentityLimits.keyFileBytes) else {
            throw IdentityError(
                .invalidPrivateKey, "The key file \(path) has \(status.st_size) bytes: it is no libp2p private key.")
        }

        let contents = try SecretMemory(count: Int(status.st_size)) { buffer throws(IdentityError) in
            var filled = 0
            while filled < buffer.count {
                let count = read(file, buffer.baseAddress?.advanced(by: filled), buffer.count - filled)
                if count < 0 {
                    if errno == EINTR { continue }
                    throw .file("read the key file \(path)")
                }
                guard count > 0 else {
                    throw IdentityError(.fileAccess, "The key file \(path) became shorter while it was read.")
                }
                filled += count
            }
        }
        do {
            return try KeyPair(
                secret: contents.withBytes { bytes throws(IdentityError) in try secret(decoding: bytes) })
        } catch {
            throw IdentityError(error.code, "The key file \(path): \(error.message)", underlying: error)
        }
    }

    /// Writes the pair to a new file that its owner alone may read (mode 0600), as a `PrivateKey` message of
    /// `keys.proto`.
    ///
    /// The file appears whole and synced to disk, or not at all (on a file system without hard links a crash may leave a
    /// part of it), and never replaces another: then ``IdentityError/Code/fileExists`` is thrown. What else the system
    /// refuses is ``IdentityError/Code/fileAccess``.
    public func store(to path: String) throws(IdentityError) {
        // A look first, for a clear error before anything is written; link() below decides.
        var status = stat()
        if lstat(path, &status) == 0 { throw .exists(path) }

        let suffix = try SecureRandom.bytes(8).map { String(UInt16($0) | 0x100, radix: 16).dropFirst() }.joined()
        let temporary = "\(path).\(suffix).tmp"
        try write(to: temporary, named: path)
        defer { unlink(temporary) }
        if link(temporary, path) != 0 {
            switch errno {
            case EEXIST: throw .exists(path)
            case EPERM, ENOTSUP, EOPNOTSUPP, EMLINK, ENOSYS:
                // A file system without hard links. Written in place: still never over another file.
                try write(to: path, named: path)
            default: throw .file("write the key file \(path)")
            }
        }
        syncDirectory(of: path)
    }

    /// Creates `file`, which must not exist, and writes the encoded pair to it. Leaves nothing behind on failure.
    private func write(to file: String, named path: String) throws(IdentityError) {
        let contents = try encodedSecret()
        let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            if errno == EEXIST { throw .exists(file) }
            throw .file("write the key file \(path)")
        }
        do throws(IdentityError) {
            defer { close(descriptor) }
            // The umask may have taken the owner's bits away too.
            guard fchmod(descriptor, 0o600) == 0 else { throw IdentityError.file("write the key file \(path)") }
            try contents.withBytes { bytes throws(IdentityError) in
                var written = 0
                while written < bytes.count {
                    let count = systemWrite(
                        descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                    if count < 0 {
                        if errno == EINTR { continue }
                        throw .file("write the key file \(path)")
                    }
                    written += count
                }
            }
            guard fsync(descriptor) == 0 else { throw IdentityError.file("write the key file \(path)") }
        } catch {
            unlink(file)
            throw error
        }
    }

    /// Makes the new name durable, as far as the system lets us: not every file system syncs directories.
    private func syncDirectory(of path: String) {
        let directory = path.lastIndex(of: "/").map { path[...$0] } ?? "."
        let descriptor = open(String(directory), O_RDONLY | O_CLOEXEC | O_DIRECTORY)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }
}

/// `write(2)`, which the method of the same name hides.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}

/// An error number of the operating system.
struct SystemError: Error, CustomStringConvertible {
    let number: Int32

    /// The one that the last call left.
    init() { number = errno }

    var description: String { strerror(number).map { String(cString: $0) } ?? "error \(number)" }
}

extension IdentityError {
    fileprivate static func exists(_ path: String) -> IdentityError {
        IdentityError(
            .fileExists,
            "There is already a file at \(path). A key is never overwritten: move that file away if it may go.")
    }

    /// The error that the last system call left.
    fileprivate static func file(_ intent: String) -> IdentityError {
        let error = SystemError()
        return IdentityError(.fileAccess, "Cannot \(intent): \(error).", underlying: error)
    }
}
