import Blockstore
import Foundation
import Multiformats
import NIOCore

/// The LMDB store: putting in batches, as a fetch does, and getting.
let storeParts: [Part] =
    [("256 KiB", 256 << 10, 16), ("1 KiB", 1 << 10, 512)].flatMap {
        (name: String, size: Int, batchCount: Int) -> [Part] in
        [
            putPart(name, size: size, batchCount: batchCount, "synced", .synced),
            putPart(name, size: size, batchCount: batchCount, "background", unsynced),
            getPart(name, size: size), readPart(name, size: size, batchCount: batchCount),
            coldPart(name, size: size),
        ]
    }

private let unsynced = LMDBBlockstore.Durability.background(interval: .seconds(3600))

private func putPart(
    _ name: String, size: Int, batchCount: Int, _ durabilityName: String, _ durability: LMDBBlockstore.Durability
) -> Part {
    Part("LMDB: put \(batchCount) of \(name), \(durabilityName)", counting: durability == .synced ? .calls : .all) {
        let scratch = try Scratch()
        let store = try scratch.open(durability)
        var next = 0
        var batches: [[Block]] = []
        return Work(
            prepare: { rounds in
                for _ in 0..<rounds {
                    batches.append(try (next..<next + batchCount).map { try numbered($0, size) })
                    next += batchCount
                }
            },
            { rounds in
                for batch in batches.prefix(rounds) { try await store.put(batch) }
                batches.removeFirst(rounds)
            },
            end: {
                try await store.close()
                scratch.remove()
            })
    }
}

private func getPart(_ name: String, size: Int) -> Part {
    Part("LMDB: get \(name), hot") {
        let scratch = try Scratch()
        let store = try scratch.open(unsynced)
        let keys = try await fill(store, count: 64, size: size)
        return Work(
            { rounds in
                for round in 0..<rounds {
                    guard try await store.get(keys[round % keys.count]) != nil else { throw PartFailure() }
                }
            },
            end: {
                try await store.close()
                scratch.remove()
            })
    }
}

private func readPart(_ name: String, size: Int, batchCount: Int) -> Part {
    Part("LMDB: read \(batchCount) of \(name) in one go, hot") {
        let scratch = try Scratch()
        let store = try scratch.open(unsynced)
        let keys = try await fill(store, count: batchCount, size: size)
        return Work(
            { rounds in
                for _ in 0..<rounds {
                    try await store.read(keys) { _, bytes in if let bytes { keep(ByteBuffer(bytes: bytes)) } }
                }
            },
            end: {
                try await store.close()
                scratch.remove()
            })
    }
}

private func coldPart(_ name: String, size: Int) -> Part {
    Part("LMDB: get \(name), cold", counting: .calls) {
        let scratch = try Scratch()
        let store = try scratch.open(.synced)
        let keys = try await fill(store, count: max(64, (16 << 20) / size), size: size)
        try await store.close()
        let cold = try ColdStore(scratch, keys: keys)
        return Work(
            { rounds in for _ in 0..<rounds { try await cold.get() } },
            end: {
                try await cold.close()
                scratch.remove()
            })
    }
}

/// Different bytes for every number, and no more work than that takes.
private func numbered(_ number: Int, _ size: Int) throws -> Block {
    var bytes = ByteBuffer(repeating: 0x5a, count: size)
    bytes.setInteger(UInt64(number), at: 0)
    return try Block(bytes)
}

private func fill(_ store: LMDBBlockstore, count: Int, size: Int) async throws -> [Multihash] {
    let blocks = try (0..<count).map { try numbered($0, size) }
    try await store.put(blocks)
    return blocks.map(\.cid.multihash)
}

/// A store whose file the system has let go of, so that every block is read from the disk. (From this machine's: its host may
/// have it in memory still.)
private final class ColdStore {
    private let scratch: Scratch
    private let keys: [Multihash]
    private var store: LMDBBlockstore
    private var next = 0

    init(_ scratch: Scratch, keys: [Multihash]) throws {
        self.scratch = scratch
        // Not in the order in which they lie in the file, for nobody to read ahead.
        var generator = SystemRandomNumberGenerator()
        self.keys = keys.shuffled(using: &generator)
        store = try scratch.openCold()
    }

    func get() async throws {
        if next == keys.count {
            try await store.close()
            store = try scratch.openCold()
            next = 0
        }
        guard try await store.get(keys[next]) != nil else { throw PartFailure() }
        next += 1
    }

    func close() async throws { try await store.close() }
}

/// A directory that is gone afterwards.
private struct Scratch {
    let path: String

    init() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("bitswap-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        path = directory.path
    }

    func open(_ durability: LMDBBlockstore.Durability) throws -> LMDBBlockstore {
        var configuration = LMDBBlockstore.Configuration()
        configuration.durability = durability
        return try LMDBBlockstore(path: path, configuration: configuration)
    }

    func openCold() throws -> LMDBBlockstore {
        #if canImport(Glibc)
            let file = Glibc.open(path + "/data.mdb", O_RDONLY)
            guard file >= 0 else { throw PartFailure() }
            defer { close(file) }
            guard posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0 else { throw PartFailure() }
        #else
            // Nothing here lets go of a file: what is hot would be told as cold.
            throw PartFailure()
        #endif
        return try open(.background(interval: .seconds(3600)))
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}
