/// What came of one run: one server, one client process, some number of connections.
struct BenchResult: Equatable {
    var run: BenchPlan.Run
    /// Nanoseconds from the first want to the last block stored.
    var wall: Double
    /// Used in that time.
    var server: Usage
    var client: Usage
    /// The most memory of its own that each side had.
    var serverPrivatePeak: Double?
    var clientPrivatePeak: Double?
    /// From a block's being asked for to its being stored.
    var timeToBlock: Percentiles
    /// The rate of the slowest connection as a part of the mean.
    var slowest: Double
    /// Nanoseconds until all connections were there.
    var connecting: Double
    /// What an idle connection takes of the server's memory; nil when they are too few to tell.
    var bytesPerConnection: Double?
    var ceiling: Double
    /// Calls of malloc and bytes copied by memcpy, of a run of its own in which they are counted.
    var counted: Counted?

    struct Counted: Equatable {
        /// For a block.
        var serverAllocations: Double
        var clientAllocations: Double
        /// For a byte of a block.
        var serverCopies: Double
        var clientCopies: Double
    }

    var bytes: Double { Double(run.blockCount * run.blockSize) }
    var bytesPerSecond: Double { bytes / wall * 1e9 }
    var blocksPerSecond: Double { Double(run.blockCount) / wall * 1e9 }
    var share: Double { bytesPerSecond / ceiling }
    var serverNanosecondsPerByte: Double { server.processorNanoseconds / bytes }
    var clientNanosecondsPerByte: Double { client.processorNanoseconds / bytes }

    /// The one in the middle by its speed.
    static func median(_ results: [BenchResult]) -> BenchResult? {
        let sorted = results.sorted { $0.wall < $1.wall }
        return sorted.isEmpty ? nil : sorted[sorted.count / 2]
    }
}

/// How long one small block takes.
struct BenchLatency: Equatable {
    var security: BenchSecurity
    var blockSize: Int
    /// On an open connection, for a task that runs where tasks do.
    var elsewhere: Percentiles
    /// On an open connection, for a task that runs on its event loop.
    var onLoop: Percentiles
    /// A request and an answer of about as many bytes between the same two processes, with nothing but sockets.
    var bare: Percentiles
    /// By a node that was not connected: dial, handshake, want, block.
    var cold: Percentiles
}
