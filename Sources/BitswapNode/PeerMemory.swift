import Bitswap
import Libp2p
import Multiformats
import PeerIdentity

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Where peers were reached, kept in a file from one run of a node to the next.
struct PeerMemory: Sendable {
    let path: String

    private struct Peer: Codable {
        var peer: PeerID
        var addresses: [Multiaddr]
    }

    private static let mostBytes = 1 << 20
    private static let mostAddresses = 8

    /// The addresses of the peers, each with `/p2p/`. Empty when there is no file, or none that can be read.
    ///
    /// - Parameter limit: how many peers at most.
    func load(limit: Int) -> [Multiaddr] {
        guard let data = try? Data(contentsOf: URL(filePath: path)), data.count <= Self.mostBytes,
            let peers = try? JSONDecoder().decode([Peer].self, from: data)
        else { return [] }
        return peers.prefix(limit).flatMap { peer in
            peer.addresses.prefix(Self.mostAddresses).compactMap { try? $0.appending(peer: peer.peer.multihash) }
        }
    }

    /// Replaces the file in one step.
    func save(_ peers: [Provider]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .prettyPrinted, .sortedKeys]
        let data = try encoder.encode(peers.map { Peer(peer: $0.peer, addresses: $0.addresses) })
        try data.write(to: URL(filePath: path), options: .atomic)
    }
}
