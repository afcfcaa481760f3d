import ArgumentParser
import Bitswap
import BitswapNode
import Libp2p
import Multiformats
import PeerIdentity
import Routing

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stat", abstract: "Print how the running node fares: peers, blocks, and what it has exchanged.",
        discussion: """
            Counts begin when the node starts. Bytes of blocks are without framing; bytes of messages are with it. With \
            --json there is one object, with all counts; what has never happened yet, such as wants per block before the \
            first block, is null.
            """)

    @OptionGroup var options: CommonOptions

    func run() async throws {
        let status = try await options.askingNode { try await $0.status() }
        var results = Results()
        if options.printsJSON {
            try results.line(Self.json(status))
        } else {
            for line in Self.table(status).lines { try results.line(line) }
        }
        try results.flush()
    }

    // MARK: Text

    static func table(_ status: NodeStatus) -> Table {
        var table = Table()
        table.row("peer", "\(status.peer)")
        for address in status.addresses { table.row("address", "\(address)") }
        table.row("agent", status.agent)
        table.row("up", Quantity.time(seconds: Int(status.uptimeSeconds)))
        table.row("peers", "\(Quantity.count(status.peers)) connected")
        table.row(
            "store",
            "\(Quantity.count(status.blocks, "block")), \(Quantity.bytes(status.blockBytes)) "
                + "(\(Quantity.bytes(status.storageBytes)) on disk)")
        received(status.exchange, wants: status.wants, into: &table)
        sent(status.exchange, into: &table)
        messages(status.exchange, into: &table)
        connections(status.swarm, into: &table)
        if let mdns = status.mdns {
            table.row(
                "mDNS",
                "sent \(Quantity.count(mdns.packetsSent, "packet")), \(Quantity.bytes(mdns.bytesSent)); "
                    + "received \(Quantity.count(mdns.packetsReceived, "packet")), \(Quantity.bytes(mdns.bytesReceived))"
            )
            if !mdns.limitHits.isEmpty { table.row("  passed over", list(mdns.limitHits)) }
        }
        return table
    }

    private static func received(_ exchange: ExchangeStatistics, wants: Int, into table: inout Table) {
        table.row("received", blocks(exchange.blocksReceived, exchange.bytesReceived))
        var twice = blocks(exchange.duplicateBlocksReceived, exchange.duplicateBytesReceived)
        if let share = exchange.duplicateShare { twice += ", \(Quantity.share(share)) of the bytes" }
        table.row("  in vain", twice)
        table.row("  refused", Quantity.count(exchange.refusedBlocks, "block"))
        table.row("  time to block", times(exchange.timeToBlock))
        table.row("wanted", "\(Quantity.count(wants, "block")) now")
        var asked =
            "\(Quantity.count(exchange.wantBlocksSent)) for blocks, \(Quantity.count(exchange.wantHavesSent)) for HAVE"
        if let ratio = exchange.wantsSentPerBlock { asked += " (\(Quantity.ratio(ratio)) a block)" }
        table.row("  wants sent", asked + ", \(Quantity.count(exchange.cancelsSent, "cancel"))")
        var wantlists = Quantity.bytes(exchange.wantlistBytesSent)
        if let ratio = exchange.wantlistBytesPerBlock { wantlists += " (\(Quantity.ratio(ratio)) bytes a block)" }
        table.row("  wantlists sent", wantlists)
        table.row("  peers said", presences(exchange.havesReceived, exchange.dontHavesReceived))
    }

    private static func sent(_ exchange: ExchangeStatistics, into table: inout Table) {
        table.row("sent", blocks(exchange.blocksSent, exchange.bytesSent))
        table.row("  queue wait", times(exchange.queueWait))
        table.row(
            "  peers wanted",
            "\(Quantity.count(exchange.wantBlocksReceived)) blocks, \(Quantity.count(exchange.wantHavesReceived)) HAVE, "
                + Quantity.count(exchange.cancelsReceived, "cancel"))
        table.row("  we said", presences(exchange.havesSent, exchange.dontHavesSent))
        table.row("  wants dropped", Quantity.count(exchange.wantsDropped))
        if exchange.wantsDenied > 0 { table.row("  wants denied", Quantity.count(exchange.wantsDenied)) }
    }

    private static func messages(_ exchange: ExchangeStatistics, into table: inout Table) {
        table.row(
            "messages received",
            sizes(exchange.incomingMessages) + ", \(Quantity.count(exchange.malformedMessages)) malformed")
        table.row("messages sent", sizes(exchange.outgoingMessages))
        if !exchange.limitHits.isEmpty { table.row("limits hit", list(exchange.limitHits)) }
    }

    private static func connections(_ swarm: SwarmStatistics, into table: inout Table) {
        table.row(
            "connections",
            "\(Quantity.count(swarm.inboundConnections)) inbound, \(Quantity.count(swarm.outboundConnections)) outbound"
        )
        var refused = list(swarm.connectionsRefused)
        if swarm.streamsRefused > 0 { refused += ", \(Quantity.count(swarm.streamsRefused, "stream"))" }
        if !refused.isEmpty { table.row("  refused", refused) }
        table.row(
            "  failed",
            "\(Quantity.count(swarm.handshakesFailed, "handshake")), \(Quantity.count(swarm.dialsFailed, "dial"))")
        if !swarm.tlsLimitHits.isEmpty { table.row("  TLS limits hit", list(swarm.tlsLimitHits)) }
        if !swarm.noiseLimitHits.isEmpty { table.row("  Noise limits hit", list(swarm.noiseLimitHits)) }
        if !swarm.yamuxLimitHits.isEmpty { table.row("  Yamux limits hit", list(swarm.yamuxLimitHits)) }
    }

    private static func blocks(_ count: Int, _ bytes: Int) -> String {
        "\(Quantity.count(count, "block")), \(Quantity.bytes(bytes))"
    }

    private static func presences(_ haves: Int, _ dontHaves: Int) -> String {
        "HAVE \(Quantity.count(haves)), DONT_HAVE \(Quantity.count(dontHaves))"
    }

    private static func times(_ histogram: Histogram) -> String {
        guard let median = histogram.quantile(0.5), let most = histogram.quantile(0.99) else { return "-" }
        let (half, almostAll) = (Quantity.time(microseconds: median), Quantity.time(microseconds: most))
        return
            "50 % within \(half), 99 % within \(almostAll), longest \(Quantity.time(microseconds: histogram.maximum))"
    }

    private static func sizes(_ histogram: Histogram) -> String {
        guard let mean = histogram.mean else { return "0" }
        return "\(Quantity.count(histogram.count)), \(Quantity.bytes(histogram.sum)) "
            + "(\(Quantity.bytes(Int(mean))) each, largest \(Quantity.bytes(histogram.maximum)))"
    }

    private static func list(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key) \(Quantity.count($0.value))" }.joined(separator: ", ")
    }

    // MARK: JSON

    static func json(_ status: NodeStatus) -> JSON {
        .object([
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
            ("exchange", json(status.exchange)), ("connections", json(status.swarm)),
            ("mdns", status.mdns.map(json) ?? .null),
        ])
    }

    private static func json(_ exchange: ExchangeStatistics) -> JSON {
        .object([
            ("blocksReceived", .integer(exchange.blocksReceived)), ("bytesReceived", .integer(exchange.bytesReceived)),
            ("duplicateBlocksReceived", .integer(exchange.duplicateBlocksReceived)),
            ("duplicateBytesReceived", .integer(exchange.duplicateBytesReceived)),
            ("duplicateShare", JSON(number: exchange.duplicateShare)),
            ("refusedBlocks", .integer(exchange.refusedBlocks)),
            ("timeToBlockMicroseconds", json(exchange.timeToBlock)),
            ("wantBlocksSent", .integer(exchange.wantBlocksSent)), ("wantHavesSent", .integer(exchange.wantHavesSent)),
            ("wantsSentPerBlock", JSON(number: exchange.wantsSentPerBlock)),
            ("cancelsSent", .integer(exchange.cancelsSent)),
            ("wantlistBytesSent", .integer(exchange.wantlistBytesSent)),
            ("wantlistBytesPerBlock", JSON(number: exchange.wantlistBytesPerBlock)),
            ("havesReceived", .integer(exchange.havesReceived)),
            ("dontHavesReceived", .integer(exchange.dontHavesReceived)),
            ("blocksSent", .integer(exchange.blocksSent)), ("bytesSent", .integer(exchange.bytesSent)),
            ("queueWaitMicroseconds", json(exchange.queueWait)),
            ("wantBlocksReceived", .integer(exchange.wantBlocksReceived)),
            ("wantHavesReceived", .integer(exchange.wantHavesReceived)),
            ("cancelsReceived", .integer(exchange.cancelsReceived)), ("havesSent", .integer(exchange.havesSent)),
            ("dontHavesSent", .integer(exchange.dontHavesSent)), ("wantsDropped", .integer(exchange.wantsDropped)),
            ("wantsDenied", .integer(exchange.wantsDenied)),
            ("messagesReceived", .integer(exchange.messagesReceived)),
            ("messagesSent", .integer(exchange.messagesSent)),
            ("messageBytesReceived", json(exchange.incomingMessages)),
            ("messageBytesSent", json(exchange.outgoingMessages)),
            ("malformedMessages", .integer(exchange.malformedMessages)), ("limitHits", json(exchange.limitHits)),
        ])
    }

    private static func json(_ swarm: SwarmStatistics) -> JSON {
        .object([
            ("inbound", .integer(swarm.inboundConnections)), ("outbound", .integer(swarm.outboundConnections)),
            ("refused", json(swarm.connectionsRefused)), ("handshakesFailed", .integer(swarm.handshakesFailed)),
            ("dialsFailed", .integer(swarm.dialsFailed)), ("dialsRefused", .integer(swarm.dialsRefused)),
            ("streamsRefused", .integer(swarm.streamsRefused)),
            ("identifyMessagesRefused", .integer(swarm.identifyMessagesRefused)),
            ("tlsLimitHits", json(swarm.tlsLimitHits)), ("noiseLimitHits", json(swarm.noiseLimitHits)),
            ("yamuxLimitHits", json(swarm.yamuxLimitHits)),
        ])
    }

    private static func json(_ mdns: MDNSStatistics) -> JSON {
        .object([
            ("packetsSent", .integer(mdns.packetsSent)), ("bytesSent", .integer(mdns.bytesSent)),
            ("packetsReceived", .integer(mdns.packetsReceived)), ("bytesReceived", .integer(mdns.bytesReceived)),
            ("limitHits", json(mdns.limitHits)),
        ])
    }

    private static func json(_ histogram: Histogram) -> JSON {
        .object([
            ("count", .integer(histogram.count)), ("sum", .integer(histogram.sum)),
            ("mean", JSON(number: histogram.mean)), ("median", JSON(number: histogram.quantile(0.5))),
            ("p99", JSON(number: histogram.quantile(0.99))), ("maximum", .integer(histogram.maximum)),
        ])
    }

    private static func json(_ counts: [String: Int]) -> JSON {
        .object(counts.sorted { $0.key < $1.key }.map { ($0.key, .integer($0.value)) })
    }
}
