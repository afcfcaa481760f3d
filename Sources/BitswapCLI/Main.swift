import ArgumentParser
import Bitswap
import BitswapNode
import Blockstore
import Libp2p
import PeerIdentity

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

struct BitswapCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bitswap",
        abstract: "Keeps blocks, serves them to IPFS nodes over Bitswap, and fetches them from there.",
        discussion: """
            The repository is a directory with the node's key and its blocks: --repo, else $BITSWAP_PATH, else ~/.bitswap.

            Results go to standard output, everything else to standard error. Exit status: 0 done, 1 failed, 2 block \
            not found (block get, block stat), 64 bad usage, 130 or 143 ended by a signal (serve: 0).
            """,
        version: String(SwarmConfiguration().agentVersion.split(separator: "/").last ?? ""),
        subcommands: [
            Initialize.self, Identity.self, Serve.self, BlockCommand.self, Connect.self, Peers.self, Status.self,
            Wantlist.self, LedgerCommand.self, BenchCommand.self, BenchServer.self, BenchClient.self,
        ])
}

/// A failure that ends the program with this status and this line.
struct CommandFailure: Error {
    var status: Int32 = 1
    var message: String

    static let notFound: Int32 = 2
}

@main
enum Program {
    static func main() async {
        keepFreedMemory()
        do {
            var command = try await BitswapCommand.asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            exit(end(with: error))
        }
        exit(0)
    }

    /// Says what happened, in one line, and gives the exit status.
    private static func end(with error: any Error) -> Int32 {
        switch error {
        case let interrupt as Interrupt:
            return 128 + interrupt.signal
        case let failure as CommandFailure:
            Console.error(failure.message)
            return failure.status
        default:
            break
        }
        let code = BitswapCommand.exitCode(for: error)
        if code == .success {
            // Asked for: --help, --version, completions.
            Console.print(BitswapCommand.fullMessage(for: error))
            return 0
        }
        Console.error(code == .validationFailure ? usageMessage(error) : reason(of: error))
        return code.rawValue
    }

    /// What was wrong with the command line, and where to read on: ArgumentParser's text as one line.
    private static func usageMessage(_ error: any Error) -> String {
        var lines = BitswapCommand.message(for: error).split(separator: "\n").map { $0.drop { $0 == " " } }[...]
        var text = String(lines.popFirst() ?? "")
        while text.hasSuffix(".") { text.removeLast() }
        // A list of what is allowed.
        text +=
            lines.isEmpty ? "" : " " + lines.map { $0.hasPrefix("- ") ? $0.dropFirst(2) : $0 }.joined(separator: ", ")
        if let help = BitswapCommand.fullMessage(for: error).split(separator: "\n").last?.drop(while: { $0 == " " }),
            help.hasPrefix("See '"), let end = help.dropFirst(5).firstIndex(of: "'")
        {
            text += "; see \(help.dropFirst(5)[..<end])"
        }
        return text
    }
}

/// What an error of the library says to a person at a terminal: what was wrong and what to do, without codes, and without
/// a full stop, as more may follow.
func reason(of error: any Error) -> String {
    let text =
        switch error {
        case let error as Libp2pError: error.message
        case let error as BlockstoreError: error.message
        case let error as IdentityError: error.message
        case is CancellationError: "cancelled"
        default: "\(error)"
        }
    return text.hasSuffix(".") ? String(text.dropLast()) : text
}
