import Multiformats
import NIOCore
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import Blockstore

@Suite struct ListingTests {
    /// Numbers of blocks around a page (7) and several.
    @Test(arguments: StoreKind.allCases, [0, 1, 6, 7, 8, 14, 50])
    func listsAllInOrder(_ kind: StoreKind, _ count: Int) async throws {
        try await kind.with { store in
            var random = SplitMix64(seed: UInt64(count))
            var blocks: [Block] = []
            for index in 0..<count {
                // Keys of several lengths and codes, so that their order is that of bytes and not of hashes alone.
                let bytes = ByteBuffer(bytes: random.bytes(1 + index))
                blocks.append(try Block(bytes, hash: [.sha2_256, .identity, .sha2_512][index % 3]))
            }
            try await store.put(blocks)
            var listed: [[UInt8]] = []
            for try await (key, size) in store.list() {
                listed.append(key.bytes)
                #expect(blocks.contains { $0.cid.multihash == key && $0.bytes.readableBytes == size })
            }
            #expect(listed == blocks.map(\.cid.multihash.bytes).sorted { $0.lexicographicallyPrecedes($1) })
        }
    }

    @Test(arguments: StoreKind.allCases)
    func goesOnWhereItStoppedWhenTheStoreChanges(_ kind: StoreKind) async throws {
        try await kind.with { store in
            var random = SplitMix64(seed: 5)
            let blocks = try (0..<40).map { _ in try random.block(size: 64) }
                .sorted { $0.cid.multihash < $1.cid.multihash }
            // Every second one at first.
            try await store.put(blocks.enumerated().filter { $0.offset % 2 == 0 }.map(\.element))
            var seen: [Multihash] = []
            for try await (key, _) in store.list() {
                seen.append(key)
                // What was just listed goes, also the very key that the next page starts after; the rest arrives.
                #expect(try await store.delete(key))
                if seen.count == 7 { try await store.put(blocks.filter { $0.cid.multihash > key }) }
            }
            #expect(seen == seen.sorted())
            #expect(Set(seen).count == seen.count)
            // The first page of 7, then everything behind it.
            #expect(seen.count == 7 + (40 - 13))
            #expect(try await store.statistics().blockCount == 0)
        }
    }

    @Test(arguments: StoreKind.allCases)
    func stopsWhenCancelled(_ kind: StoreKind) async throws {
        try await kind.with { store in
            var random = SplitMix64(seed: 6)
            try await store.put((0..<30).map { _ in try random.block(size: 10) })
            let task = Task {
                var count = 0
                for try await _ in store.list() {
                    count += 1
                    withUnsafeCurrentTask { $0?.cancel() }
                }
                return count
            }
            await expect(.cancelled) { try await task.value }
        }
    }

    @Test(arguments: StoreKind.allCases)
    func verificationReportsAndStops(_ kind: StoreKind) async throws {
        try await kind.with { store in
            var random = SplitMix64(seed: 7)
            let good = try (0..<30).map { _ in try random.block(size: 4000) }
            let bad = try (0..<3).map { _ in
                let block = try random.block(size: 100)
                return Block(unchecked: ByteBuffer(bytes: random.bytes(100)), cid: block.cid)
            }
            let unknown = try Multihash(code: .murmur3, digest: [1, 2, 3, 4, 5, 6, 7, 8])
            try await store.put(
                good + bad + [Block(unchecked: ByteBuffer(string: "?"), cid: CID(codec: .raw, multihash: unknown))])
            let progress = NIOLockedValueBox<[Int]>([])
            let report = try await store.verify { now in progress.withLockedValue { $0.append(now.blockCount) } }
            #expect(report.blockCount == 34)
            #expect(report.byteCount == 30 * 4000 + 300 + 1)
            #expect(report.corrupt == bad.map(\.cid.multihash).sorted())
            #expect(report.corruptCount == 3)
            #expect(report.uncheckedCount == 1)
            let counts = progress.withLockedValue { $0 }
            #expect(counts.count > 3)
            #expect(counts == counts.sorted())
            #expect(counts.last == 34)

            let task = Task {
                try await store.verify { _ in withUnsafeCurrentTask { $0?.cancel() } }
            }
            await expect(.cancelled) { try await task.value }
        }
    }

    @Test func namesOnlySoManyCorruptKeys() async throws {
        var limits = StoreKind.smallLimits
        limits.reportedKeyCount = 2
        try await StoreKind.memory.with(limits: limits) { store in
            var random = SplitMix64(seed: 8)
            for _ in 0..<3 {
                let cid = try random.block(size: 10).cid
                try await store.put(Block(unchecked: ByteBuffer(string: "other"), cid: cid))
            }
            let report = try await store.verify()
            #expect(report.corrupt.count == 2)
            #expect(report.corruptCount == 3)
        }
    }
}
