import BitswapNode
import Dispatch
import Libp2p
import Multiformats
import PeerIdentity
import ServiceLifecycle

/// Prints where a node listens and, as JSON, which peers come and go.
///
/// A reader that goes away after the first line does not end the node, and one that stays and does not read does not keep it
/// from ending.
struct ServeEvents: Service {
    private enum Event {
        case connected(PeerID, Multiaddr, Connection.Direction)
        case disconnected(PeerID, reason: String?)
        case discovered(PeerID, [Multiaddr], by: DiscoveryMethod)
        case undiscovered(PeerID, by: DiscoveryMethod)
    }

    private let node: BitswapNode
    private let printsJSON: Bool
    private let events: AsyncStream<Event>
    /// Events that are kept for a reader that is slow; older ones give way.
    private static let backlog = 4_096
    /// Where lines are written, and may have to wait for the reader.
    private let output = DispatchQueue(label: "bitswap.events")

    init(node: BitswapNode, printsJSON: Bool) {
        self.node = node
        self.printsJSON = printsJSON
        let (events, continuation) = AsyncStream.makeStream(
            of: Event.self, bufferingPolicy: .bufferingNewest(Self.backlog))
        self.events = events
        guard printsJSON else { return }
        node.observeDiscoveries { method, event in
            switch event {
            case .found(let peer, let addresses): continuation.yield(.discovered(peer, addresses, by: method))
            case .lost(let peer): continuation.yield(.undiscovered(peer, by: method))
            }
        }
        node.swarm.observe { event in
            switch event {
            case .connected(let connection):
                continuation.yield(.connected(connection.peer, connection.remoteAddress, connection.direction))
            case .disconnected(let connection, let error):
                continuation.yield(.disconnected(connection.peer, reason: error?.message))
            default:
                break
            }
        }
    }

    func run() async throws {
        let addresses = try await node.addresses
        if printsJSON {
            await show(
                JSON.object([
                    ("event", .string("listening")), ("peer", JSON(node.id)), ("addresses", JSON(addresses)),
                ]).description)
        } else {
            let list = addresses.isEmpty ? "no address" : addresses.map(\.description).joined(separator: " and ")
            await show("\(node.id) listens on \(list)")
        }
        // A peer counts as connected from its first connection to the end of its last.
        var connections: [PeerID: Int] = [:]
        for await event in events.cancelOnGracefulShutdown() {
            switch event {
            case .connected(let peer, let address, let direction):
                connections[peer, default: 0] += 1
                guard connections[peer] == 1 else { continue }
                await show(
                    JSON.object([
                        ("event", .string("connected")), ("peer", JSON(peer)), ("address", JSON(address)),
                        ("direction", .string(direction == .outbound ? "outbound" : "inbound")),
                    ]).description)
            case .discovered(let peer, let addresses, let method):
                await show(
                    JSON.object([
                        ("event", .string("discovered")), ("peer", JSON(peer)), ("by", .string(method.name)),
                        ("addresses", JSON(addresses)),
                    ]).description)
            case .undiscovered(let peer, let method):
                await show(
                    JSON.object([
                        ("event", .string("undiscovered")), ("peer", JSON(peer)), ("by", .string(method.name)),
                    ]).description)
            case .disconnected(let peer, let reason):
                connections[peer, default: 1] -= 1
                guard connections[peer] == 0 else { continue }
                connections[peer] = nil
                await show(
                    JSON.object([
                        ("event", .string("disconnected")), ("peer", JSON(peer)), ("reason", JSON(reason)),
                    ]).description)
            }
        }
    }

    /// Writes a line and waits until it is written, or the node is to end.
    private func show(_ line: String) async {
        let (written, continuation) = AsyncStream.makeStream(of: Never.self)
        output.async {
            Console.print(line)
            continuation.finish()
        }
        for await _ in written.cancelOnGracefulShutdown() {}
    }
}
