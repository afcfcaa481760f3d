import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Unix stream sockets by their path, as descriptors that the caller hands on or closes.
enum ControlSocket {
    /// Binds a socket to `path`, where there must be no file, lets only the owner connect, and listens.
    static func listening(at path: String) throws -> Int32 {
        try make(path) { descriptor in
            try withAddress(of: path) { address in
                let isBound = address.withSockAddr { systemBind(descriptor, $0, socklen_t($1)) == 0 }
                guard isBound else { throw NodeError.system(.cannotCreate, "cannot make the control socket \(path)") }
            }
            guard chmod(path, 0o600) == 0, listen(descriptor, 64) == 0 else {
                throw NodeError.system(.cannotCreate, "cannot open the control socket \(path)")
            }
        }
    }

    /// Connects to the socket at `path`, which takes no time: nil when nobody listens there.
    static func connected(to path: String) throws -> Int32? {
        do {
            return try make(path) { descriptor in
                try withAddress(of: path) { address in
                    let error = address.withSockAddr { systemConnect(descriptor, $0, socklen_t($1)) == 0 ? 0 : errno }
                    switch error {
                    case 0: return
                    case ENOENT, ECONNREFUSED, ENOTDIR: throw NobodyThere()
                    case EAGAIN: throw ControlFailure(.tooBusy, "the node does not take control connections; try again")
                    default: throw NodeError.system(.notRunning, "cannot talk to the node at \(path)")
                    }
                }
            }
        } catch is NobodyThere {
            return nil
        }
    }

    private struct NobodyThere: Error {}

    private static func make(_ path: String, _ setUp: (Int32) throws -> Void) throws -> Int32 {
        #if canImport(Glibc)
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { throw NodeError.system(.cannotCreate, "cannot make a socket for \(path)") }
        do {
            guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0, fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else {
                throw NodeError.system(.cannotCreate, "cannot make a socket for \(path)")
            }
            try setUp(descriptor)
            return descriptor
        } catch {
            systemClose(descriptor)
            throw error
        }
    }

    /// Gives `body` the address of a path. The system limits it to about a hundred bytes; a longer one goes by way of its
    /// directory, opened for the time of `body`, where that is possible.
    private static func withAddress(of path: String, _ body: (SocketAddress) throws -> Void) throws {
        if let address = try? SocketAddress(unixDomainSocketPath: path) { return try body(address) }
        #if os(Linux)
            let end = path.lastIndex(of: "/") ?? path.startIndex
            let directory = open(String(path[..<end]), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            if directory < 0, errno == ENOENT { throw NobodyThere() }
            defer { systemClose(directory) }
            if directory >= 0,
                let address = try? SocketAddress(unixDomainSocketPath: "/proc/self/fd/\(directory)\(path[end...])")
            {
                return try body(address)
            }
        #endif
        throw NodeError(
            .cannotCreate,
            "the path of the control socket, \(path), has \(path.utf8.count) bytes, more than the system allows; "
                + "give a shorter --repo")
    }
}

extension NodeError {
    /// With what the last system call left in `errno`.
    static func system(_ code: Code, _ message: String) -> NodeError {
        let number = errno
        let reason = strerror(number).map { String(cString: $0) } ?? "error \(number)"
        return NodeError(code, "\(message): \(reason)")
    }
}

/// Calls of the system that methods of the same names hide.
private func systemBind(_ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> Int32 {
    bind(descriptor, address, length)
}

private func systemConnect(_ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> Int32 {
    connect(descriptor, address, length)
}

func systemClose(_ descriptor: Int32) {
    close(descriptor)
}
