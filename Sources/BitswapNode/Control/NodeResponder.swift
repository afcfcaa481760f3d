import Bitswap
import Blockstore
import Libp2p
import Multiformats
import NIOCore
import PeerIdentity

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Does for other processes what they ask of a node over its control socket.
package struct NodeResponder: Sendable {
    private let node: BitswapNode
    private let start = ContinuousClock.now
    /// Blocks of an offer that are held in memory at once.
    private static let offerStride = 16

    package init(_ node: BitswapNode) {
        self.node = node
    }

    package func respond(to request: ControlRequest) async -> ControlAnswer {
        do {
            switch request {
            case .status: return .status(try await status())
            case .peers: return .peers(peers())
            case .connect(let address): return .connected(peer: try await node.swarm.connect(to: address).peer)
            case .get(let cid, let milliseconds): return .fetched(try await fetch(cid, milliseconds))
            case .offer(let cids):
                try await offer(cids)
                return .done
            }
        } catch let error as ExchangeError {
            return .failed(ControlFailure(error.code == .timedOut ? .timedOut : .failed, "\(error)"))
        } catch let error as Libp2pError {
            return .failed(ControlFailure(.cannotConnect, error.message))
        } catch {
            return .failed(ControlFailure(.failed, "\(error)"))
        }
    }

    private func status() async throws -> NodeStatus {
        let statistics = try await node.blocks.store.statistics()
        let connections = node.swarm.connections()
        return NodeStatus(
            peer: node.id, addresses: try await node.addresses, agent: node.swarm.configuration.agentVersion,
            process: getpid(), uptimeSeconds: start.duration(to: .now).components.seconds,
            blocks: statistics.blockCount, blockBytes: statistics.byteCount, storageBytes: statistics.storageByteCount,
            peers: Set(connections.map(\.peer)).count, wants: node.exchange.wantlist.count,
            exchange: node.exchange.statistics)
    }

    private func peers() -> [PeerStatus] {
        let now = NIODeadline.now()
        return node.swarm.connections().map { connection in
            PeerStatus(
                peer: connection.peer, address: connection.remoteAddress, isOutbound: connection.direction == .outbound,
                agent: connection.identifyInfo?.agentVersion,
                connectedSeconds: (now - connection.openedAt).nanoseconds / 1_000_000_000)
        }
    }

    private func fetch(_ cid: CID, _ milliseconds: Int64?) async throws -> FetchStatus {
        let fetched = try await node.blocks.fetch(cid, timeout: milliseconds.map { .milliseconds(max(0, $0)) })
        var peer: PeerID?
        if case .network(let source) = fetched.source { peer = source }
        return FetchStatus(
            size: fetched.block.bytes.readableBytes, peer: peer, milliseconds: fetched.elapsed / .milliseconds(1))
    }

    private func offer(_ cids: [CID]) async throws {
        // The others are found when somebody asks for them.
        var rest = cids.filter { node.exchange.isAwaited($0.multihash) }[...]
        while !rest.isEmpty {
            var blocks: [Block] = []
            for cid in rest.prefix(Self.offerStride) {
                if let bytes = try await node.blocks.store.get(cid.multihash) {
                    blocks.append(Block(unchecked: bytes, cid: cid))
                }
            }
            node.exchange.offer(blocks)
            rest = rest.dropFirst(Self.offerStride)
        }
    }
}
