import Foundation
import Multiformats
import NIOCore
import TestSupport
import Testing

@testable import Blockstore

/// Blocks that are stored on the calling thread, where nothing has to be waited for.
@Suite struct StoringNowTests {
    private func store(
        in directory: TemporaryDirectory, _ durability: LMDBBlockstore.Durability
    ) throws -> LMDBBlockstore {
        var configuration = LMDBBlockstore.Configuration()
        configuration.durability = durability
        return try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
    }

    /// Whether a block was stored by the calling thread. Returns when it is stored.
    private func isStoredHere(_ block: Block, in store: LMDBBlockstore) async -> Bool {
        await withCheckedContinuation { done in
            let caller = ObjectIdentifier(Thread.current)
            _ = store.submit([block], now: true) { error in
                #expect(error == nil)
                done.resume(returning: ObjectIdentifier(Thread.current) == caller)
            }
        }
    }

    @Test func aCallerStoresWhatHasNotToBeSynced() async throws {
        let directory = try TemporaryDirectory()
        let first = try store(in: directory, .background(interval: .seconds(3600)))
        var random = SplitMix64(seed: 30)
        let blocks = try (0..<20).map { try random.block(size: 29 + $0) }
        for block in blocks + blocks {
            #expect(await isStoredHere(block, in: first))
            #expect(
                try first.readNow(block.cid.multihash) { $0.map(Array.init) } == Array(block.bytes.readableBytesView))
        }
        try await first.close()
        let second = try store(in: directory, .synced)
        #expect(try await second.statistics().blockCount == 20)
        try await second.close()
    }

    @Test func whatIsToBeSyncedIsLeftToTheThread() async throws {
        let directory = try TemporaryDirectory()
        let store = try store(in: directory, .synced)
        let block = try Block(ByteBuffer(string: "on the disk"))
        #expect(await !isStoredHere(block, in: store))
        #expect(store.writer.isSettled == true)
        try await store.close()
    }

    /// The thread waits without a deadline until there is something to sync.
    @Test func theThreadSyncsWhatCallersHaveStored() async throws {
        let directory = try TemporaryDirectory()
        let store = try store(in: directory, .background(interval: .milliseconds(20)))
        var random = SplitMix64(seed: 31)
        for _ in 0..<5 {
            while store.writer.isSettled != true { try await Task.sleep(for: .milliseconds(1)) }
            #expect(try await isStoredHere(random.block(size: 100), in: store))
        }
        while store.writer.isSettled != true { try await Task.sleep(for: .milliseconds(1)) }
        try await store.close()
    }

    /// A caller must not wait for a transaction of another process, so it leaves the next one after that to the thread.
    @Test func whereAnotherProcessWritesTheThreadDoes() async throws {
        let directory = try TemporaryDirectory()
        let store = try store(in: directory, .background(interval: .seconds(3600)))
        var random = SplitMix64(seed: 32)
        #expect(try await isStoredHere(random.block(size: 100), in: store))
        let child = try ChildProcess(["put", directory.file("blocks"), "1", "3", "100", "background", "1"])
        #expect(await child.end().last == "done")
        #expect(try await !isStoredHere(random.block(size: 100), in: store))
        #expect(try await isStoredHere(random.block(size: 100), in: store))
        #expect(try await store.statistics().blockCount == 6)
        try await store.close()
    }

    /// Callers that store, the thread that stores and syncs, and callers that wait for it, all at once.
    @Test func allWaysToStoreAtOnce() async throws {
        let directory = try TemporaryDirectory()
        let store = try store(in: directory, .background(interval: .milliseconds(1)))
        var random = SplitMix64(seed: 33)
        let parts = try (0..<8).map { _ in try (0..<150).map { _ in try random.block(size: 200) } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, blocks) in parts.enumerated() {
                group.addTask {
                    for block in blocks {
                        switch index % 3 {
                        case 0: try await store.put(block)
                        case let kind:
                            let error = await withCheckedContinuation { done in
                                _ = store.submit([block], now: kind == 1) { done.resume(returning: $0) }
                            }
                            #expect(error == nil)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        for block in parts.joined() { #expect(try await store.get(block.cid.multihash) == block.bytes) }
        #expect(try await store.statistics().blockCount == 1200)
        try await store.close()
        // After the end there is neither the one way nor the other.
        let late = try random.block(size: 1)
        let error = await withCheckedContinuation { done in
            _ = store.submit([late], now: true) { done.resume(returning: $0) }
        }
        #expect(error?.code == .closed)
    }
}
