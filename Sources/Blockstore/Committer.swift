import Multiformats
import NIOCore

/// What the writing thread does with a batch: one transaction for all of it, and syncs when they are due.
struct Committer {
    let engine: Engine
    /// The time between syncs; nil when every commit is synced.
    let interval: Duration?
    /// When the oldest commit that is not on the disk yet must be.
    private(set) var syncDue: ContinuousClock.Instant?
    /// A sync in the background failed: the next caller is told.
    private var unreported: BlockstoreError?

    init(engine: Engine, interval: Duration?) {
        self.engine = engine
        self.interval = interval
    }

    mutating func commit(_ batch: [BlockWriter.Request]) {
        if let error = unreported {
            unreported = nil
            for request in batch { request.done(.failure(error)) }
            return
        }
        var writes = batch[...]
        var sync: BlockWriter.Request?
        if let last = writes.last, case .sync = last.operation {
            sync = last
            writes.removeLast()
        }
        if !writes.isEmpty { commit(writes) }
        guard let sync else { return }
        do throws(BlockstoreError) {
            if syncDue != nil { try engine.sync() }
            syncDue = nil
            sync.done(.success(true))
        } catch {
            sync.done(.failure(error))
        }
    }

    private mutating func commit(_ writes: ArraySlice<BlockWriter.Request>) {
        do throws(BlockstoreError) {
            let results = try engine.write(byteCount: writes.reduce(0) { $0 + $1.byteCount }) {
                (transaction) throws(WriteTransaction.Failure) in
                var results: [Bool] = []
                results.reserveCapacity(writes.count)
                for request in writes { results.append(try request.apply(to: transaction)) }
                return results
            }
            if let interval, syncDue == nil { syncDue = .now + interval }
            for (request, result) in zip(writes, results) { request.done(.success(result)) }
        } catch {
            // One large block that does not fit must not fail the small ones beside it.
            let mayFitAlone = error.code == .diskFull || error.code == .storeFull
            if writes.count > 1 && mayFitAlone {
                for index in writes.indices { commit(writes[index...index]) }
            } else {
                for request in writes { request.done(.failure(error)) }
            }
        }
    }

    /// Syncs what is not on the disk yet. An error waits for the next caller.
    mutating func syncInBackground() {
        guard let interval, syncDue != nil else { return }
        do throws(BlockstoreError) {
            try engine.sync()
            syncDue = nil
        } catch {
            unreported = error
            syncDue = .now + interval
        }
    }
}

extension BlockWriter.Request {
    /// Whether something changed.
    fileprivate func apply(to transaction: borrowing WriteTransaction) throws(WriteTransaction.Failure) -> Bool {
        switch operation {
        case .put(let blocks):
            var isChanged = false
            for block in blocks {
                let key = block.cid.multihash
                let result = block.bytes.withUnsafeReadableBytes { bytes in
                    Result { () throws(WriteTransaction.Failure) in try transaction.put(key, bytes) }
                }
                if try result.get() { isChanged = true }
            }
            return isChanged
        case .delete(let key):
            return try transaction.delete(key)
        case .sync:
            return false
        }
    }
}
