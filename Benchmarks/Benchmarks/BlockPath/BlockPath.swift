import Benchmark
import Blockstore
import Foundation
import Multiformats
import NIOCore

/// The parts of a block's way: names, hashes, the store. Throughput is blocks a second; wall clock and CPU are a block's.
let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .cpuTotal, .throughput, .peakMemoryResident], scalingFactor: .kilo,
        maxDuration: .seconds(3))

    let text = "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq"
    Benchmark("CID: parse text") { benchmark in
        for _ in benchmark.scaledIterations { blackHole(try CID(text)) }
    }
    Benchmark("CID: parse bytes") { benchmark in
        let bytes = try CID(text).bytes
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations { blackHole(try bytes.withUnsafeBytes { try CID(decoding: $0) }) }
    }
    Benchmark("CID: print") { benchmark in
        let cid = try CID(text)
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations { blackHole(cid.description) }
    }

    for (name, size) in [("1 KiB", 1 << 10), ("256 KiB", 256 << 10)] {
        Benchmark("SHA2-256, \(name)", configuration: .init(scalingFactor: .one)) { benchmark in
            let bytes = [UInt8](repeating: 0xa5, count: size)
            benchmark.startMeasurement()
            for _ in benchmark.scaledIterations {
                blackHole(try bytes.withUnsafeBytes { try Multihash.hash($0, with: .sha2_256) })
            }
        }
        for (durability, mode) in [
            ("synced", LMDBBlockstore.Durability.synced), ("background", .background(interval: .seconds(1))),
        ] {
            Benchmark("LMDB put of 16, \(name), \(durability)", configuration: .init(scalingFactor: .one)) {
                benchmark in
                try await withStore(mode) { store in
                    for round in benchmark.scaledIterations {
                        let blocks = try made(16, size: size, salt: round)
                        benchmark.startMeasurement()
                        try await store.put(blocks)
                        benchmark.stopMeasurement()
                    }
                }
            }
        }
        Benchmark("LMDB get, \(name)", configuration: .init(scalingFactor: .one)) { benchmark in
            try await withStore(.background(interval: .seconds(1))) { store in
                let blocks = try made(64, size: size, salt: 0)
                try await store.put(blocks)
                benchmark.startMeasurement()
                for round in benchmark.scaledIterations {
                    blackHole(try await store.get(blocks[round % blocks.count].cid.multihash))
                }
                benchmark.stopMeasurement()
            }
        }
    }
}

/// Different blocks for every salt.
private func made(_ count: Int, size: Int, salt: Int) throws -> [Block] {
    try (0..<count).map { number in
        var bytes = ByteBuffer(repeating: 0x5a, count: size)
        bytes.setInteger(UInt64(salt), at: 0)
        bytes.setInteger(UInt64(number), at: 8)
        return try Block(bytes)
    }
}

/// A store in a directory that is gone afterwards.
private func withStore(
    _ durability: LMDBBlockstore.Durability, _ body: (LMDBBlockstore) async throws -> Void
) async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("bitswap-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    var configuration = LMDBBlockstore.Configuration()
    configuration.durability = durability
    let store = try LMDBBlockstore(path: directory.path, configuration: configuration)
    try await body(store)
    try await store.close()
}
