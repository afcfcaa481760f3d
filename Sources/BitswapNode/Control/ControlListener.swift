import NIOConcurrencyHelpers

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The right to serve from a repository, and the socket on which the node there is asked questions.
///
/// At most one process has it, by a lock on the file `serve.lock` that ends with the process, however it ends: a socket
/// left behind by a killed node is replaced. The socket has mode 0600 before anybody can connect to it.
package final class ControlListener: Sendable {
    /// Where the socket is.
    package let path: String
    private let lock: Int32
    private let state: NIOLockedValueBox<State>

    private struct State {
        /// Nil once it was handed over.
        var socket: Int32?
        var isClosed = false
    }

    /// - Throws: `alreadyRunning`; `cannotCreate` with the path and the reason.
    package init(_ repository: Repository) throws {
        path = repository.controlPath
        lock = try Self.takeLock(repository)
        do {
            unlink(path)
            state = NIOLockedValueBox(State(socket: try ControlSocket.listening(at: path)))
        } catch {
            systemClose(lock)
            throw error
        }
    }

    deinit { close() }

    /// The bound and listening socket, which is the caller's from now on. Nil when it was taken before.
    func takeSocket() -> Int32? {
        state.withLockedValue { state in
            defer { state.socket = nil }
            return state.socket
        }
    }

    /// Removes the socket's file, then lets another process serve. Calling it again does nothing.
    package func close() {
        let (isFirst, socket) = state.withLockedValue { state in
            defer { state = State(socket: nil, isClosed: true) }
            return (!state.isClosed, state.socket)
        }
        guard isFirst else { return }
        if let socket { systemClose(socket) }
        // Still ours, as we hold the lock.
        unlink(path)
        systemClose(lock)
    }

    private static func takeLock(_ repository: Repository) throws -> Int32 {
        let path = repository.path + "/serve.lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw NodeError.system(.cannotCreate, "cannot open the lock file \(path)") }
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno == EINTR { continue }
            let isTaken = errno == EWOULDBLOCK
            let failure = NodeError.system(.cannotCreate, "cannot lock the file \(path)")
            systemClose(descriptor)
            guard isTaken else { throw failure }
            throw NodeError(
                .alreadyRunning,
                "a node serves from \(repository.path) already; stop it, or give this one a repository of its own with --repo"
            )
        }
        return descriptor
    }
}
