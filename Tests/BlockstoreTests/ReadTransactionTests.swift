import Dispatch
import Multiformats
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

@testable import Blockstore

/// How long the state lasts that a reader sees: what is removed while it reads is there until its transaction ends.
@Suite struct ReadTransactionTests {
    /// Reads of which each stops at one of its keys until it is told to go on.
    private final class Pause: Sendable {
        private let arrived = DispatchSemaphore(value: 0)
        private let resumed = DispatchSemaphore(value: 0)
        private let found = NIOLockedValueBox<[Int: Bool]>([:])

        /// For each key whether its block was there.
        var presence: [Int: Bool] { found.withLockedValue { $0 } }

        func read(_ keys: [Multihash], stoppingAt place: Int, from store: LMDBBlockstore) async throws {
            try await store.read(keys) { [self] index, bytes in
                found.withLockedValue { $0[index] = bytes != nil }
                guard index == place else { return }
                arrived.signal()
                resumed.wait()
            }
        }

        func untilStopped() async {
            await withCheckedContinuation { done in
                DispatchQueue.global().async { [self] in
                    arrived.wait()
                    done.resume()
                }
            }
        }

        func goOn() { resumed.signal() }
    }

    private func withStore(
        _ limits: BlockstoreLimits, _ body: (LMDBBlockstore) async throws -> Void
    ) async throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.durability = .background(interval: .seconds(3600))
        configuration.readerThreadCount = 1
        configuration.limits = limits
        let store = try LMDBBlockstore(path: directory.file("blocks"), configuration: configuration)
        try await body(store)
        try await store.close()
    }

    private func fill(_ store: LMDBBlockstore, _ sizes: [Int]) async throws -> [Multihash] {
        var random = SplitMix64(seed: 41)
        let blocks = try sizes.map { try random.block(size: $0) }
        try await store.put(blocks)
        return blocks.map(\.cid.multihash)
    }

    /// Which of the blocks a read sees when all are removed while it stops at the first.
    private func presence(of keys: [Multihash], in store: LMDBBlockstore) async throws -> [Int: Bool] {
        let pause = Pause()
        async let reading: Void = pause.read(keys, stoppingAt: 0, from: store)
        await pause.untilStopped()
        for key in keys { #expect(try await store.delete(key)) }
        pause.goOn()
        try await reading
        return pause.presence
    }

    @Test func endsOnceItHasGivenOutItsBytes() async throws {
        var limits = BlockstoreLimits()
        limits.readTransactionByteCount = 32 << 10
        try await withStore(limits) { store in
            let keys = try await fill(store, [16 << 10, (16 << 10) - 1, 1, 1])
            // One byte was missing before the third, none after it.
            #expect(try await presence(of: keys, in: store) == [0: true, 1: true, 2: true, 3: false])
        }
    }

    @Test func endsOnceItHasLookedUpItsKeys() async throws {
        var limits = BlockstoreLimits()
        limits.readTransactionKeyCount = 3
        try await withStore(limits) { store in
            let keys = try await fill(store, [1, 2, 3, 4, 5, 6, 7])
            #expect(try await store.sizes(of: keys) == [1, 2, 3, 4, 5, 6, 7])
            let presence = try await presence(of: keys, in: store)
            #expect(presence.filter(\.value).keys.sorted() == [0, 1, 2])
            #expect(presence.count == 7)
        }
    }

    /// Callers that wait at the same time share a transaction, but no longer one than a caller alone has.
    @Test(arguments: [(32 << 10, false), ((32 << 10) - 1, true)])
    func isNotSharedBeyondItsBytes(size: Int, isShared: Bool) async throws {
        var limits = BlockstoreLimits()
        limits.readTransactionByteCount = 32 << 10
        try await withStore(limits) { store in
            let keys = try await fill(store, [1, size, 2])
            let (first, second, third) = (Pause(), Pause(), Pause())
            async let one: Void = first.read([keys[0]], stoppingAt: 0, from: store)
            await first.untilStopped()
            // Both come into the queue while the only thread is stopped, and are taken from it together.
            async let two: Void = second.read([keys[1]], stoppingAt: 0, from: store)
            await store.untilQueued(1)
            async let three: Void = third.read([keys[2]], stoppingAt: 1, from: store)
            await store.untilQueued(2)
            first.goOn()
            await second.untilStopped()
            #expect(try await store.delete(keys[2]))
            second.goOn()
            _ = try await (one, two, three)
            #expect(third.presence == [0: isShared])
        }
    }
}

extension LMDBBlockstore {
    fileprivate func untilQueued(_ count: Int) async {
        while readers.queuedCount < count { await Task.yield() }
    }
}
