import Foundation
import Multiformats
import NIOCore
import TestSupport
import Testing

@testable import Blockstore

/// Several processes on one store, and processes that die.
@Suite(.serialized) struct ProcessTests {
    private static func configuration() -> LMDBBlockstore.Configuration {
        var configuration = LMDBBlockstore.Configuration()
        configuration.initialMapSize = 64 << 10
        return configuration
    }

    /// The same block as the child makes.
    private static func block(seed: Int, index: Int, size: Int) throws -> Block {
        var state = UInt64(truncatingIfNeeded: seed &* 1_000_003 &+ index)
        var bytes = ByteBuffer()
        while bytes.readableBytes < size {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            bytes.writeInteger(state ^ (state >> 29))
        }
        bytes.moveWriterIndex(to: size)
        return try Block(bytes)
    }

    @Test func twoProcessesPutAndReadAtOnce() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        let store = try LMDBBlockstore(path: path, configuration: Self.configuration())
        // Both start with a map of 64 KiB and store 3 MiB each: each has to follow the other's growth.
        let count = 150
        let size = 20_000
        let child = try ChildProcess(["put", path, "1", "\(count)", "\(size)", "synced", "4"])
        #expect(await child.lines(1).first == "ready")
        for index in 0..<count {
            try await store.put(Self.block(seed: 2, index: index, size: size))
            // Whatever the other has reported is here at once.
            for line in await child.lines(0).suffix(2) where line != "ready" && line != "done" {
                let key = try #require(Multihash(hex: line))
                #expect(try await store.size(of: key) == size)
                #expect(try store.readNow(key) { $0?.count } == size)
            }
        }
        #expect(await child.end().last == "done")
        for seed in 1...2 {
            for index in 0..<count {
                let block = try Self.block(seed: seed, index: index, size: size)
                #expect(try await store.get(block.cid.multihash) == block.bytes)
            }
        }
        let statistics = try await store.statistics()
        #expect(statistics.blockCount == 2 * count)
        #expect(statistics.byteCount == 2 * count * size)
        let check = try ChildProcess(["check", path, "2", "\(count)", "\(size)"])
        #expect(await check.end() == ["ok"])
        try await store.close()
    }

    /// A child that stores with many tasks is killed at random moments; every key it has printed must be there.
    @Test(arguments: ["synced", "background"])
    func whatWasReportedSurvivesKill(_ durability: String) async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        var random = SplitMix64(seed: durability == "synced" ? 11 : 12)
        var reported: Set<String> = []
        for round in 0..<6 {
            let size = [100, 3_000, 5_000, 30_000, 200, 270_000][round]
            let child = try ChildProcess(["put", path, "\(round)", "100000", "\(size)", durability, "8"])
            let lines = await child.lines(2 + Int(random.next() % 120))
            #expect(lines.first == "ready")
            child.kill()
            reported.formUnion(await child.end().dropFirst())

            let store = try LMDBBlockstore(path: path, configuration: Self.configuration())
            let keys = try reported.map { try #require(Multihash(hex: $0)) }
            let sizes = try await store.sizes(of: keys)
            #expect(sizes.count == reported.count)
            #expect(sizes.allSatisfy { $0 != nil }, "round \(round)")
            let report = try await store.verify()
            #expect(report.blockCount >= reported.count, "round \(round)")
            #expect(report.corruptCount == 0, "round \(round)")
            let statistics = try await store.statistics()
            #expect(statistics.blockCount == report.blockCount, "round \(round)")
            #expect(statistics.byteCount == report.byteCount, "round \(round)")
            try await store.close()
        }
        #expect(reported.count > 50)
    }

    @Test func aDeadWriterHoldsNothingUp() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        let store = try LMDBBlockstore(path: path, configuration: Self.configuration())
        let child = try ChildProcess(["hold-writer", path])
        #expect(await child.lines(1).first == "held")
        let block = try Block(ByteBuffer(string: "waits for the other writer"))
        async let put: Void = store.put(block)
        child.kill()
        try await put
        #expect(try await store.has(block.cid.multihash))
        try await store.close()
    }

    @Test func aDeadReaderDoesNotKeepTheFileGrowing() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        var configuration = Self.configuration()
        // With room to grow the engine would only look for the dead from time to time.
        configuration.maximumMapSize = 8 << 20
        let store = try LMDBBlockstore(path: path, configuration: configuration)
        try await store.put(Block(ByteBuffer(string: "first")))
        let child = try ChildProcess(["hold-reader", path])
        #expect(await child.lines(1).first == "held")
        child.kill()
        _ = await child.end()
        // 40 MiB pass through 8 MiB: no page of the past may stay.
        var random = SplitMix64(seed: 13)
        for _ in 0..<80 {
            let block = try random.block(size: 512 << 10)
            try await store.put(block)
            #expect(try await store.delete(block.cid.multihash))
        }
        #expect(try await store.statistics().storageByteCount <= 8 << 20)
        try await store.close()
    }

    @Test func concurrentPutsShareTransactions() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        var configuration = LMDBBlockstore.Configuration()
        configuration.limits.transactionBlockCount = 100
        let store = try LMDBBlockstore(path: path, configuration: configuration)
        let before = try store.transactionCount()
        let child = try ChildProcess(["hold-writer", path])
        #expect(await child.lines(1).first == "held")
        var random = SplitMix64(seed: 14)
        let blocks = try (0..<250).map { _ in try random.block(size: 1000) }
        // The writing thread takes some and waits for the other process; the rest queues up behind.
        let failures = await withTaskGroup(of: BlockstoreError?.self) { group in
            for block in blocks {
                group.addTask {
                    await withCheckedContinuation { done in
                        _ = store.submit([block], now: false) { done.resume(returning: $0) }
                    }
                }
            }
            try? await Task.sleep(for: .milliseconds(50))
            try? child.release()
            return await group.reduce(into: 0) { count, error in count += error == nil ? 0 : 1 }
        }
        #expect(failures == 0)
        #expect(await child.end().last == "released")
        let transactions = try store.transactionCount() - before
        // At most 100 blocks each, so 3 at least. How many the first takes is chance.
        #expect((3...8).contains(transactions), "\(transactions) transactions")
        #expect(try await store.statistics().blockCount == 250)
        try await store.close()
    }

    @Test func aFullQueueHoldsCallersBack() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        var configuration = LMDBBlockstore.Configuration()
        configuration.limits.queuedByteCount = 10_000
        let store = try LMDBBlockstore(path: path, configuration: configuration)
        let child = try ChildProcess(["hold-writer", path])
        #expect(await child.lines(1).first == "held")
        var random = SplitMix64(seed: 15)
        // At the limit, and one past it.
        let exact = try random.block(size: 10_000)
        let one = try random.block(size: 1)
        let results = AsyncStream<BlockstoreError?>.makeStream()
        #expect(store.submit([exact], now: false) { results.continuation.yield($0) })
        #expect(!store.submit([one], now: false) { results.continuation.yield($0) })
        // These wait for room, in their order, and a block larger than the whole queue passes alone.
        let waiting = try [400, 9_000, 20_000, 5].map { try random.block(size: $0) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for block in waiting { group.addTask { try await store.put(block) } }
            try child.release()
            try await group.waitForAll()
        }
        var received = 0
        for await error in results.stream {
            #expect(error == nil)
            received += 1
            if received == 2 { break }
        }
        #expect(try await store.statistics().blockCount == 6)
        // The queue is empty again.
        #expect(store.submit([exact], now: false) { _ in })
        try await store.close()
    }

    @Test func closingLetsGoOfCallersThatWaitForRoom() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        var configuration = LMDBBlockstore.Configuration()
        configuration.limits.queuedByteCount = 100
        let store = try LMDBBlockstore(path: path, configuration: configuration)
        let child = try ChildProcess(["hold-writer", path])
        #expect(await child.lines(1).first == "held")
        var random = SplitMix64(seed: 16)
        let queued = try random.block(size: 100)
        let waiting = try random.block(size: 100)
        let isWithinLimit = store.submit([queued], now: false) { error in #expect(error == nil) }
        #expect(isWithinLimit)
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await expect(.closed) { try await store.put(waiting) }
                try? child.release()
            }
            group.addTask { try? await store.close() }
        }
        let again = try LMDBBlockstore(path: path)
        #expect(try await again.has(queued.cid.multihash))
        #expect(try await !again.has(waiting.cid.multihash))
        try await again.close()
    }
}

extension Multihash {
    init?(hex: String) {
        let digits = Array(hex.utf8)
        guard digits.count % 2 == 0 else { return nil }
        let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
        }
        guard let value = try? Multihash(bytes: bytes) else { return nil }
        self = value
    }
}
