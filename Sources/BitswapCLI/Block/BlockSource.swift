import Bitswap
import BitswapNode
import Blockstore
import Libp2p
import Multiformats
import NIOCore
import PeerIdentity

/// A block that was asked for, and how it came.
struct ObtainedBlock: Sendable {
    let cid: CID
    let bytes: ByteBuffer
    /// Nil: from the own store.
    let peer: PeerID?
    let milliseconds: Double
}

/// Somebody who gets blocks from peers into the repository's store.
protocol BlockSource: Sendable {
    /// Who is asked, in words.
    var name: String { get async throws }
    /// Whether it may find peers that were not named.
    var findsOthers: Bool { get async }
    func connect(to address: Multiaddr) async throws -> PeerID
    func fetch(_ cid: CID, timeout: Duration) async throws -> ObtainedBlock
}

/// A node of our own, for the time of a command.
struct EphemeralNode: BlockSource {
    let node: BitswapNode
    let session: Session
    let usesMDNS: Bool

    var name: String { usesMDNS ? "whoever is on the local networks" : "the peers that are connected" }

    var findsOthers: Bool { usesMDNS }

    func connect(to address: Multiaddr) async throws -> PeerID {
        try await node.swarm.connect(to: address).peer
    }

    func fetch(_ cid: CID, timeout: Duration) async throws -> ObtainedBlock {
        do {
            let fetched = try await session.want(cid, timeout: timeout)
            var peer: PeerID?
            if case .network(let source) = fetched.source { peer = source }
            return ObtainedBlock(
                cid: cid, bytes: fetched.block.bytes, peer: peer, milliseconds: fetched.elapsed / .milliseconds(1))
        } catch {
            guard error.code == .timedOut || error.code == .notFound else { throw error }
            throw CommandFailure(status: CommandFailure.notFound, message: "\(error)")
        }
    }
}

/// The node that serves from the repository.
struct RunningNode: BlockSource {
    let client: ControlClient
    let store: LMDBBlockstore

    /// It may have other peers already.
    var findsOthers: Bool {
        get async { (try? await client.status().peers) ?? 0 > 0 }
    }

    var name: String {
        get async throws {
            let count = try await client.status().peers
            return "the running node, which has \(count) \(count == 1 ? "peer" : "peers")"
        }
    }

    func connect(to address: Multiaddr) async throws -> PeerID {
        try await client.connect(to: address)
    }

    func fetch(_ cid: CID, timeout: Duration) async throws -> ObtainedBlock {
        do {
            let fetched = try await client.get(cid, timeout: timeout)
            guard let bytes = try await store.get(cid.multihash) else {
                throw CommandFailure(message: "the node fetched \(cid), but it was removed at once")
            }
            return ObtainedBlock(cid: cid, bytes: bytes, peer: fetched.peer, milliseconds: fetched.milliseconds)
        } catch let failure as ControlFailure where failure.kind == .timedOut {
            throw CommandFailure(status: CommandFailure.notFound, message: failure.message)
        }
    }
}
