import Multiformats
import NIOCore

/// What is done with a batch: one transaction for all of it, and syncs when they are due.
struct Committer {
    let engine: Engine
    /// The time between syncs; nil when every commit is synced.
    let interval: Duration?
    /// When the oldest commit that is not on the disk yet must be.
    private(set) var syncDue: ContinuousClock.Instant?
    /// A sync in the background failed: the next caller is told.
    private(set) var unreported: BlockstoreError?

    init(engine: Engine, interval: Duration?) {
        self.engine = engine
        self.interval = interval
    }

    /// Whether a commit would wait for nobody: not for the disk, and hardly for another process.
    var isImmediate: Bool { interval != nil && engine.isAlone }

    /// Performs a batch and gives what came of each request, in their order.
    mutating func commit(_ batch: [BlockWriter.Request]) -> [BlockWriter.Outcome] {
        if let error = unreported {
            unreported = nil
            return batch.map { _ in .failure(error) }
        }
        var writes = batch[...]
        var endsWithSync = false
        if let last = writes.last, case .sync = last.operation {
            endsWithSync = true
            writes.removeLast()
        }
        var outcomes = writes.isEmpty ? [] : commit(writes)
        guard endsWithSync else { return outcomes }
        do throws(BlockstoreError) {
            if syncDue != nil { try engine.sync() }
            syncDue = nil
            outcomes.append(.success(true))
        } catch {
            outcomes.append(.failure(error))
        }
        return outcomes
    }

    private mutating func commit(_ writes: ArraySlice<BlockWriter.Request>) -> [BlockWriter.Outcome] {
        do throws(BlockstoreError) {
            let outcomes = try engine.write(byteCount: writes.reduce(0) { $0 + $1.storageByteCount }) {
                (transaction) throws(WriteTransaction.Failure) in
                var outcomes: [BlockWriter.Outcome] = []
                outcomes.reserveCapacity(writes.count)
                for request in writes { outcomes.append(.success(try request.apply(to: transaction))) }
                return outcomes
            }
            noteCommit()
            return outcomes
        } catch {
            // One large block that does not fit must not fail the small ones beside it.
            let mayFitAlone = error.code == .diskFull || error.code == .storeFull
            // The engine may have committed that pages are free.
            if mayFitAlone { noteCommit() }
            guard writes.count > 1 && mayFitAlone else { return writes.map { _ in .failure(error) } }
            return writes.indices.flatMap { commit(writes[$0...$0]) }
        }
    }

    private mutating func noteCommit() {
        if let interval, syncDue == nil { syncDue = .now + interval }
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
    /// About what the request takes in the file: LMDB gives a long value pages of its own, and leaves the pages of short
    /// ones half empty.
    fileprivate var storageByteCount: Int {
        guard case .put(let blocks) = operation else { return 0 }
        return blocks.reduce(0) { sum, block in
            let size = block.bytes.readableBytes
            return sum + (size > 2000 ? (size + 16 + 4095) / 4096 * 4096 + 128 : 2 * (size + 64))
        }
    }

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
