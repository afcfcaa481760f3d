import ArgumentParser
import BitswapNode
import PeerIdentity

struct Initialize: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make a repository with a new key, and print its peer ID.")

    @OptionGroup var options: CommonOptions

    func run() async throws {
        let repository = try options.repository
        let identity = try repository.create()
        var results = Results()
        if options.printsJSON {
            try results.line(
                JSON.object([("peer", JSON(identity.peerID)), ("repository", .string(repository.path))]))
        } else {
            try results.line(identity.peerID)
        }
        try results.flush()
    }
}
