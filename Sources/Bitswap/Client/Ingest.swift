import Blockstore
import PeerIdentity
import NIOConcurrencyHelpers

/// Verified blocks on their way into the store. What comes while the store is busy goes in with the next batch.
final class Ingest: Sendable {
    struct Arrival: Sendable {
        var blocks: [Block]
        var peer: PeerID
        /// Opens the window of the stream that the blocks came on.
        var whenStored: @Sendable () -> Void
    }

    let signal = Signal()
    private let queue = NIOLockedValueBox<[Arrival]>([])

    func append(_ arrival: Arrival) {
        queue.withLockedValue { $0.append(arrival) }
        signal.raise()
    }

    func takeAll() -> [Arrival]? {
        queue.withLockedValue { queue in
            guard !queue.isEmpty else { return nil }
            defer { queue = [] }
            return queue
        }
    }
}
