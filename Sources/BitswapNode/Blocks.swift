public import Bitswap
public import Blockstore
public import Multiformats
public import NIOCore
import PeerIdentity

/// The blocks of a node: its own store first, then the network.
///
/// A block is known by the multihash of its CID: what was put under a CIDv1 can be got under a CIDv0 of the same hash.
public struct Blocks: Sendable {
    let store: any Blockstore
    let exchange: Exchange

    /// Stores a block and gives it to the peers that wait for it.
    ///
    /// Returns when the block is stored as durably as the store was opened for. A call that is cancelled may have stored it.
    /// The store takes more bytes in one block than peers do: see `BitswapLimits.blockBytes`, 2 MiB.
    ///
    /// - Returns: the block's CID, version 1.
    /// - Throws: `BlockstoreError`, such as `blockTooLarge` and `diskFull`; an error that names the hash function if that
    ///   cannot be computed here.
    @discardableResult
    public func put(_ bytes: ByteBuffer, codec: CID.Codec = .raw, hash: Multihash.Code = .sha2_256) async throws -> CID
    {
        let block = try Block(bytes, codec: codec, hash: hash)
        try await put([block])
        return block.cid
    }

    /// Stores a block given as bytes of any kind: see ``put(_:codec:hash:)-(ByteBuffer,_,_)``.
    @discardableResult
    public func put(
        _ bytes: some Sequence<UInt8>, codec: CID.Codec = .raw, hash: Multihash.Code = .sha2_256
    ) async throws -> CID {
        try await put(ByteBuffer(bytes: bytes), codec: codec, hash: hash)
    }

    /// Stores the UTF-8 bytes of a text as a block: see ``put(_:codec:hash:)-(ByteBuffer,_,_)``.
    @discardableResult
    public func put(_ text: String, codec: CID.Codec = .raw, hash: Multihash.Code = .sha2_256) async throws -> CID {
        try await put(ByteBuffer(string: text), codec: codec, hash: hash)
    }

    /// Stores many blocks in one go and gives them to the peers that wait for them.
    ///
    /// - Throws: `BlockstoreError`; `cancelled` between two transactions, when some of them are stored and others are not.
    public func put(_ blocks: [Block]) async throws {
        try await store.put(blocks)
        exchange.offer(blocks)
    }

    /// The block under a CID: from the own store, else from peers, verified and stored.
    ///
    /// Cancelling the calling task takes the want back at every peer.
    ///
    /// - Parameters:
    ///   - providers: who may be asked.
    ///   - timeout: how long to wait for it; nil waits for ever. Kept only while the node runs: before, the want waits
    ///     for that.
    /// - Throws: `ExchangeError`; with `timedOut` and `notFound` it says what each peer answered, and `cancelled` is what a
    ///   caller gets whose task was.
    public func get(
        _ cid: CID, providers: Providers = .any, timeout: Duration? = .seconds(30)
    ) async throws -> Block {
        try await fetch(cid, providers: providers, timeout: timeout).block
    }

    /// The same as ``get(_:providers:timeout:)``, with where the block came from and how long it took.
    public func fetch(
        _ cid: CID, providers: Providers = .any, timeout: Duration? = .seconds(30)
    ) async throws -> FetchedBlock {
        try await exchange.want(cid, providers: providers, timeout: timeout)
    }

    /// Runs `body` with a session, for blocks that belong together: see ``Bitswap/Exchange/withSession(providers:isolation:_:)``.
    ///
    ///     try await node.blocks.withSession { session in
    ///         for try await fetched in session.blocks(for: cids) { print(fetched.block.cid, fetched.source) }
    ///     }
    public func withSession<Value, Failure: Error>(
        providers: Providers = .any, isolation: isolated (any Actor)? = #isolation,
        _ body: (Session) async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        try await exchange.withSession(providers: providers, isolation: isolation, body)
    }

    /// Whether the block is in the own store. Asks nobody. Throws `BlockstoreError`, as the next two do.
    public func has(_ cid: CID) async throws -> Bool { try await store.has(cid.multihash) }

    /// The size in bytes of a block in the own store, or nil when it is not there. Asks nobody.
    public func size(of cid: CID) async throws -> Int? { try await store.size(of: cid.multihash) }

    /// Deletes a block from the own store. Returns whether it was there.
    @discardableResult
    public func delete(_ cid: CID) async throws -> Bool { try await store.delete(cid.multihash) }
}
