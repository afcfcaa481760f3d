import DequeModule
import Libp2p
import PeerIdentity

/// Events that nobody has read yet: at most one for each peer, the latest, so that a slow reader costs no more than the peers
/// that there are. Pure.
struct PeerEventQueue {
    private var order: Deque<PeerID> = []
    private var events: [PeerID: PeerDiscoveryEvent] = [:]
    /// Peers that the reader was told of.
    private var read: Set<PeerID> = []

    var count: Int { events.count }

    mutating func add(_ event: PeerDiscoveryEvent) {
        let peer =
            switch event {
            case .found(let peer, _), .lost(let peer): peer
            }
        if case .lost = event, !read.contains(peer) {
            // It has come and gone unseen.
            guard events.removeValue(forKey: peer) != nil else { return }
            return order.removeAll { $0 == peer }
        }
        if events.updateValue(event, forKey: peer) == nil { order.append(peer) }
    }

    mutating func next() -> PeerDiscoveryEvent? {
        guard let peer = order.popFirst(), let event = events.removeValue(forKey: peer) else { return nil }
        if case .found = event { read.insert(peer) } else { read.remove(peer) }
        return event
    }
}
