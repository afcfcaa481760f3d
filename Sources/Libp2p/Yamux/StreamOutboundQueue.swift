import DequeModule
import NIOCore

/// The bytes that a stream has to send: what was written, how much of it was flushed, and the promises that wait.
struct StreamOutboundQueue {
    private struct Entry {
        var bytes: ByteBuffer
        var promise: EventLoopPromise<Void>?
    }

    private var entries: Deque<Entry> = []
    /// Bytes written and not yet taken.
    private(set) var pendingBytes = 0
    /// The part of ``pendingBytes`` that may be taken.
    private(set) var flushedBytes = 0

    mutating func append(_ bytes: ByteBuffer, promise: EventLoopPromise<Void>?) {
        guard bytes.readableBytes > 0 else {
            // Nothing to send: done when everything before it is.
            guard let promise else { return }
            guard !entries.isEmpty else { return promise.succeed(()) }
            if let last = entries[entries.count - 1].promise {
                last.futureResult.cascade(to: promise)
            } else {
                entries[entries.count - 1].promise = promise
            }
            return
        }
        pendingBytes += bytes.readableBytes
        entries.append(Entry(bytes: bytes, promise: promise))
    }

    mutating func flush() {
        flushedBytes = pendingBytes
    }

    /// Takes the next flushed bytes, at most `limit` of them and never across two writes.
    ///
    /// The promise comes with the last byte of its write.
    mutating func take(upTo limit: Int) -> (bytes: ByteBuffer, promise: EventLoopPromise<Void>?)? {
        let limit = min(limit, flushedBytes)
        guard limit > 0, !entries.isEmpty else { return nil }
        let available = entries[0].bytes.readableBytes
        guard available > limit else {
            let entry = entries.removeFirst()
            pendingBytes -= available
            flushedBytes -= available
            return (entry.bytes, entry.promise)
        }
        guard let slice = entries[0].bytes.readSlice(length: limit) else { return nil }
        pendingBytes -= limit
        flushedBytes -= limit
        return (slice, nil)
    }

    /// Forgets everything and hands out the promises, which the caller fails once its own state is settled.
    mutating func removeAll() -> [EventLoopPromise<Void>] {
        let promises = entries.compactMap(\.promise)
        entries.removeAll()
        pendingBytes = 0
        flushedBytes = 0
        return promises
    }
}
