import Multiformats
import NIOCore
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import Blockstore

/// What every block store must do.
@Suite struct BlockstoreSuite {
    @Test(arguments: StoreKind.allCases)
    func storesAndFinds(_ kind: StoreKind) async throws {
        try await kind.with { store in
            let block = try Block(ByteBuffer(string: "Hello Bitswap from Rust Helia"))
            let key = block.cid.multihash
            #expect(block.cid.description == "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq")
            #expect(try await store.get(key) == nil)
            #expect(try await !store.has(key))
            #expect(try await store.size(of: key) == nil)
            #expect(try await store.sizes(of: [key]) == [nil])
            try await store.put(block)
            #expect(try await string(store.get(key)) == "Hello Bitswap from Rust Helia")
            #expect(try await store.has(key))
            #expect(try await store.size(of: key) == 29)
            #expect(try await store.delete(key))
            #expect(try await !store.delete(key))
            #expect(try await store.get(key) == nil)
        }
    }

    @Test(arguments: StoreKind.allCases)
    func oneBlockUnderEveryCID(_ kind: StoreKind) async throws {
        try await kind.with { store in
            let bytes = ByteBuffer(string: "the same bytes")
            let first = try Block(bytes, codec: .dagPB)
            let zero = try CID(version: .v0, codec: .dagPB, multihash: first.cid.multihash)
            let raw = try Block(bytes)
            try await store.put([first, Block(verifying: bytes, cid: zero), raw])
            let statistics = try await store.statistics()
            #expect(statistics.blockCount == 1)
            #expect(statistics.byteCount == 14)
            #expect(try await string(store.get(zero.multihash)) == "the same bytes")
        }
    }

    @Test(arguments: StoreKind.allCases)
    func keepsAnEmptyBlock(_ kind: StoreKind) async throws {
        try await kind.with { store in
            let block = try Block(ByteBuffer())
            try await store.put(block)
            #expect(try await store.get(block.cid.multihash) == ByteBuffer())
            #expect(try await store.sizes(of: [block.cid.multihash]) == [0])
            let isThere = try store.readNow(block.cid.multihash) { bytes in bytes.map { $0.count } == 0 }
            #expect(isThere)
            #expect(try await store.statistics().blockCount == 1)
            #expect(try await store.verify().blockCount == 1)
        }
    }

    @Test(arguments: StoreKind.allCases)
    func storesOnlyTheReadableBytes(_ kind: StoreKind) async throws {
        try await kind.with { store in
            var buffer = ByteBuffer(string: "head and tail")
            buffer.moveReaderIndex(forwardBy: 5)
            buffer.moveWriterIndex(to: 8)
            let block = try Block(buffer)
            try await store.put(block)
            #expect(try await string(store.get(block.cid.multihash)) == "and")
        }
    }

    @Test(arguments: StoreKind.allCases)
    func readsABatchInOrder(_ kind: StoreKind) async throws {
        try await kind.with { store in
            var random = SplitMix64(seed: 1)
            let blocks = try (0..<20).map { try random.block(size: $0 * 300) }
            try await store.put(Array(blocks[..<10]))
            let keys = blocks.map(\.cid.multihash)
            let found = NIOLockedValueBox<[(Int, [UInt8]?)]>([])
            try await store.read(keys) { index, bytes in
                found.withLockedValue { $0.append((index, bytes.map(Array.init))) }
            }
            let results = found.withLockedValue { $0 }
            #expect(results.map(\.0) == Array(0..<20))
            for (index, bytes) in results {
                #expect(bytes == (index < 10 ? Array(blocks[index].bytes.readableBytesView) : nil))
                let now = try store.readNow(keys[index]) { $0.map(Array.init) }
                #expect(now == bytes)
            }
            let sizes = try await store.sizes(of: keys)
            #expect(sizes == blocks.indices.map { $0 < 10 ? $0 * 300 : nil })
        }
    }

    @Test(arguments: StoreKind.allCases, [false, true])
    func submitsWithoutWaiting(_ kind: StoreKind, now: Bool) async throws {
        try await kind.with { store in
            var random = SplitMix64(seed: 2)
            let blocks = try (0..<50).map { _ in try random.block(size: 500) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for block in blocks {
                    group.addTask {
                        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
                            let isWithinLimit = store.submit([block], now: now) { error in
                                if let error { done.resume(throwing: error) } else { done.resume() }
                            }
                            #expect(isWithinLimit)
                        }
                        #expect(try await store.get(block.cid.multihash) == block.bytes)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await store.statistics().blockCount == 50)
        }
    }

    @Test(arguments: StoreKind.allCases)
    func refusesWhatIsPastALimit(_ kind: StoreKind) async throws {
        try await kind.with { store in
            var random = SplitMix64(seed: 3)
            // A multihash is its digest behind a byte for the code and, here, two for the length.
            for (size, fits) in [(508, true), (509, false)] {
                let multihash = try Multihash(code: .sha2_512, digest: random.bytes(size))
                let block = Block(unchecked: ByteBuffer(string: "any"), cid: CID(codec: .raw, multihash: multihash))
                #expect(block.cid.multihash.byteCount == size + 3)
                if fits {
                    try await store.put(block)
                    #expect(try await store.get(block.cid.multihash) == block.bytes)
                } else {
                    let error = await expect(.keyTooLong) { try await store.put([block]) }
                    #expect(error?.description.contains("512 bytes") == true)
                    await expect(.keyTooLong) { try await store.put(block) }
                    // Nothing is ever found under such a key, and asking is no error.
                    #expect(try await store.get(block.cid.multihash) == nil)
                    #expect(try await !store.has(block.cid.multihash))
                    #expect(try await !store.delete(block.cid.multihash))
                }
            }
            let largest = try random.block(size: store.limits.blockSize)
            try await store.put(largest)
            #expect(try await store.get(largest.cid.multihash) == largest.bytes)
            let tooLarge = try random.block(size: store.limits.blockSize + 1)
            await expect(.blockTooLarge) { try await store.put(tooLarge) }
            #expect(try await !store.has(tooLarge.cid.multihash))
        }
    }

    @Test(arguments: StoreKind.allCases)
    func everythingFailsAfterClose(_ kind: StoreKind) async throws {
        try await kind.with { store in
            let block = try Block(ByteBuffer(string: "late"))
            let key = block.cid.multihash
            try await store.put(block)
            try await store.close()
            try await store.close()
            await expect(.closed) { try await store.get(key) }
            await expect(.closed) { try await store.has(key) }
            await expect(.closed) { try await store.size(of: key) }
            await expect(.closed) { try await store.sizes(of: [key]) }
            await expect(.closed) { try await store.read([key]) { _, _ in } }
            await expect(.closed) { try store.readNow(key) { $0?.count } }
            await expect(.closed) { try await store.put(block) }
            await expect(.closed) { try await store.put([block]) }
            await expect(.closed) { try await store.put([]) }
            await expect(.closed) { try await store.delete(key) }
            await expect(.closed) { try await store.statistics() }
            await expect(.closed) { try await store.flush() }
            await expect(.closed) { try await store.verify() }
            await expect(.closed) { for try await _ in store.list() {} }
            let submitted = await withCheckedContinuation { (done: CheckedContinuation<BlockstoreError?, Never>) in
                _ = store.submit([block], now: true) { done.resume(returning: $0) }
            }
            #expect(submitted?.code == .closed)
        }
    }

    @Test(arguments: StoreKind.allCases)
    func callsUnderWayWhenClosingEndOneWayOrTheOther(_ kind: StoreKind) async throws {
        try await kind.with { store in
            var random = SplitMix64(seed: 4)
            let blocks = try (0..<200).map { _ in try random.block(size: 700) }
            await withTaskGroup(of: Void.self) { group in
                for (index, block) in blocks.enumerated() {
                    group.addTask {
                        do {
                            try await store.put(block)
                            _ = try await store.get(block.cid.multihash)
                        } catch {
                            #expect((error as? BlockstoreError)?.code == .closed)
                        }
                    }
                    if index == 100 { group.addTask { try? await store.close() } }
                }
            }
            await expect(.closed) { try await store.flush() }
        }
    }

    @Test(arguments: StoreKind.allCases)
    func behavesLikeADictionary(_ kind: StoreKind) async throws {
        for seed in UInt64(1)...4 {
            try await kind.with { store in
                var random = SplitMix64(seed: seed)
                let pool = try (0..<60).map { _ in try random.block(size: Int(random.next() % 9000)) }
                var model: [Multihash: ByteBuffer] = [:]
                for step in 0..<300 {
                    let block = pool[Int(random.next() % 60)]
                    let key = block.cid.multihash
                    let place: Comment = "\(kind), seed \(seed), step \(step)"
                    switch random.next() % 8 {
                    case 0, 1:
                        try await store.put(block)
                        model[key] = block.bytes
                    case 2:
                        let some = pool.filter { _ in random.next() % 4 == 0 }
                        try await store.put(some)
                        for block in some { model[block.cid.multihash] = block.bytes }
                    case 3, 4:
                        let wasThere = try await store.delete(key)
                        #expect(wasThere == (model.removeValue(forKey: key) != nil), place)
                    case 5:
                        #expect(try await store.get(key) == model[key], place)
                    case 6:
                        let keys = pool.map(\.cid.multihash)
                        #expect(try await store.sizes(of: keys) == keys.map { model[$0]?.readableBytes }, place)
                    default:
                        let statistics = try await store.statistics()
                        #expect(statistics.blockCount == model.count, place)
                        #expect(statistics.byteCount == model.values.reduce(0) { $0 + $1.readableBytes }, place)
                    }
                }
                var listed: [Multihash] = []
                for try await (key, size) in store.list() {
                    listed.append(key)
                    #expect(size == model[key]?.readableBytes)
                }
                #expect(listed == model.keys.sorted())
                let report = try await store.verify()
                #expect(report.blockCount == model.count)
                #expect(report.corruptCount == 0)
                #expect(report.uncheckedCount == 0)
            }
        }
    }

    @Test(arguments: StoreKind.allCases)
    func manyCallersAtOnce(_ kind: StoreKind) async throws {
        try await kind.with { store in
            await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<16 {
                    group.addTask {
                        var random = SplitMix64(seed: UInt64(task % 8))
                        for _ in 0..<20 {
                            let block = try random.block(size: Int(random.next() % 3000))
                            try await store.put(block)
                            #expect(try await store.get(block.cid.multihash) == block.bytes)
                        }
                    }
                }
            }
            let statistics = try await store.statistics()
            #expect(statistics.blockCount == 160)
            #expect(try await store.verify().corruptCount == 0)
        }
    }
}
