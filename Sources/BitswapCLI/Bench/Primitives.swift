import Blockstore
import Multiformats
import NIOCore
import NIOPosix
import PeerIdentity

/// Measures the parts of a block's way by themselves, with the code that the way itself uses.
struct Primitives {
    let blocks: BenchBlocks
    let durability: LMDBBlockstore.Durability
    /// A directory for stores, made and removed by the caller.
    let directory: String

    /// Bytes that a trial goes through, so that what it reads is not all in the processor's cache.
    private static let region = 16 << 20
    /// Bytes that a trial of the store writes.
    private static let stored = 64 << 20
    /// Batches that are put at a time: as in the run one is put together while the one before is on its way to the disk.
    private static let batchesAtOnce = 2
    private static let socketPiece = 64 << 10

    /// - Parameter store: holds the blocks from number 0 to `count`.
    func measure(reading store: LMDBBlockstore, count: Int) async throws -> [BenchSecurity: PrimitiveCosts] {
        let socket = try await Self.socketCosts()
        let storeRead = try await storeReadCost(store, count: count)
        let storeWrite = try await storeWriteCost()
        let hash = try hashCost()
        let copy = Self.copyCost(size: blocks.size)
        var costs: [BenchSecurity: PrimitiveCosts] = [:]
        for security in BenchSecurity.allCases {
            let (seal, open) = try security.cipherCosts(region: Self.region)
            costs[security] = PrimitiveCosts(
                memoryCopy: copy, socketSend: socket.send, socketReceive: socket.receive, seal: seal, open: open,
                hash: hash, storeRead: storeRead, storeWrite: storeWrite)
        }
        return costs
    }

    private static func copyCost(size: Int) -> Double {
        let source = Region(region)
        let destination = Region(max(size, 1))
        let count = max(1, region / size)
        return Measurement.nanoseconds {
            for index in 0..<count {
                destination.bytes.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: source.bytes[index * size..<(index + 1) * size]))
            }
        } / Double(count * size)
    }

    private func hashCost() throws -> Double {
        let count = max(2, Self.region / blocks.size) & ~1
        let data = Region(count * blocks.size)
        func piece(_ index: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: data.bytes[index * blocks.size..<(index + 1) * blocks.size])
        }
        let time = try Measurement.nanoseconds {
            for index in stride(from: 0, to: count, by: 2) {
                _ = try Multihash.hash(piece(index), piece(index + 1), with: .sha2_256)
            }
        }
        return time / Double(count * blocks.size)
    }

    /// A thread that sends and one that receives, each for itself. Of several trials the median.
    private static func socketCosts() async throws -> (send: Double, receive: Double) {
        var sends: [Double] = []
        var receives: [Double] = []
        for trial in 0..<6 {
            let listener = try BareSocket.listening()
            let port = try listener.port
            let byteCount = stored
            async let sent = NIOThreadPool.singleton.runIfActive { () -> Double in
                let socket = try BareSocket.connected(to: port)
                let data = Region(socketPiece)
                let before = Measurement.threadNanoseconds()
                for _ in 0..<byteCount / socketPiece { try socket.send(UnsafeRawBufferPointer(data.bytes)) }
                return Measurement.threadNanoseconds() - before
            }
            let socket = try listener.accepted()
            let received = try await NIOThreadPool.singleton.runIfActive { () -> Double in
                let data = Region(socketPiece)
                let before = Measurement.threadNanoseconds()
                while try socket.receive(into: data.bytes) > 0 {}
                return Measurement.threadNanoseconds() - before
            }
            let send = try await sent
            // The first one is for the system to find its memory.
            guard trial > 0 else { continue }
            sends.append(send / Double(byteCount))
            receives.append(received / Double(byteCount))
        }
        return (Measurement.median(sends), Measurement.median(receives))
    }

    private func storeReadCost(_ store: LMDBBlockstore, count: Int) async throws -> Double {
        let batchCount = max(1, min(1024, (1 << 20) / blocks.size))
        var keys: [Multihash] = []
        for number in 0..<min(count, max(batchCount, Self.region / blocks.size)) {
            keys.append(try blocks.block(number).cid.multihash)
        }
        let batches = stride(from: 0, to: keys.count, by: batchCount).map {
            Array(keys[$0..<min(keys.count, $0 + batchCount)])
        }
        let destination = Region(blocks.size)
        var trials: [Double] = []
        for trial in 0..<6 {
            let began = ContinuousClock.now
            for batch in batches {
                try await store.read(batch) { _, bytes in if let bytes { destination.bytes.copyMemory(from: bytes) } }
            }
            if trial > 0 { trials.append(began.duration(to: .now).nanoseconds) }
        }
        return Measurement.median(trials) / Double(keys.count * blocks.size)
    }

    private func storeWriteCost() async throws -> Double {
        let count = max(blocks.batchCount, min(65_536, Self.stored / blocks.size))
        var trials: [Double] = []
        for trial in 0..<4 {
            let path = "\(directory)/write-\(trial)"
            var configuration = LMDBBlockstore.Configuration()
            configuration.durability = durability
            let store = try LMDBBlockstore(path: path, configuration: configuration)
            let batches = try stride(from: 0, to: count, by: blocks.batchCount).map { start in
                // Other blocks than those of the run, in another order of their keys in each trial.
                let first = (trial + 1) << 40 + start
                return try blocks.blocks(first..<first + min(blocks.batchCount, count - start))
            }
            let began = ContinuousClock.now
            try await forEachConcurrently(batches, limit: Self.batchesAtOnce) { batch in
                try Task.checkCancellation()
                try await store.put(batch)
            } emit: { _ in
            }
            let time = began.duration(to: .now)
            try await store.close()
            removeTree(path)
            if trial > 0 { trials.append(time.nanoseconds) }
        }
        return Measurement.median(trials) / Double(count * blocks.size)
    }
}

/// Memory that begins with a page and was touched.
// Sendable: whoever makes one hands it to one thread at a time.
final class Region: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(_ count: Int) {
        bytes = .allocate(byteCount: count, alignment: 4096)
        var state: UInt8 = 1
        for index in stride(from: 0, to: count, by: 64) {
            bytes[index] = state
            state = state &* 5 &+ 1
        }
    }

    deinit { bytes.deallocate() }
}
