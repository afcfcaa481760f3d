import ArgumentParser
import Bitswap
import BitswapNode
import PeerIdentity

struct LedgerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ledger", abstract: "Print what a connected peer and the running node have given each other.",
        discussion: """
            Counts begin when the peer connects. Bytes of blocks are without framing. What is queued waits for its turn; \
            what is outstanding was written and not yet taken by the connection.
            """)

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
            ("connectedSeconds", .integer(Int(ledger.age.components.seconds))),
            ("blocksSent", .integer(ledger.blocksSent)), ("bytesSent", .integer(ledger.bytesSent)),
            ("blocksReceived", .integer(ledger.blocksReceived)), ("bytesReceived", .integer(ledger.bytesReceived)),
            ("wants", .integer(ledger.wants)), ("subscriptions", .integer(ledger.subscriptions)),
            ("queuedBytes", .integer(ledger.queuedBytes)), ("outstandingBytes", .integer(ledger.outstandingBytes)),
        ]
    }

    static func table(_ peer: PeerID, _ ledger: LedgerStatus) -> Table {
        var table = Table()
        table.row("peer", "\(peer)")
        table.row("connected", Quantity.time(seconds: Int(ledger.age.components.seconds)))
        table.row("sent", "\(Quantity.count(ledger.blocksSent, "block")), \(Quantity.bytes(ledger.bytesSent))")
        table.row(
            "received", "\(Quantity.count(ledger.blocksReceived, "block")), \(Quantity.bytes(ledger.bytesReceived))")
        table.row(
            "wants",
            "\(Quantity.count(ledger.wants)) to be answered, \(Quantity.count(ledger.subscriptions)) for blocks not held"
        )
        table.row("queued", Quantity.bytes(ledger.queuedBytes))
        table.row("outstanding", Quantity.bytes(ledger.outstandingBytes))
        return table
    }
}
