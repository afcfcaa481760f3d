package import Bitswap
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
    /// Bytes of JSON around the CID of a want.
    private static let wantOverhead = 96
    private let limits: ControlLimits

    package init(_ node: BitswapNode, limits: ControlLimits = ControlLimits()) {
        self.node = node
        self.limits = limits
    }

    /// Lets `body` answer the requests of one connection, whose blocks belong together.
    package func withSession(_ body: (@escaping ControlServer.Responder) async throws -> Void) async throws {
        try await node.blocks.withSession { session in
            try await body { [self] in await respond(to: $0, in: session) }
        }
    }

    package func respond(to request: ControlRequest, in session: Session? = nil) async -> ControlAnswer {
        do {
            switch request {
            case .status: return .status(try await status())
            case .peers: return .peers(peers())
            case .connect(let address): return .connected(peer: try await node.swarm.connect(to: address).peer)
            case .get(let cid, let milliseconds): return .fetched(try await fetch(cid, milliseconds, in: session))
            case .offer(let cids):
                try await offer(cids)
                return .done
            case .wantlist(let peer): return .wantlist(try wantlist(of: peer))
            case .ledger(let peer):
                guard let ledger = node.exchange.ledger(of: peer) else { throw Self.notConnected(peer) }
                return .ledger(ledger)
            case .cancel: return .done
            }
        } catch let error as ControlFailure {
            return .failed(error)
        } catch let error as ExchangeError {
            return .failed(ControlFailure(Self.kind(of: error), "\(error)"))
        } catch let error as Libp2pError {
            return .failed(ControlFailure(.cannotConnect, error.message))
        } catch {
            return .failed(ControlFailure(.failed, "\(error)"))
        }
    }

    private static func kind(of error: ExchangeError) -> ControlFailure.Kind {
        switch error.code {
        case .timedOut, .notFound: .timedOut
        case .cancelled: .cancelled
        default: .failed
        }
    }

    private static func notConnected(_ peer: PeerID) -> ControlFailure {
        ControlFailure(.notConnected, "the peer \(peer) is not connected; bitswap peers lists those that are")
    }

    private func status() async throws -> NodeStatus {
        let statistics = try await node.blocks.store.statistics()
        let connections = node.swarm.connections()
        // Once it listens, those of now: interfaces come and go.
        _ = try await node.addresses
        return NodeStatus(
            peer: node.id, addresses: node.swarm.listenAddresses, agent: node.swarm.configuration.agentVersion,
            process: getpid(), uptimeSeconds: start.duration(to: .now).components.seconds,
            blocks: statistics.blockCount, blockBytes: statistics.byteCount, storageBytes: statistics.storageByteCount,
            peers: Set(connections.map(\.peer)).count, wants: node.exchange.wantlist.count,
            exchange: node.exchange.statistics, swarm: node.swarm.statistics, mdns: node.mdnsStatistics)
    }

    private func peers() -> [PeerStatus] {
        let now = NIODeadline.now()
        return node.swarm.connections().map { connection in
            let origin = node.origin(of: connection.peer)
            return PeerStatus(
                peer: connection.peer, address: connection.remoteAddress, isOutbound: connection.direction == .outbound,
                security: connection.security.name,
                agent: (connection.identifyInfo?.agentVersion?.prefix(limits.agentCharacters)).map(String.init),
                connectedSeconds: (now - connection.openedAt).nanoseconds / 1_000_000_000,
                foundBy: origin?.method.name, foundSeconds: origin?.elapsed.components.seconds,
                ledger: node.exchange.ledger(of: connection.peer))
        }
    }

    private func wantlist(of peer: PeerID?) throws(ControlFailure) -> WantlistStatus {
        guard let peer else {
            let wants = node.exchange.wantlist.map { (cid: $0, text: $0.description) }.sorted { $0.text < $1.text }
            return WantlistStatus(count: wants.count, own: fitting(wants) { $0.text.utf8.count }.map(\.cid))
        }
        guard let wants = node.exchange.wantlist(of: peer) else { throw Self.notConnected(peer) }
        return WantlistStatus(count: wants.count, peers: fitting(wants) { $0.cid.description.utf8.count })
    }

    /// As many of the wants as an answer has room for.
    private func fitting<Want>(_ wants: [Want], _ textBytes: (Want) -> Int) -> [Want] {
        var room = limits.wantlistBytes
        return Array(
            wants.prefix { want in
                room -= textBytes(want) + Self.wantOverhead
                return room >= 0
            })
    }

    private func fetch(_ cid: CID, _ milliseconds: Int64?, in session: Session?) async throws -> FetchStatus {
        let timeout = milliseconds.map { Duration.milliseconds(max(0, $0)) }
        let fetched =
            if let session {
                try await session.want(cid, timeout: timeout)
            } else {
                try await node.blocks.fetch(cid, timeout: timeout)
            }
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
