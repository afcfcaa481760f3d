import ArgumentParser
import Bitswap
import BitswapNode
import Blockstore
import Multiformats
import NIOCore

struct BlockPut: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "put", abstract: "Store files as one block each, and print their CIDs.",
        discussion: """
            A CID is printed when its block is safely on the disk. A node that runs on the repository gives the blocks to \
            peers that wait for them. Blocks have at most 2 MiB: no peer accepts a larger one.
            """)

    @OptionGroup var options: CommonOptions

    @Option(help: "What the bytes are.")
    var codec = CodecName.raw

    @Option(help: "The hash function.")
    var hash = HashName.sha2_256

    @Option(help: "1, or 0 for dag-pb with sha2-256.")
    var cidVersion: Int = 1

    @Argument(help: ArgumentHelp("Files; - is standard input.", valueName: "file"))
    var files: [String] = ["-"]

    /// Files that are read and stored at once: what shares one commit.
    private static let concurrency = 64
    /// Blocks that a running node is told of at once.
    private static let offerCount = 256

    func validate() throws {
        switch cidVersion {
        case 1: break
        case 0:
            guard codec == .dagPB, hash == .sha2_256 else {
                throw ValidationError("--cid-version 0 is for --codec dag-pb with --hash sha2-256 alone; use version 1")
            }
        default: throw ValidationError("--cid-version \(cidVersion) does not exist; use 1 or 0")
        }
        if files.count(where: { $0 == "-" }) > 1 { throw ValidationError("standard input (-) can be read only once") }
    }

    func run() async throws {
        let repository = try options.existingRepository
        try await options.withStore { store in
            var stored: [CID] = []
            do {
                try await put(into: store) { cid in
                    stored.append(cid)
                    if stored.count == Self.offerCount {
                        await offer(stored, to: repository)
                        stored = []
                    }
                }
            } catch {
                await offer(stored, to: repository)
                throw error
            }
            await offer(stored, to: repository)
        }
    }

    private func put(into store: LMDBBlockstore, stored: (CID) async -> Void) async throws {
        var results = Results()
        let limit = BitswapLimits().blockBytes
        let (codec, hash, version) = (codec.codec, hash.code, cidVersion == 0 ? CID.Version.v0 : .v1)
        try await forEachConcurrently(files, limit: Self.concurrency) { file in
            let bytes = try await InputFile(path: file).read(limit: limit)
            let block = try Block(bytes, codec: codec, hash: hash)
            try await store.put(block)
            let cid = try CID(version: version, codec: codec, multihash: block.cid.multihash)
            return (cid, bytes.readableBytes)
        } emit: { cid, size in
            if options.printsJSON {
                try results.line(JSON.object([("cid", JSON(cid)), ("size", .integer(size))]))
            } else {
                try results.line(cid)
            }
            try results.flush()
            await stored(cid)
        }
    }

    /// The blocks are stored whatever comes of this: a node that starts later finds them.
    private func offer(_ cids: [CID], to repository: Repository) async {
        guard !cids.isEmpty else { return }
        do {
            try await ControlClient.withConnection(to: repository) { try await $0.offer(cids) }
        } catch let error as NodeError where error.code == .notRunning || error.code == .stopped {
            // Nobody to tell.
        } catch {
            Console.warning("the running node could not be told of the new blocks: \(reason(of: error))")
        }
    }
}
