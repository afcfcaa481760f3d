public import Multiformats
import NIOConcurrencyHelpers

/// What a verification found.
public struct VerificationReport: Sendable, Hashable {
    /// Blocks that were looked at.
    public var blockCount = 0
    /// The sum of their sizes.
    public var byteCount = 0
    /// Blocks whose bytes do not have the hash they are stored under.
    public var corruptCount = 0
    /// Their keys; at most ``BlockstoreLimits/reportedKeyCount``.
    public var corrupt: [Multihash] = []
    /// Blocks whose hash function is not known here.
    public var uncheckedCount = 0

    public init() {}

    fileprivate mutating func add(_ key: Multihash, _ bytes: UnsafeRawBufferPointer, limits: BlockstoreLimits) {
        blockCount += 1
        byteCount += bytes.count
        switch key.check(bytes) {
        case .success(true):
            break
        case .success(false):
            corruptCount += 1
            if corrupt.count < limits.reportedKeyCount { corrupt.append(key) }
        case .failure:
            uncheckedCount += 1
        }
    }
}

extension Blockstore {
    /// Hashes every block again. Needs bounded memory, holds up neither readers nor writers, and covers what is there
    /// from beginning to end.
    ///
    /// - Parameter progress: told from time to time how far it is, on a thread of the store. The number of blocks in
    ///   all is that of ``statistics()``.
    /// - Throws: also `cancelled`, between batches.
    public func verify(
        progress: (@Sendable (VerificationReport) -> Void)? = nil
    ) async throws(BlockstoreError) -> VerificationReport {
        let verification = Verification(limits: limits, progress: progress)
        var batch: [Multihash] = []
        var byteCount = 0
        for try await (key, size) in list() {
            batch.append(key)
            byteCount += size
            guard byteCount >= limits.readTransactionByteCount || batch.count >= limits.listingPageCount else {
                continue
            }
            try await verification.check(batch, in: self)
            batch.removeAll(keepingCapacity: true)
            byteCount = 0
        }
        try await verification.check(batch, in: self)
        return verification.report
    }
}

private final class Verification: Sendable {
    private let limits: BlockstoreLimits
    private let progress: (@Sendable (VerificationReport) -> Void)?
    private let state = NIOLockedValueBox(VerificationReport())

    var report: VerificationReport { state.withLockedValue { $0 } }

    init(limits: BlockstoreLimits, progress: (@Sendable (VerificationReport) -> Void)?) {
        self.limits = limits
        self.progress = progress
    }

    func check(_ keys: [Multihash], in store: any Blockstore) async throws(BlockstoreError) {
        guard !keys.isEmpty else { return }
        guard !Task.isCancelled else { throw .cancelled }
        try await store.read(keys) { [self] index, bytes in
            // A block that was removed meanwhile is no concern.
            guard let bytes else { return }
            state.withLockedValue { $0.add(keys[index], bytes, limits: limits) }
        }
        progress?(report)
    }
}
