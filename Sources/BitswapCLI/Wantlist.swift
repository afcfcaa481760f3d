import ArgumentParser
import Bitswap
import BitswapNode
import Multiformats
import PeerIdentity

struct Wantlist: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the blocks that the running node waits for, or that a peer wants of it.",
        discussion: """
            Prints one CID a line. With --peer: what that peer wants and was not given yet, whether it wants the block or \
            only to know who has it (HAVE), and with what priority, the highest first, and whether the node holds it: \
            if not, the peer gets it when it comes. One that is denied to the peer it does not get, held or not.
            """)

    @OptionGroup var options: CommonOptions

    @Option(help: ArgumentHelp("What this connected peer wants.", valueName: "peer-id"))
    var peer: PeerArgument?

    func validate() throws { _ = try peer?.value() }

    func run() async throws {
        let peer = try peer?.value()
        let wantlist = try await options.askingNode { try await $0.wantlist(of: peer) }
        var results = Results()
        if options.printsJSON {
            for cid in wantlist.own { try results.line(JSON.object([("cid", JSON(cid))])) }
            for want in wantlist.peers { try results.line(Self.json(want)) }
        } else {
            for cid in wantlist.own { try results.line(cid) }
            for line in Self.table(wantlist.peers).lines { try results.line(line) }
        }
        try results.flush()
        let told = wantlist.own.count + wantlist.peers.count
        if told < wantlist.count {
            Console.warning("these are \(Quantity.count(told)) of \(Quantity.count(wantlist.count)) wants")
        }
    }

    static func json(_ want: PeerWant) -> JSON {
        .object([
            ("cid", JSON(want.cid)), ("type", .string(want.type.rawValue)), ("priority", .integer(Int(want.priority))),
            ("held", want.isHeld.map { .bool($0) } ?? .null), ("denied", .bool(want.isDenied)),
        ])
    }

    static func table(_ wants: [PeerWant]) -> Table {
        var table = Table()
        for want in wants {
            table.row(
                "\(want.cid)", want.type == .block ? "block" : "HAVE", "priority \(want.priority)",
                want.isDenied ? "denied" : want.isHeld.map { $0 ? "held" : "not held" } ?? "-")
        }
        return table
    }
}
