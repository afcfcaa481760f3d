import ArgumentParser
import Bitswap
import BitswapNode
import Multiformats
import PeerIdentity

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stat", abstract: "Print how the running node fares: peers, blocks, and what it has exchanged.")

    @OptionGroup var options: CommonOptions

    func run() async throws {
        let status = try await ControlClient.withConnection(to: options.existingRepository) { try await $0.status() }
        var results = Results()
        if options.printsJSON {
            try results.line(Self.json(status))
        } else {
            for (name, value) in Self.table(status) {
                try results.line(name + String(repeating: " ", count: max(1, 22 - name.utf8.count)) + value)
            }
        }
        try results.flush()
    }

    private static func json(_ status: NodeStatus) -> JSON {
        let exchange = status.exchange
        return .object([
            ("peer", JSON(status.peer)), ("agent", .string(status.agent)), ("process", .integer(Int(status.process))),
            ("addresses", JSON(status.addresses)), ("uptimeSeconds", .integer(Int(status.uptimeSeconds))),
            ("peers", .integer(status.peers)), ("wants", .integer(status.wants)),
            (
                "store",
                .object([
                    ("blocks", .integer(status.blocks)), ("bytes", .integer(status.blockBytes)),
                    ("storageBytes", .integer(status.storageBytes)),
                ])
            ),
            (
                "exchange",
                .object([
                    ("blocksReceived", .integer(exchange.blocksReceived)),
                    ("bytesReceived", .integer(exchange.bytesReceived)),
                    ("duplicateBlocksReceived", .integer(exchange.duplicateBlocksReceived)),
                    ("duplicateBytesReceived", .integer(exchange.duplicateBytesReceived)),
                    ("refusedBlocks", .integer(exchange.refusedBlocks)),
                    ("blocksSent", .integer(exchange.blocksSent)), ("bytesSent", .integer(exchange.bytesSent)),
                    ("messagesReceived", .integer(exchange.messagesReceived)),
                    ("messagesSent", .integer(exchange.messagesSent)),
                    ("malformedMessages", .integer(exchange.malformedMessages)),
                    ("wantsDropped", .integer(exchange.wantsDropped)),
                ])
            ),
        ])
    }

    private static func table(_ status: NodeStatus) -> [(String, String)] {
        let exchange = status.exchange
        return [("peer", "\(status.peer)")] + status.addresses.map { ("address", "\($0)") } + [
            ("agent", status.agent),
            ("up", "\(status.uptimeSeconds) s"),
            ("peers connected", "\(status.peers)"),
            ("blocks stored", "\(status.blocks), \(status.blockBytes) bytes (\(status.storageBytes) on disk)"),
            ("blocks wanted", "\(status.wants)"),
            ("blocks received", "\(exchange.blocksReceived), \(exchange.bytesReceived) bytes"),
            ("  twice", "\(exchange.duplicateBlocksReceived), \(exchange.duplicateBytesReceived) bytes"),
            ("  refused", "\(exchange.refusedBlocks)"),
            ("blocks sent", "\(exchange.blocksSent), \(exchange.bytesSent) bytes"),
            ("messages received", "\(exchange.messagesReceived), \(exchange.malformedMessages) malformed"),
            ("messages sent", "\(exchange.messagesSent)"),
            ("peers' wants dropped", "\(exchange.wantsDropped)"),
        ]
    }
}
