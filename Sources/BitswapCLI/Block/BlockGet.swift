import ArgumentParser
import BitswapNode
import Blockstore
import Libp2p
import Multiformats
import NIOCore
import PeerIdentity

struct BlockGet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Print the bytes of blocks, fetching what is not in the repository from peers.",
        discussion: """
            Fetched blocks are verified and kept. A node that runs on the repository does the fetching; without one, the \
            peers given and those on the local networks are asked. Several blocks are written one after the other, in the \
            order asked for. With --json and a single CID, "steps" tells, each with the milliseconds since the start, \
            what was looked for and, where no node runs on the repository, who was found, asked and answered.
            """)

    @OptionGroup var options: CommonOptions

    @Argument(
        help: ArgumentHelp("A CID; a single - reads any number from standard input, one a line.", valueName: "cid"))
    var cids: [CIDArgument]

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Write to a file, which appears when it is whole. Default: standard output.", valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("A peer to ask.", valueName: "multiaddr"))
    var peer: [AddressArgument] = []

    @Option(
        help: ArgumentHelp(
            "The protocol prefix of the peers' private network. A node that runs on the repository has its own.",
            valueName: "prefix"))
    var protocolPrefix: ProtocolPrefixArgument?

    @Option(help: ArgumentHelp("How long to wait for a block.", valueName: "duration"))
    var timeout = DurationArgument(text: "30s")

    @Flag(help: "Do not look for peers on the local networks by mDNS.")
    var noMdns = false

    @Flag(name: .shortAndLong, help: "Say what happens, also when standard error is no terminal.")
    var verbose = false

    private var readsInput: Bool { cids.map(\.text) == ["-"] }

    private static func inputLines() throws -> [CIDArgument] {
        let lines = AnyIterator { readLine() }.filter { !$0.isEmpty }
        guard !lines.isEmpty else { throw ValidationError("there is no CID on standard input; give one a line") }
        return lines.map { CIDArgument(text: $0) }
    }

    func validate() throws {
        if !readsInput { for cid in cids { _ = try cid.value() } }
        for address in peer { _ = try address.value() }
        _ = try protocolPrefix?.value()
        _ = try timeout.value()
    }

    func run() async throws {
        let cids = try (readsInput ? Self.inputLines() : cids).map { try $0.value() }
        let peers = try peer.map { try $0.value() }
        let narration = Narration(isOn: verbose || Console.isErrorTerminal, blockCount: cids.count)
        let story = FetchStory(narration)
        let fetching = Fetching(
            repository: try options.existingRepository, peers: peers, protocolPrefix: try protocolPrefix?.value(),
            usesMDNS: !noMdns, timeout: try timeout.value(), timeoutText: timeout.text, logger: options.logger,
            narration: narration, story: story)
        let (printsJSON, output) = (options.printsJSON, output)
        try await cancelledBySignals { [options] in
            let sink = try BlockSink(printsJSON: printsJSON, path: output, story: cids.count == 1 ? story : nil)
            try await options.withStore { store in
                try await fetching.fetch(cids, store) { try sink.write($0) }
            }
            try sink.finish()
        }
    }
}

/// Where the blocks go: the file, else standard output, unless that is for JSON.
private final class BlockSink {
    private let printsJSON: Bool
    private let file: OutputFile?
    private var results = Results()
    /// Of the one block, whose line is written when the story is at its end; nil with several.
    private let story: FetchStory?
    private var last: ObtainedBlock?

    init(printsJSON: Bool, path: String?, story: FetchStory?) throws {
        self.printsJSON = printsJSON
        self.story = story
        file = try path == "-" ? nil : path.map { try OutputFile($0) }
    }

    func write(_ block: ObtainedBlock) throws {
        if let file {
            try file.write(block.bytes)
        } else if !printsJSON {
            try results.bytes(block.bytes)
        }
        guard printsJSON else { return }
        if story != nil { return last = block }
        try results.line(line(of: block))
        // The file is not there yet.
        if file == nil { try results.flush() }
    }

    private func line(of block: ObtainedBlock) -> JSON {
        var members: [(String, JSON)] = [
            ("cid", JSON(block.cid)), ("size", .integer(block.bytes.readableBytes)),
            ("source", .string(block.peer == nil ? "local" : "network")), ("peer", JSON(block.peer)),
            ("milliseconds", .number((block.milliseconds * 1_000).rounded() / 1_000)),
        ]
        if let story { members.append(("steps", story.json)) }
        return .object(members)
    }

    func finish() throws {
        try file?.commit()
        if let last { try results.line(line(of: last)) }
        try results.flush()
    }
}
