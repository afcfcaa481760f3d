import ArgumentParser
import BitswapNode
import Multiformats
import PeerIdentity

struct Identity: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "id", abstract: "Print the peer ID, and the node's addresses while it runs.",
        discussion: "With --json also the public key, as the base64 of its libp2p protobuf form.")

    @OptionGroup var options: CommonOptions

    func run() async throws {
        let repository = try options.existingRepository
        let identity = try repository.identity()
        let addresses = try await Self.addresses(of: repository)
        var results = Results()
        if options.printsJSON {
            let key = identity.publicKey.protobufBytes
            try results.line(
                JSON.object([
                    ("peer", JSON(identity.peerID)),
                    ("publicKey", .string(Multibase.base64Pad.encodeUnprefixed(key))),
                    ("keyType", JSON(identity.publicKey.kind)),
                    ("addresses", JSON(addresses ?? [])),
                    ("running", .bool(addresses != nil)),
                ]))
        } else {
            try results.line(identity.peerID)
            for address in addresses ?? [] { try results.line(address) }
        }
        try results.flush()
    }

    /// Nil when no node runs.
    private static func addresses(of repository: Repository) async throws -> [Multiaddr]? {
        do {
            return try await ControlClient.withConnection(to: repository) { try await $0.status().addresses }
        } catch let error as NodeError where error.code == .notRunning {
            return nil
        }
    }
}
