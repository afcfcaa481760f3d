import ArgumentParser
import Bitswap
import BitswapNode
import Multiformats
import PeerIdentity

struct Peers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the connections of the running node.",
        discussion: """
            Prints one connection a line: its address, who opened it, what secures it, for how long it has been there, how the \
            peer was found and how long ago, the bytes of blocks sent to and received from the peer over all its connections, \
            and the program at the other end.
            """)

    @OptionGroup var options: CommonOptions

    func run() async throws {
        let peers = try await options.askingNode { try await $0.peers() }
        var results = Results()
        if options.printsJSON {
            for peer in peers { try results.line(Self.json(peer)) }
        } else {
            for line in Self.table(peers).lines { try results.line(line) }
        }
        try results.flush()
    }

    static func json(_ peer: PeerStatus) -> JSON {
        .object([
            ("peer", JSON(peer.peer)), ("address", JSON(peer.address)), ("direction", .string(direction(of: peer))),
            ("security", .string(peer.security)), ("agent", JSON(peer.agent)),
            ("connectedSeconds", .integer(Int(peer.connectedSeconds))),
            ("foundBy", JSON(peer.foundBy)), ("foundSeconds", JSON(number: peer.foundSeconds.map { Int($0) })),
            ("ledger", peer.ledger.map { .object(LedgerCommand.members($0)) } ?? .null),
        ])
    }

    static func table(_ peers: [PeerStatus]) -> Table {
        var table = Table()
        for peer in peers {
            table.row(
                "\(peer.address)/p2p/\(peer.peer)", direction(of: peer), peer.security,
                Quantity.time(seconds: Int(peer.connectedSeconds)),
                peer.foundBy.map { "\($0) \(Quantity.time(seconds: Int(peer.foundSeconds ?? 0))) ago" } ?? "-",
                peer.ledger.map { "sent \(Quantity.bytes($0.bytesSent))" } ?? "-",
                peer.ledger.map { "received \(Quantity.bytes($0.bytesReceived))" } ?? "-", printable(peer.agent ?? "-"))
        }
        return table
    }

    private static func direction(of peer: PeerStatus) -> String { peer.isOutbound ? "outbound" : "inbound" }

    /// What a peer says of itself, fit for a terminal.
    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map {
                    $0.properties.generalCategory == .control || $0.properties.generalCategory == .format ? "?" : $0
                }))
    }
}
