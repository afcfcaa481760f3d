import Logging
import NIOCore
import NIOConcurrencyHelpers
import PeerIdentity

/// Two nodes that find each other at the same moment dial each other, and have two connections. Both know which one to keep
/// without asking, and whoever dialled the other one closes it when it is empty, so that nothing is lost.
extension Swarm {
    /// A connection with a peer has come: those that both sides do without are said to be, and closed in the end.
    func settleSimultaneousDials(with peer: PeerID) {
        for connection in superseded(with: peer) {
            connection.eventLoop.execute { [self] in
                // It may have ended meanwhile.
                guard connection.muxer.value != nil else { return }
                emit(.superseded(connection))
                if connection.direction == .outbound { closeWhenEmpty(connection) }
            }
        }
    }

    /// Those that were opened from the other side than the preferred one, in the same moment.
    private func superseded(with peer: PeerID) -> [Connection] {
        let window = TimeAmount(configuration.simultaneousDialWindow)
        let (all, preferred) = state.withLockedValue {
            ($0.connections[peer] ?? [], $0.preferredConnection(to: peer, own: peerID, window: window))
        }
        guard let preferred else { return [] }
        return all.filter {
            let (first, last) = ($0.openedAt, preferred.openedAt)
            return $0.direction != preferred.direction && max(first, last) - min(first, last) < window
        }
    }

    /// - Precondition: on the event loop of the connection.
    private func closeWhenEmpty(_ connection: Connection) {
        let grace = TimeAmount(configuration.supersededGrace)
        let watch = connection.eventLoop.scheduleRepeatedTask(initialDelay: grace, delay: grace) { [self] task in
            // The other one may be gone meanwhile.
            guard superseded(with: connection.peer).contains(connection), let muxer = connection.muxer.value else {
                return task.cancel()
            }
            guard muxer.streamCount == 0 else { return }
            logger.debug("Closing the second connection with a peer", metadata: ["peer": "\(connection.peer)"])
            task.cancel()
            connection.close()
        }
        connection.whenClosed.whenComplete { _ in watch.cancel() }
    }
}
