import Foundation
import Multiformats
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import Blockstore

/// What only the store on the disk does.
@Suite struct LMDBBlockstoreTests {
    private final class Shared: Sendable {
        let isDone = Atomic(false)
        let reads = Atomic(0)
    }

    /// Past some mebibytes the disk begins with them before they are synced.
    @Test func muchThatIsNotSyncedStaysWhatItWas() async throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.durability = .background(interval: .seconds(3600))
        var random = SplitMix64(seed: 40)
        var blocks: [Block] = []
        for round in 0..<3 {
            let store = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
            for _ in 0..<12 {
                let some = try (0..<8).map { _ in try random.block(size: 256 << 10) }
                try await store.put(some)
                blocks += some
                // Pages that are free are used again.
                #expect(try await store.delete(blocks.removeFirst().cid.multihash))
            }
            if round == 1 { try await store.flush() }
            for block in blocks { #expect(try await store.get(block.cid.multihash) == block.bytes) }
            try await store.close()
        }
        let store = try LMDBBlockstore(path: directory.file("blocks"))
        for block in blocks { #expect(try await store.get(block.cid.multihash) == block.bytes) }
        #expect(try await store.statistics().blockCount == blocks.count)
        try await store.close()
    }

    @Test(arguments: [LMDBBlockstore.Durability.synced, .background(interval: .seconds(3600))])
    func keepsBlocksBetweenOpenings(_ durability: LMDBBlockstore.Durability) async throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.durability = durability
        var random = SplitMix64(seed: 20)
        let blocks = try [0, 1, 500, 2000, 2100, 4096, 70_000].map { try random.block(size: $0) }
        for round in 0..<3 {
            let store = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
            if round == 0 { try await store.put(blocks) }
            for block in blocks { #expect(try await store.get(block.cid.multihash) == block.bytes) }
            let statistics = try await store.statistics()
            #expect(statistics.blockCount == 7)
            #expect(statistics.byteCount == 78_697)
            #expect(statistics.storageByteCount > 78_697)
            try await store.close()
        }
    }

    @Test func doesNotWriteWhatIsThere() async throws {
        let directory = try TemporaryDirectory()
        let store = try LMDBBlockstore(path: directory.file("blocks"))
        let block = try Block(ByteBuffer(string: "once"))
        try await store.put(block)
        let before = try store.transactionCount()
        try await store.put(block)
        try await store.put([block, block])
        #expect(try await !store.delete(Block(ByteBuffer(string: "never")).cid.multihash))
        #expect(try store.transactionCount() == before)
        try await store.close()
    }

    /// A store that promises synced commits must not take a block for safe that another opening left unsynced.
    @Test func syncsWhatWasLeftUnsynced() async throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.durability = .background(interval: .seconds(3600))
        let block = try Block(ByteBuffer(string: "maybe on the disk"))
        let loose = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
        try await loose.put(block)
        try await loose.close()
        let strict = try LMDBBlockstore(path: directory.file("blocks"))
        let before = try strict.transactionCount()
        try await strict.put(block)
        #expect(try strict.transactionCount() == before + 1)
        try await strict.put(block)
        #expect(try strict.transactionCount() == before + 1)
        try await strict.close()
    }

    @Test func theMapGrowsWhileOthersRead() async throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.initialMapSize = 1
        let store = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
        let small = try store.mapByteCount()
        #expect(small <= 64 << 10)
        var random = SplitMix64(seed: 21)
        let known = try (0..<3).map { _ in try random.block(size: 3000) }
        try await store.put(known)
        let shared = Shared()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for reader in 0..<3 {
                group.addTask {
                    repeat {
                        for block in known {
                            let isSame = try store.readNow(block.cid.multihash) { bytes in
                                bytes.map { block.bytes.readableBytesView.elementsEqual($0) }
                            }
                            #expect(isSame == true)
                            if reader == 0 { #expect(try await store.get(block.cid.multihash) == block.bytes) }
                            shared.reads.add(1, ordering: .relaxed)
                            await Task.yield()
                        }
                    } while !shared.isDone.load(ordering: .relaxed)
                }
            }
            group.addTask { [random] in
                var random = random
                defer { shared.isDone.store(true, ordering: .relaxed) }
                for _ in 0..<150 { try await store.put(random.block(size: 20_000)) }
                // Larger than the whole map at that time.
                try await store.put(random.block(size: 30 << 20))
            }
            try await group.waitForAll()
        }
        #expect(try store.mapByteCount() > 33 << 20)
        #expect(shared.reads.load(ordering: .relaxed) >= 9)
        #expect(try await store.statistics().blockCount == 154)
        #expect(try await store.verify().corruptCount == 0)
        try await store.close()
    }

    @Test func aFullStoreSaysSoAndStaysUsable() async throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.initialMapSize = 64 << 10
        configuration.maximumMapSize = 2 << 20
        let store = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
        var random = SplitMix64(seed: 22)
        var stored: [Block] = []
        let error = await expect(.storeFull) {
            while stored.count < 1000 {
                let block = try random.block(size: 10_000)
                try await store.put(block)
                stored.append(block)
            }
        }
        #expect(error?.path == store.path)
        #expect(error?.description.contains(store.path) == true)
        #expect((100...210).contains(stored.count))
        for block in stored { #expect(try await store.get(block.cid.multihash) == block.bytes) }
        #expect(try store.mapByteCount() <= 2 << 20)
        // A large block that does not fit does not fail the small one beside it, nor the other way round.
        let large = try random.block(size: 1 << 20)
        let small = try random.block(size: 10)
        async let first: Void = { await expect(.storeFull) { try await store.put(large) } }()
        async let second: Void = store.put(small)
        _ = try await (first, second)
        #expect(try await store.has(small.cid.multihash))
        // What is deleted makes room.
        for block in stored.prefix(50) { #expect(try await store.delete(block.cid.multihash)) }
        for _ in 0..<30 { try await store.put(random.block(size: 10_000)) }
        #expect(try await store.verify().corruptCount == 0)
        try await store.close()
    }

    @Test func whatIsDeletedFromAFullStoreMakesRoomAtOnce() async throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.initialMapSize = 64 << 10
        configuration.maximumMapSize = 3 << 20
        let store = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
        var random = SplitMix64(seed: 26)
        var stored: [Block] = []
        await expect(.storeFull) {
            while true {
                let block = try random.block(size: 500_000)
                try await store.put(block)
                stored.append(block)
            }
        }
        for _ in 0..<5 {
            #expect(try await store.delete(stored.removeFirst().cid.multihash))
            let block = try random.block(size: 500_000)
            try await store.put(block)
            stored.append(block)
            await expect(.storeFull) { try await store.put(random.block(size: 500_000)) }
        }
        for block in stored { #expect(try await store.get(block.cid.multihash) == block.bytes) }
        try await store.close()
    }

    #if os(Linux)
        @Test func aLastSyncThatFailsIsToldByClosing() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("blocks")
            var configuration = LMDBBlockstore.Configuration()
            configuration.durability = .background(interval: .seconds(3600))
            let store = try LMDBBlockstore(path: path, configuration: configuration)
            var random = SplitMix64(seed: 27)
            try await store.put(random.block(size: 2000))
            // A pipe in place of the file cannot be synced.
            let pipe = Pipe()
            for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
                let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(name)")
                guard target == path + "/data.mdb", let descriptor = Int32(name) else { continue }
                #expect(dup2(pipe.fileHandleForWriting.fileDescriptor, descriptor) == descriptor)
            }
            for _ in 0..<2 { await expect(.inputOutput) { try await store.close() } }
        }
    #endif

    @Test func storesManyBlocksOfAllSizesInOneCall() async throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.limits.transactionByteCount = 100_000
        configuration.limits.transactionBlockCount = 50
        let store = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
        let before = try store.transactionCount()
        var random = SplitMix64(seed: 23)
        // Two transactions by number, then one each for 60,000 and 60,000, one for what is larger than the limit.
        let blocks = try ([Int](repeating: 20, count: 100) + [60_000, 60_000, 150_000]).map {
            try random.block(size: $0)
        }
        try await store.put(blocks)
        #expect(try store.transactionCount() == before + 5)
        #expect(try await store.statistics().blockCount == 103)
        try await store.close()
    }

    @Test func putOfManyStopsBetweenTransactionsWhenCancelled() async throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.limits.transactionBlockCount = 10
        let store = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
        var random = SplitMix64(seed: 24)
        let blocks = try (0..<100).map { _ in try random.block(size: 20) }
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            // A single one is stored all the same.
            try await store.put(blocks[0])
            try await store.put(blocks)
        }
        await expect(.cancelled) { try await task.value }
        #expect(try await store.has(blocks[0].cid.multihash))
        #expect(try await store.statistics().blockCount == 1)
        try await store.close()
    }

    @Test func flushReportsAndBackgroundSyncs() async throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.durability = .background(interval: .milliseconds(1))
        let store = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
        var random = SplitMix64(seed: 25)
        for index in 0..<50 {
            try await store.put(random.block(size: 2000))
            if index % 10 == 0 { try await store.flush() }
        }
        try await store.flush()
        try await store.flush()
        #expect(try await store.statistics().blockCount == 50)
        try await store.close()
    }

    @Test func aStoreThatIsLetGoCloses() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        let block = try Block(ByteBuffer(string: "queued when it was let go"))
        do {
            let store = try LMDBBlockstore(path: path)
            _ = store.submit([block], now: false) { _ in }
        }
        // In its own time.
        var opened: LMDBBlockstore?
        for _ in 0..<2000 where opened == nil {
            opened = try? LMDBBlockstore(path: path)
            if opened == nil { try await Task.sleep(for: .milliseconds(5)) }
        }
        let store = try #require(opened)
        #expect(try await store.has(block.cid.multihash))
        try await store.close()
    }

    @Test func readOnly() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        var configuration = LMDBBlockstore.Configuration()
        configuration.isReadOnly = true
        await expect(.notFound) { try LMDBBlockstore(path: path, configuration: configuration) }
        #expect(!FileManager.default.fileExists(atPath: path))
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let error = await expect(.notFound) { try LMDBBlockstore(path: path, configuration: configuration) }
        #expect(error?.description.contains(path) == true)

        let block = try Block(ByteBuffer(string: "to be read"))
        let writing = try LMDBBlockstore(path: path)
        try await writing.put(block)
        try await writing.close()
        let store = try LMDBBlockstore(path: path, configuration: configuration)
        #expect(try await store.get(block.cid.multihash) == block.bytes)
        #expect(try await store.statistics().blockCount == 1)
        await expect(.readOnly) { try await store.put(block) }
        let refused = await expect(.readOnly) { try await store.delete(block.cid.multihash) }
        #expect(refused?.path == path)
        try await store.flush()
        #expect(try await store.verify().corruptCount == 0)
        try await store.close()
    }
}
