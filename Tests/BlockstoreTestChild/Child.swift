import Blockstore
import Multiformats
import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Another process for the tests of the block store. It says what it does on its standard output, a line at a time, each
/// written at once.
///
///     put PATH SEED COUNT SIZE synced|background TASKS    prints every key once its put has returned
///     check PATH SEED COUNT SIZE                          prints "ok", or the first key that is not there
///     fill PATH SIZE LIMIT                                stores until it fails; LIMIT bytes a file, 0 for none
///     open PATH USER                                      opens as that user (0: as it is), prints "opened" or the error
///     hold-writer PATH, hold-reader PATH                  holds a transaction until its standard input ends
@main struct Child {
    static func main() async {
        var arguments = CommandLine.arguments.dropFirst()[...]
        let command = arguments.popFirst() ?? ""
        let path = arguments.popFirst() ?? ""
        let numbers = arguments.map { Int($0) ?? 0 }
        do {
            switch (command, numbers.count) {
            case ("put", 5):
                try await put(
                    path, seed: numbers[0], count: numbers[1], size: numbers[2],
                    inBackground: arguments.contains("background"), tasks: numbers[4])
            case ("check", 3): try await check(path, seed: numbers[0], count: numbers[1], size: numbers[2])
            case ("fill", 2): try await fill(path, size: numbers[0], limit: numbers[1])
            case ("open", 1): try await open(path, user: numbers[0])
            case ("hold-writer", 0): hold(path, isWriter: true)
            case ("hold-reader", 0): hold(path, isWriter: false)
            default: say("usage")
            }
        } catch {
            say(describe(error))
            exit(1)
        }
    }

    /// The block with this number of the endless row that belongs to the seed. The parent makes the same.
    static func block(seed: Int, index: Int, size: Int) throws -> Block {
        var state = UInt64(truncatingIfNeeded: seed &* 1_000_003 &+ index)
        var bytes = ByteBuffer()
        bytes.reserveCapacity(size + 8)
        while bytes.readableBytes < size {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            bytes.writeInteger(state ^ (state >> 29))
        }
        bytes.moveWriterIndex(to: size)
        return try Block(bytes)
    }

    static func configuration(inBackground: Bool = false) -> LMDBBlockstore.Configuration {
        var configuration = LMDBBlockstore.Configuration()
        configuration.initialMapSize = 64 << 10
        if inBackground { configuration.durability = .background(interval: .milliseconds(20)) }
        return configuration
    }

    private static func put(
        _ path: String, seed: Int, count: Int, size: Int, inBackground: Bool, tasks: Int
    ) async throws {
        let store = try LMDBBlockstore(path: path, configuration: configuration(inBackground: inBackground))
        say("ready")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<max(1, tasks) {
                group.addTask {
                    for index in stride(from: task, to: count, by: max(1, tasks)) {
                        let block = try block(seed: seed, index: index, size: size)
                        try await store.put(block)
                        say(block.cid.multihash.description)
                    }
                }
            }
            try await group.waitForAll()
        }
        try await store.close()
        say("done")
    }

    private static func check(_ path: String, seed: Int, count: Int, size: Int) async throws {
        let store = try LMDBBlockstore(path: path, configuration: configuration())
        for index in 0..<count {
            let block = try block(seed: seed, index: index, size: size)
            guard try await store.get(block.cid.multihash) == block.bytes else {
                say(block.cid.multihash.description)
                exit(1)
            }
        }
        try await store.close()
        say("ok")
    }

    /// Fills the disk, and shows that everything stored before is still whole and that room which is made is used.
    private static func fill(_ path: String, size: Int, limit: Int) async throws {
        if limit > 0 {
            signal(SIGXFSZ, SIG_IGN)
            var limits = rlimit()
            limits.rlim_cur = rlim_t(limit)
            limits.rlim_max = rlim_t(limit)
            #if canImport(Glibc)
                setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limits)
            #else
                setrlimit(RLIMIT_FSIZE, &limits)
            #endif
        }
        let store = try LMDBBlockstore(path: path, configuration: configuration())
        var stored: [Multihash] = []
        do {
            for index in 0..<10_000 {
                let block = try block(seed: 1, index: index, size: size)
                try await store.put(block)
                stored.append(block.cid.multihash)
            }
        } catch {
            say(describe(error))
        }
        say("stored \(stored.count)")
        let report = try await store.verify()
        say("verified \(report.blockCount) corrupt \(report.corruptCount)")
        for key in stored.prefix(stored.count / 2) { _ = try await store.delete(key) }
        for index in 0..<stored.count / 4 { try await store.put(block(seed: 2, index: index, size: size)) }
        try await store.close()
        let again = try LMDBBlockstore(path: path, configuration: configuration())
        let second = try await again.verify()
        say("again \(second.blockCount) corrupt \(second.corruptCount)")
        try await again.close()
    }

    private static func open(_ path: String, user: Int) async throws {
        if user > 0 {
            setgid(gid_t(user))
            setuid(uid_t(user))
        }
        let store = try LMDBBlockstore(path: path)
        say("opened")
        try await store.close()
    }

    private static func describe(_ error: any Error) -> String {
        guard let error = error as? BlockstoreError else { return "error ? \(error)" }
        return "error \(error.code) \(error)"
    }

    /// One `write` a line: whole lines, in order, whoever kills this process.
    static func say(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
    }
}
