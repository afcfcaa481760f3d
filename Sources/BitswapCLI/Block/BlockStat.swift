import ArgumentParser
import Blockstore
import Multiformats

struct BlockStat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stat", abstract: "Print the size of a block in the repository. Asks no peer.")

    @OptionGroup var options: CommonOptions

    @Argument(help: ArgumentHelp(valueName: "cid"))
    var cid: CIDArgument

    func validate() throws { _ = try cid.value() }

    func run() async throws {
        let cid = try cid.value()
        guard let size = try await options.withStore({ try await $0.size(of: cid.multihash) }) else {
            throw CommandFailure(status: CommandFailure.notFound, message: "the block \(cid) is not in the repository")
        }
        var results = Results()
        if options.printsJSON {
            try results.line(JSON.object([("cid", JSON(cid)), ("size", .integer(size))]))
        } else {
            try results.line("Key: \(cid)")
            try results.line("Size: \(size)")
        }
        try results.flush()
    }
}
