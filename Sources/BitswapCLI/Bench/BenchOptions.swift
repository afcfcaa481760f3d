import ArgumentParser
import Blockstore

/// Numbers of bytes, such as `1k,256k,1m`.
struct ByteCountsArgument: CheckedArgument {
    let text: String

    func parse() throws -> [Int] {
        try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            let count = try BytesArgument(text: String(part)).value()
            guard count > 0 else { throw ValidationError("\"\(part)\" is no size; it must be at least 1 byte") }
            return count
        }
    }
}

/// Numbers from 1 on, such as `1,8,100`.
struct CountsArgument: CheckedArgument {
    let text: String

    func parse() throws -> [Int] {
        try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let count = Int(part), count > 0 else {
                throw ValidationError("\"\(part)\" is not a number from 1 on; write 8, or several as 1,8,100")
            }
            return count
        }
    }
}

/// When the store that fetches has a block on the disk: with its commit, within a second or so, or at the end.
enum BenchDurability: String, CaseIterable, ExpressibleByArgument {
    case synced, background, unsynced

    var durability: LMDBBlockstore.Durability {
        switch self {
        case .synced: .synced
        case .background: .background(interval: .seconds(1))
        case .unsynced: .background(interval: .seconds(24 * 3600))
        }
    }
}

/// What is run, in which order, and with how many blocks.
struct BenchPlan: Equatable {
    struct Run: Equatable {
        var blockSize: Int
        var blockCount: Int
        var security: BenchSecurity
        var connections: Int
    }

    var blockSizes: [Int]
    var connections: [Int]
    var securities: [BenchSecurity]
    /// Bytes of a run; nil: so many that it does not take long.
    var bytes: Int?

    private static let usualBytes = 256 << 20
    private static let usualBlocks = 65_536
    /// So that every connection has some, and enough that its beginning is not all that is measured: up to so many bytes.
    private static let blocksPerConnection = 4...16
    private static let bytesPerConnection = 4 << 20

    /// The number of blocks of this size that are made: all that any of its runs fetches.
    func blockCount(of size: Int) -> Int { connections.map { blockCount(of: size, connections: $0) }.max() ?? 0 }

    func runs(of size: Int) -> [Run] {
        securities.flatMap { security in
            connections.map {
                Run(
                    blockSize: size, blockCount: blockCount(of: size, connections: $0), security: security,
                    connections: $0)
            }
        }
    }

    private func blockCount(of size: Int, connections: Int) -> Int {
        let usual = min(Self.usualBytes / size, Self.usualBlocks)
        let range = Self.blocksPerConnection
        let least = min(max(Self.bytesPerConnection / size, range.lowerBound), range.upperBound)
        return max(bytes.map { $0 / size } ?? usual, least * connections)
    }
}
