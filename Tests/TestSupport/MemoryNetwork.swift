public import Bitswap
public import NIOCore
public import PeerIdentity
import NIOConcurrencyHelpers

/// A network of exchanges in one process: frames are handed over in the order in which they were written, one at a time.
///
/// Nothing moves before ``run()`` does. Peers are exchanges, or ``Scripted`` ones whose bytes a test writes itself.
public final class MemoryNetwork: Sendable {
    private enum Event: Sendable {
        case frame(ByteBuffer, from: PeerID, to: PeerID, completion: @Sendable ((any Error)?) -> Void)
        case disconnected(PeerID, PeerID)
        /// The receiver wants no more of what comes on the stream.
        case reset(PeerID, PeerID)
    }

    private enum Node {
        case exchange(Exchange)
        case scripted(Scripted)
    }

    private struct State {
        var nodes: [PeerID: Node] = [:]
        var links: Set<Set<PeerID>> = []
        var versions: [PeerID: BitswapVersion] = [:]
        var stalled: Set<PeerID> = []
    }

    public struct NotConnected: Error {}

    private let state = NIOLockedValueBox(State())
    private let events = AsyncStream.makeStream(of: Event.self)

    public init() {}

    /// A peer under a test's control: what it is sent is kept, what it sends the test writes.
    public final class Scripted: Sendable {
        public let id: PeerID
        private let network: MemoryNetwork
        private let received = AsyncStream.makeStream(of: ByteBuffer.self)

        init(id: PeerID, network: MemoryNetwork) {
            self.id = id
            self.network = network
        }

        /// Frames that it was sent, length prefixes included.
        public var frames: AsyncStream<ByteBuffer> { received.stream }

        public func send(_ frame: ByteBuffer, to peer: PeerID) {
            network.events.continuation.yield(.frame(frame, from: id, to: peer) { _ in })
        }

        func receive(_ frame: ByteBuffer) { received.continuation.yield(frame) }
    }

    /// The face of the network towards one node.
    public func face(of id: PeerID) -> any ExchangeNetwork { Face(network: self, id: id) }

    public func add(_ exchange: Exchange, as id: PeerID, version: BitswapVersion = .v1_2_0) {
        state.withLockedValue {
            $0.nodes[id] = .exchange(exchange)
            $0.versions[id] = version
        }
    }

    public func addScripted(_ id: PeerID, version: BitswapVersion = .v1_2_0) -> Scripted {
        let peer = Scripted(id: id, network: self)
        state.withLockedValue {
            $0.nodes[id] = .scripted(peer)
            $0.versions[id] = version
        }
        return peer
    }

    /// Frames to this peer are taken and never leave: it has stopped reading.
    public func stall(_ id: PeerID) { state.withLockedValue { _ = $0.stalled.insert(id) } }

    public func connect(_ a: PeerID, _ b: PeerID) {
        state.withLockedValue { _ = $0.links.insert([a, b]) }
        for (id, other) in [(a, b), (b, a)] {
            if case .exchange(let exchange) = state.withLockedValue({ $0.nodes[id] }) { exchange.connected(other) }
        }
    }

    public func disconnect(_ a: PeerID, _ b: PeerID) {
        state.withLockedValue { _ = $0.links.remove([a, b]) }
        events.continuation.yield(.disconnected(a, b))
    }

    /// Delivers until the task is cancelled, then forgets the nodes, which hold the network.
    public func run() async {
        var inlets: [[PeerID]: ExchangeInlet] = [:]
        await withTaskCancellationHandler {
            for await event in events.stream {
                switch event {
                case .frame(let frame, let from, let to, let completion):
                    let (node, isLinked, isStalled) = state.withLockedValue {
                        ($0.nodes[to], $0.links.contains([from, to]), $0.stalled.contains(to))
                    }
                    if isStalled { continue }
                    guard isLinked, let node else {
                        completion(NotConnected())
                        continue
                    }
                    completion(nil)
                    switch node {
                    case .scripted(let peer): peer.receive(frame)
                    case .exchange(let exchange):
                        let inlet =
                            inlets[[from, to]]
                            ?? ExchangeInlet(
                                exchange, peer: from, release: { _ in },
                                reset: { [weak self] in self?.events.continuation.yield(.reset(from, to)) })
                        inlets[[from, to]] = inlet
                        do { try inlet.receive(frame) } catch { inlets[[from, to]] = nil }
                    }
                case .reset(let from, let to): inlets[[from, to]] = nil
                case .disconnected(let a, let b):
                    inlets[[a, b]] = nil
                    inlets[[b, a]] = nil
                    for (id, other) in [(a, b), (b, a)] {
                        if case .exchange(let exchange) = state.withLockedValue({ $0.nodes[id] }) {
                            exchange.disconnected(other)
                        }
                    }
                }
            }
        } onCancel: {
            events.continuation.finish()
        }
        state.withLockedValue { $0.nodes = [:] }
    }

    private struct Face: ExchangeNetwork {
        let network: MemoryNetwork
        let id: PeerID

        func open(to peer: PeerID) async throws -> any ExchangeOutlet {
            let version = network.state.withLockedValue { $0.links.contains([id, peer]) ? $0.versions[peer] : nil }
            guard let version else { throw NotConnected() }
            return Outlet(network: network, from: id, to: peer, version: version)
        }
    }

    private final class Outlet: ExchangeOutlet {
        let network: MemoryNetwork
        let from: PeerID
        let to: PeerID
        let version: BitswapVersion

        init(network: MemoryNetwork, from: PeerID, to: PeerID, version: BitswapVersion) {
            self.network = network
            self.from = from
            self.to = to
            self.version = version
        }

        func write(_ frame: ByteBuffer, completion: @escaping @Sendable ((any Error)?) -> Void) {
            network.events.continuation.yield(.frame(frame, from: from, to: to, completion: completion))
        }

        func close() {}
        func reset() {}
    }
}
