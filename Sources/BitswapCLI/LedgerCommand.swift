import ArgumentParser
import Bitswap
import BitswapNode
import PeerIdentity

struct LedgerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ledger", abstract: "Print what a connected peer and the running node have given each other.",
        discussion: "Counts begin when the peer connects. Bytes are those of blocks, without framing.")

    @OptionGroup var options: CommonOptions

    @Argument(help: ArgumentHelp("The peer; bitswap peers lists those that are connected.", valueName: "peer-id"))
    var peer: PeerArgument

    func validate() throws { _ = try peer.value() }

    func run() async throws {
        let peer = try peer.value()
        let ledger = try await options.askingNode { try await $0.ledger(of: peer) }
        var results = Results()
        if options.printsJSON {
            try results.line(JSON.object([("peer", JSON(peer))] + Self.members(ledger)))
        } else {
            for line in Self.table(peer, ledger).lines { try results.line(line) }
        }
        try results.flush()
    }

    /// The ledger's members in JSON.
    static func members(_ ledger: LedgerStatus) -> [(String, JSON)] {
        [
            ("blocksSent", .integer(ledger.blocksSent)), ("bytesSent", .integer(ledger.bytesSent)),
            ("wants", .integer(ledger.wants)), ("queuedBytes", .integer(ledger.queuedBytes)),
            ("outstandingBytes", .integer(ledger.outstandingBytes)),
        ]
    }

    static func table(_ peer: PeerID, _ ledger: LedgerStatus) -> Table {
        var table = Table()
        table.row("peer", "\(peer)")
        table.row("sent", "\(Quantity.count(ledger.blocksSent, "block")), \(Quantity.bytes(ledger.bytesSent))")
        table.row("wants", Quantity.count(ledger.wants, "block"))
        table.row("queued", Quantity.bytes(ledger.queuedBytes))
        table.row("outstanding", Quantity.bytes(ledger.outstandingBytes))
        return table
    }
}
