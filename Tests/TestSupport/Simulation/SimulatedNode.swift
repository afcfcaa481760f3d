public import Bitswap
public import Blockstore
import Libp2p
import Logging
import Multiformats
import NIOCore
import PeerIdentity

/// An exchange in a simulated network, running from the moment it is made to the end of the simulation's body.
public final class SimulatedNode: SimulatedPeer, @unchecked Sendable {
    public let exchange: Exchange
    public let store: any Blockstore
    /// How it treats what others want of it. It fetches like everybody else all the same.
    public var misbehaviour: Misbehaviour? {
        didSet { simulation.checkThread() }
    }

    private let face: Face
    private var task: Task<Void, Never>?
    private let liar: Liar
    private(set) var hasStopped = false

    init(
        _ simulation: Simulation, number: Int, version: BitswapVersion, uplink: Int?, downlink: Int?,
        store: any Blockstore, configuration: Exchange.Configuration, logger: Logger
    ) {
        face = Face()
        liar = Liar(seed: simulation.seed &+ UInt64(number))
        self.store = store
        exchange = Exchange(
            store: store, network: face, configuration: configuration, time: simulation.timeSource,
            random: .seeded(simulation.seed &* 1_000_003 &+ UInt64(number)), logger: logger)
        super.init(simulation, number: number, version: version, uplink: uplink, downlink: downlink)
        face.node = self
        task = Task(executorPreference: simulation.executor) { [exchange] in
            await exchange.run()
            self.hasStopped = true
        }
    }

    override func connected(to peer: SimulatedPeer) { exchange.connected(peer.id) }
    override func disconnected(from peer: SimulatedPeer) { exchange.disconnected(peer.id) }

    override func stop() async {
        task?.cancel()
        await task?.value
        face.node = nil
    }

    override var waiting: String? {
        let wants = exchange.wantlist
        if hasStopped { return nil }
        guard !wants.isEmpty else { return simulation.isStopping ? "node \(number) does not stop" : nil }
        let some = wants.sorted { $0.multihash < $1.multihash }.prefix(3).map(\.description)
        let connections = links.filter(\.isUp).map { $0.peers.0 === self ? $0.peers.1.number : $0.peers.0.number }
        return "node \(number) wants \(wants.count) blocks (\(some.joined(separator: ", "))"
            + (wants.count > 3 ? ", …" : "") + "), connected to \(connections.count) peers"
            + (connections.isEmpty ? "" : ": \(connections.prefix(8).map(String.init).joined(separator: ", "))")
            + (connections.count > 8 ? ", …" : "")
    }

    override func makeInbox(from peer: SimulatedPeer, on stream: SimulatedStream) -> any Inbox {
        NodeInbox(self, from: peer, on: stream)
    }

    /// The network, seen from here. It knows the node only while that runs, because the node's exchange holds it.
    private final class Face: ExchangeNetwork, @unchecked Sendable {
        // Confined to the simulation's thread.
        var node: SimulatedNode?

        func open(to peer: PeerID) async throws -> any ExchangeOutlet {
            guard let node, let other = node.simulation.peer(peer) else { throw SimulatedNetworkError.notConnected }
            return try node.openStream(to: other)
        }
    }

    /// Passes on what comes, but for what the node's misbehaviour keeps from its exchange.
    private final class NodeInbox: Inbox {
        private let node: SimulatedNode
        private let sender: SimulatedPeer
        private let stream: SimulatedStream
        private let inlet: ExchangeInlet

        init(_ node: SimulatedNode, from sender: SimulatedPeer, on stream: SimulatedStream) {
            self.node = node
            self.sender = sender
            self.stream = stream
            inlet = ExchangeInlet(
                node.exchange, peer: sender.id, release: { [stream] in stream.release($0) },
                reset: { [weak stream] in stream?.reset() })
        }

        var takesPieces: Bool { node.misbehaviour == nil }

        func receive(piece: ByteBuffer) -> Bool {
            do {
                try inlet.receive(piece)
                return true
            } catch { return false }
        }

        func receive(message frame: ByteBuffer) -> Bool {
            guard let message = WireMessage(frame: frame) else { return pass(frame) }
            guard !message.wants.isEmpty else { return pass(frame) }
            if case .lying(let blockBytes) = node.misbehaviour {
                node.liar.answer(message.wants, to: sender, as: node, blockBytes: blockBytes)
            }
            guard !message.blocks.isEmpty || !message.presences.isEmpty else { return true }
            var rest = message
            rest.wants = []
            rest.isFull = false
            return pass(rest.frame)
        }

        private func pass(_ frame: ByteBuffer) -> Bool {
            stream.prepay(frame.readableBytes)
            return receive(piece: frame)
        }

        func finish() { try? inlet.finish() }
    }
}
