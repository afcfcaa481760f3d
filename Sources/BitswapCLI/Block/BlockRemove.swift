import ArgumentParser
import Blockstore
import Multiformats

struct BlockRemove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rm", abstract: "Remove blocks from the repository.")

    @OptionGroup var options: CommonOptions

    @Argument(help: ArgumentHelp(valueName: "cid"))
    var cids: [CIDArgument]

    func validate() throws { for cid in cids { _ = try cid.value() } }

    func run() async throws {
        let cids = try cids.map { try $0.value() }
        var results = Results()
        var missing: [CID] = []
        try await options.withStore { store in
            for cid in cids {
                let wasThere = try await store.delete(cid.multihash)
                if !wasThere { missing.append(cid) }
                if options.printsJSON {
                    try results.line(JSON.object([("cid", JSON(cid)), ("removed", .bool(wasThere))]))
                } else if wasThere {
                    try results.line("removed \(cid)")
                }
                try results.flush()
            }
        }
        if let first = missing.first {
            throw CommandFailure(
                message: missing.count == 1
                    ? "the block \(first) is not in the repository"
                    : "\(missing.count) of \(cids.count) blocks are not in the repository, \(first) among them")
        }
    }
}
