import Foundation
import Multiformats
import NIOCore
import TestSupport
import Testing

@testable import Blockstore

/// Opening what cannot be opened: each time a clear error that names the path.
@Suite struct OpeningTests {
    private func refuses(
        _ path: String, _ code: BlockstoreError.Code, sourceLocation: SourceLocation = #_sourceLocation
    ) async {
        let error = await expect(code, sourceLocation: sourceLocation) { try LMDBBlockstore(path: path) }
        #expect(error?.description.contains(path) == true, sourceLocation: sourceLocation)
        #expect(error?.path == path, sourceLocation: sourceLocation)
    }

    @Test func theSameDirectoryTwice() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        let store = try LMDBBlockstore(path: path)
        await refuses(path, .alreadyOpen)
        await refuses(path + "/../blocks/", .alreadyOpen)
        let link = directory.file("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
        await refuses(link, .alreadyOpen)
        // The one that is open does not mind.
        try await store.put(Block(ByteBuffer(string: "x")))
        try await store.close()
        let again = try LMDBBlockstore(path: link)
        #expect(try await again.statistics().blockCount == 1)
        try await again.close()
    }

    @Test func onlyOneOfManyAtOnce() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        let stores = await withTaskGroup(of: LMDBBlockstore?.self) { group in
            for _ in 0..<8 { group.addTask { try? LMDBBlockstore(path: path) } }
            return await group.reduce(into: [LMDBBlockstore]()) { list, store in
                if let store { list.append(store) }
            }
        }
        #expect(stores.count == 1)
        for store in stores { try await store.close() }
    }

    @Test func pathsThatLeadNowhere() async throws {
        let directory = try TemporaryDirectory()
        await refuses(directory.file("missing/blocks"), .notFound)
        let file = directory.file("file")
        try Data("text".utf8).write(to: URL(fileURLWithPath: file))
        await refuses(file, .notADirectory)
        await refuses(file + "/blocks", .notADirectory)
        for path in ["", "\(directory.path)/nul\0"] {
            await expect(.notFound) { try LMDBBlockstore(path: path) }
        }
        await refuses("\(directory.path)/" + String(repeating: "x", count: 5000), .inputOutput)
        // A failure leaves nothing claimed.
        let store = try LMDBBlockstore(path: directory.file("blocks"))
        try await store.close()
    }

    @Test(.enabled(if: geteuid() == 0, "needs another user to be"))
    func aDirectoryOfSomebodyElse() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("blocks")
        for mode in [0o755, 0o700] {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: directory.path)
            let child = try ChildProcess(["open", path, "65534"])
            let line = await child.end().first
            #expect(line?.hasPrefix("error permissionDenied") == true, "\(line ?? "")")
            #expect(line?.contains(path) == true)
        }
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: directory.path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        for (fill, mode) in [(false, 0o755), (true, 0o755), (true, 0o777)] {
            if fill { try await LMDBBlockstore(path: path).close() }
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            let child = try ChildProcess(["open", path, "65534"])
            let line = await child.end().first
            #expect(line?.hasPrefix("error permissionDenied") == true, "\(line ?? "")")
            #expect(line?.contains(path) == true)
        }
        #expect(await (try ChildProcess(["open", path, "0"])).end() == ["opened"])
    }

    @Test(.enabled(if: ChildProcess.canMount, "needs to mount a file system"))
    func aFileSystemThatIsReadOnly() async throws {
        let directory = try TemporaryDirectory()
        let shell = "mount -t tmpfs -o ro tmpfs \(directory.path) && exec \"$0\" \"$@\""
        let child = try ChildProcess(["open", directory.file("blocks"), "0"], shell: shell)
        let line = await child.end().first
        #expect(line?.hasPrefix("error readOnly") == true, "\(line ?? "")")
        #expect(line?.contains(directory.file("blocks")) == true)
    }

    @Test(.enabled(if: ChildProcess.canMount, "needs to mount a file system"), arguments: [1000, 20_000])
    func aFullDisk(_ size: Int) async throws {
        let directory = try TemporaryDirectory()
        let shell = "mount -t tmpfs -o size=3m tmpfs \(directory.path) && exec \"$0\" \"$@\""
        let child = try ChildProcess(["fill", directory.file("blocks"), "\(size)", "0"], shell: shell)
        await expectFilled(child, path: directory.file("blocks"))
    }

    @Test(arguments: [1000, 20_000])
    func aLimitOnTheSizeOfFiles(_ size: Int) async throws {
        let directory = try TemporaryDirectory()
        let child = try ChildProcess(["fill", directory.file("blocks"), "\(size)", "\(2 << 20)"])
        await expectFilled(child, path: directory.file("blocks"))
    }

    private func expectFilled(_ child: ChildProcess, path: String) async {
        let lines = await child.end()
        guard lines.count == 4, let stored = Int(lines[1].dropFirst("stored ".count)) else {
            Issue.record("\(lines)")
            return
        }
        #expect(lines[0].hasPrefix("error diskFull"))
        #expect(lines[0].contains(path))
        #expect(stored > 50)
        #expect(lines[2] == "verified \(stored) corrupt 0")
        #expect(lines[3] == "again \(stored - stored / 2 + stored / 4) corrupt 0")
    }

    @Test(.enabled(if: ChildProcess.canMount, "needs to mount a file system"), arguments: [0, 40, 100])
    func aDiskTooFullToBegin(_ kilobytes: Int) async throws {
        let directory = try TemporaryDirectory()
        let shell = """
            mount -t tmpfs -o size=1m tmpfs \(directory.path) \
            && head -c $((1024 * (1024 - \(kilobytes)))) /dev/zero > \(directory.path)/ballast; exec "$0" "$@"
            """
        let child = try ChildProcess(["open", directory.file("blocks"), "0"], shell: shell)
        let line = await child.end().first
        #expect(line?.hasPrefix("error diskFull") == true, "\(line ?? "")")
    }

    /// A page of the table of readers has 64 places, or 256.
    @Test func moreReadersThanThereArePlacesFor() throws {
        let directory = try TemporaryDirectory()
        var configuration = LMDBBlockstore.Configuration()
        configuration.limits.readerCount = 50
        let engine = try Engine(path: directory.path, configuration: configuration)
        var count = 0
        func read() throws(BlockstoreError) {
            try engine.read { (_) throws(BlockstoreError) in
                count += 1
                try read()
            }
        }
        for _ in 0..<2 {
            count = 0
            let error = #expect(throws: BlockstoreError.self) { try read() }
            #expect(error?.code == .tooManyReaders)
            #expect(error?.message.contains("readerCount") == true)
            #expect((50..<50 + 256).contains(count), "\(count)")
        }
        try engine.read { _ in }
        engine.shut()
    }

    @Test func filesOfSomethingElse() async throws {
        var random = SplitMix64(seed: 30)
        for bytes in [
            Array("not a database\n".utf8), random.bytes(100), random.bytes(4096), random.bytes(8192),
            random.bytes(100_000), [UInt8](repeating: 0, count: 16_384),
        ] {
            let directory = try TemporaryDirectory()
            try Data(bytes).write(to: URL(fileURLWithPath: directory.file("data.mdb")))
            await refuses(directory.path, .foreign)
            // Not a byte was changed.
            #expect(try Data(contentsOf: URL(fileURLWithPath: directory.file("data.mdb"))) == Data(bytes))
        }
        let directory = try TemporaryDirectory()
        try FileManager.default.createDirectory(
            atPath: directory.file("data.mdb"), withIntermediateDirectories: false)
        await refuses(directory.path, .foreign)
    }

    @Test func anLMDBFileOfSomethingElse() async throws {
        let directory = try TemporaryDirectory()
        try RawLMDB.put(directory.path, database: nil, key: "name", value: Array("value".utf8))
        await refuses(directory.path, .foreign)
        let named = try TemporaryDirectory()
        try RawLMDB.put(named.path, database: "blocks", key: "name", value: Array("value".utf8))
        await refuses(named.path, .foreign)
        let record = try TemporaryDirectory()
        try RawLMDB.put(record.path, database: "swift-bitswap", key: "store", value: Array("something".utf8))
        await refuses(record.path, .foreign)
    }

    @Test func anEmptyLMDBFileBecomesAStore() async throws {
        let directory = try TemporaryDirectory()
        try RawLMDB.put(directory.path, database: nil, key: nil, value: [])
        let store = try LMDBBlockstore(path: directory.path)
        try await store.put(Block(ByteBuffer(string: "x")))
        try await store.close()
    }

    @Test func aStoreOfALaterVersion() async throws {
        let directory = try TemporaryDirectory()
        try await LMDBBlockstore(path: directory.path).close()
        var record = try #require(try RawLMDB.get(directory.path, database: "swift-bitswap", key: "store"))
        #expect(Array(record[..<12]) == Array("SwBlocks".utf8) + [1, 0, 0, 0])
        record[8] = 2
        try RawLMDB.put(directory.path, database: "swift-bitswap", key: "store", value: record)
        await refuses(directory.path, .unsupportedVersion)
        record[8] = 0
        try RawLMDB.put(directory.path, database: "swift-bitswap", key: "store", value: record)
        await refuses(directory.path, .corrupt)
        record[8] = 1
        try RawLMDB.put(directory.path, database: "swift-bitswap", key: "store", value: Array(record.dropLast()))
        await refuses(directory.path, .corrupt)
        try RawLMDB.put(directory.path, database: "swift-bitswap", key: "store", value: record)
        try await LMDBBlockstore(path: directory.path).close()
    }

    /// A store cut short at any length is either whole as far as it is used, or refused.
    @Test func filesCutShort() async throws {
        let directory = try TemporaryDirectory()
        let whole = directory.file("whole")
        var random = SplitMix64(seed: 31)
        let store = try LMDBBlockstore(path: whole)
        for size in [100, 3000, 20_000, 100] {
            try await store.put((0..<30).map { _ in try random.block(size: size) })
        }
        for try await (key, size) in store.list() where size == 3000 { _ = try await store.delete(key) }
        try await store.put(random.block(size: 50_000))
        try await store.close()
        let bytes = try Data(contentsOf: URL(fileURLWithPath: whole + "/data.mdb"))
        var refusals = 0
        for round in 0..<60 {
            let length = round < 20 ? bytes.count - round * 4096 : Int(random.next() % UInt64(bytes.count))
            let path = directory.file("short\(round)")
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            try bytes.prefix(length).write(to: URL(fileURLWithPath: path + "/data.mdb"))
            do throws(BlockstoreError) {
                let store = try LMDBBlockstore(path: path)
                do {
                    let report = try await store.verify()
                    #expect(report.blockCount == 91, "round \(round)")
                    #expect(report.corruptCount == 0, "round \(round)")
                } catch {
                    Issue.record("round \(round): \(error)")
                }
                try await store.close()
            } catch {
                refusals += 1
                let expected: [BlockstoreError.Code] = length < 200 ? [.foreign] : [.corrupt]
                #expect(expected.contains(error.code), "round \(round): \(error)")
                #expect(error.description.contains(path))
            }
        }
        #expect(refusals > 30)
        let full = try LMDBBlockstore(path: whole)
        #expect(try await full.verify().blockCount == 91)
        try await full.close()
    }

    @Test func damagedHeaders() async throws {
        let directory = try TemporaryDirectory()
        let whole = directory.file("whole")
        let store = try LMDBBlockstore(path: whole)
        try await store.put(Block(ByteBuffer(string: "x")))
        try await store.close()
        let bytes = try Data(contentsOf: URL(fileURLWithPath: whole + "/data.mdb"))
        let pageSize = Int(getpagesize())
        // In a meta page: behind a header of 16 bytes the magic number, the version, two words, the page size.
        for page in 0..<2 {
            for (offset, value, code) in [
                (16, UInt32(0), page == 0 ? BlockstoreError.Code.foreign : .corrupt),
                (20, 2, .unsupportedVersion), (20, 999, .unsupportedVersion),
                (40, 0, .corrupt), (40, 3, .corrupt), (40, 1 << 31, .corrupt),
            ] {
                var damaged = bytes
                withUnsafeBytes(of: value) {
                    damaged.replaceSubrange(page * pageSize + offset..<page * pageSize + offset + 4, with: $0)
                }
                let path = directory.file("damaged\(page)-\(offset)-\(value)")
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
                try damaged.write(to: URL(fileURLWithPath: path + "/data.mdb"))
                await refuses(path, code)
            }
        }
    }

    @Test func damagedBytesAreFound() async throws {
        let directory = try TemporaryDirectory()
        let store = try LMDBBlockstore(path: directory.path)
        var random = SplitMix64(seed: 32)
        let blocks = try [100, 10_000].map { try random.block(size: $0) }
        try await store.put(blocks)
        try await store.close()
        let file = URL(fileURLWithPath: directory.file("data.mdb"))
        var bytes = try Data(contentsOf: file)
        for block in blocks {
            let range = try #require(bytes.range(of: Data(block.bytes.readableBytesView.prefix(50))))
            bytes[range.lowerBound + 20] ^= 1
        }
        try bytes.write(to: file)
        let again = try LMDBBlockstore(path: directory.path)
        let report = try await again.verify()
        #expect(report.corrupt == blocks.map(\.cid.multihash).sorted())
        try await again.close()
    }
}
