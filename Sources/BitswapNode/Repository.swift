import Blockstore
public import PeerIdentity

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A node's directory: its key, its blocks, the socket on which it is asked questions.
///
///     identity.key   the Ed25519 key, mode 0600 (libp2p/specs, peer-ids)
///     blocks/        the LMDB blockstore; several processes may have it open at once
///     peers.json     where peers were reached, for the next start
///     control.sock   there while a node serves from this repository, mode 0600
///     serve.lock     held by the node that serves from this repository
public struct Repository: Sendable, Hashable {
    /// As it was given; not made absolute.
    public let path: String

    public init(path: String) { self.path = path }

    /// The key file.
    public var identityPath: String { path + "/identity.key" }
    /// The directory of the LMDB store.
    public var blocksPath: String { path + "/blocks" }
    /// The file of peers that were reached.
    public var peersPath: String { path + "/peers.json" }
    /// The control socket.
    public var controlPath: String { path + "/control.sock" }

    /// Whether there is a key in it: a repository that was made before. True too where nobody may look: reading it then says
    /// why it cannot be.
    public var exists: Bool { access(identityPath, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR) }

    /// Makes the directory and a new key in it.
    ///
    /// - Throws: `repositoryExists` when there is a key already; `cannotCreate`, with the path and the reason;
    ///   `IdentityError` when the key cannot be made or written.
    @discardableResult
    public func create() throws -> KeyPair {
        guard access(identityPath, F_OK) != 0 else {
            throw NodeError(
                .repositoryExists, "there is a repository at \(path) already; remove it or choose another --repo")
        }
        try makeDirectories()
        let identity = try KeyPair.generate()
        try identity.store(to: identityPath)
        return identity
    }

    /// The repository's key.
    ///
    /// - Throws: `noRepository` when there is none; what `KeyPair.load` throws when it cannot be read.
    public func identity() throws -> KeyPair {
        guard exists else {
            throw NodeError(
                .noRepository, "there is no repository at \(path); make one with: bitswap init --repo \(path)")
        }
        return try KeyPair.load(from: identityPath)
    }

    private func makeDirectories() throws {
        var prefix = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            prefix += (prefix.isEmpty || prefix.hasSuffix("/") ? "" : "/") + part
            guard mkdir(prefix, 0o700) == 0 || errno == EEXIST else {
                let reason = String(cString: strerror(errno))
                throw NodeError(.cannotCreate, "cannot make the directory \(prefix): \(reason)")
            }
        }
    }
}
