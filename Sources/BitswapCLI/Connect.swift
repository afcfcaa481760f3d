import ArgumentParser
import BitswapNode
import Multiformats
import PeerIdentity

struct Connect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Have the running node connect to a peer.")

    @OptionGroup var options: CommonOptions

    @Argument(help: ArgumentHelp("The peer's address, with /p2p/ID to be sure who is there.", valueName: "multiaddr"))
    var address: AddressArgument

    func validate() throws { _ = try address.value() }

    func run() async throws {
        let address = try address.value()
        let peer = try await options.askingNode { try await $0.connect(to: address) }
        var results = Results()
        if options.printsJSON {
            try results.line(JSON.object([("peer", JSON(peer)), ("address", JSON(address))]))
        } else {
            try results.line("connected to \(peer)")
        }
        try results.flush()
    }
}
