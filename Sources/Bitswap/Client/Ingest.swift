import Blockstore
import PeerIdentity
import NIOConcurrencyHelpers

/// Verified blocks on their way into the store. What comes while the store is busy goes in with the next batch; it always has
/// one to go on with.
final class Ingest: Sendable {
    struct Arrival: Sendable {
        var blocks: [Block]
        var peer: PeerID
        /// Opens the window of the stream that the blocks came on.
        var whenStored: @Sendable () -> Void
    }

    private static let mostBatches = 2

    private let state = NIOLockedValueBox<(waiting: [Arrival], batches: Int)>(([], 0))

    /// Returns what is to be given to the store now; ``batchEnded()`` follows each such batch.
    func append(_ arrival: Arrival) -> [Arrival]? {
        state.withLockedValue { state in
            state.waiting.append(arrival)
            guard state.batches < Self.mostBatches else { return nil }
            state.batches += 1
            defer { state.waiting = [] }
            return state.waiting
        }
    }

    /// The store is done with a batch. Returns the next one.
    func batchEnded() -> [Arrival]? {
        state.withLockedValue { state in
            guard !state.waiting.isEmpty else {
                state.batches -= 1
                return nil
            }
            defer { state.waiting = [] }
            return state.waiting
        }
    }
}
