import ArgumentParser
import BitswapNode
import Multiformats
import PeerIdentity

struct Peers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the connections of the running node.")

    @OptionGroup var options: CommonOptions

    func run() async throws {
        let peers = try await ControlClient.withConnection(to: options.existingRepository) { try await $0.peers() }
        var results = Results()
        for peer in peers {
            let direction = peer.isOutbound ? "outbound" : "inbound"
            if options.printsJSON {
                try results.line(
                    JSON.object([
                        ("peer", JSON(peer.peer)), ("address", JSON(peer.address)), ("direction", .string(direction)),
                        ("agent", JSON(peer.agent)), ("connectedSeconds", .integer(Int(peer.connectedSeconds))),
                    ]))
            } else {
                try results.line("\(peer.address)/p2p/\(peer.peer) \(direction) \(printable(peer.agent ?? "-"))")
            }
        }
        try results.flush()
    }

    /// What a peer says of itself, fit for a terminal.
    private func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map {
                    $0.properties.generalCategory == .control || $0.properties.generalCategory == .format ? "?" : $0
                }))
    }
}
