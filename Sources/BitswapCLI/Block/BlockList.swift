import ArgumentParser
import Blockstore
import Multiformats

struct BlockList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the blocks in the repository.",
        discussion: "Blocks are kept by their multihash alone; each is listed as a CIDv1 with the codec raw.")

    @OptionGroup var options: CommonOptions

    func run() async throws {
        var results = Results()
        try await options.withStore { store in
            for try await (key, size) in store.list() {
                let cid = CID(codec: .raw, multihash: key)
                if options.printsJSON {
                    try results.line(JSON.object([("cid", JSON(cid)), ("size", .integer(size))]))
                } else {
                    try results.line(cid)
                }
            }
            try results.flush()
        }
    }
}
