import ArgumentParser
import Bitswap
import BitswapNode
import Multiformats
import PeerIdentity
import Testing

@testable import BitswapCLI

/// What `serve` is told of the exchange.
@Suite struct ExchangeOptionTests {
    private static let peer = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    private static let other = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
    private static let cid = "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq"

    private func configuration(_ words: String...) throws -> BitswapNode.Configuration {
        let serve = try #require(try BitswapCommand.parseAsRoot(["serve"] + words) as? Serve)
        var configuration = BitswapNode.Configuration()
        try serve.exchange.apply(to: &configuration)
        return configuration
    }

    @Test func withoutAnyEverybodyIsServedAndEverythingFetched() throws {
        let configuration = try configuration()
        #expect(configuration.exchange.access.allowedPeers == nil)
        #expect(configuration.exchange.access.deniedPeers.isEmpty && configuration.exchange.access.deniedBlocks.isEmpty)
        #expect(configuration.exchange.servesBlocks && configuration.exchange.fetchesBlocks)
        #expect(configuration.protocolPrefix == nil)
    }

    @Test func listsBecomeThePolicy() throws {
        let (peer, other, cid) = (try PeerID(Self.peer), try PeerID(Self.other), try CID(Self.cid))
        let access = try configuration(
            "--allow-peer", Self.peer, "--allow-peer", Self.other, "--deny-peer", Self.other, "--deny-cid", Self.cid
        ).exchange.access
        #expect(access.allowedPeers == [peer, other])
        #expect(access.deniedPeers == [other])
        #expect(access.deniedBlocks == [cid.multihash])
        #expect(access.decision(on: cid, for: peer) == .denyAsAbsent)
    }

    @Test func modesAndPrefix() throws {
        let configuration = try configuration("--no-server", "--no-client", "--protocol-prefix", "/chain")
        #expect(!configuration.exchange.servesBlocks && !configuration.exchange.fetchesBlocks)
        #expect(configuration.protocolPrefix?.text == "/chain")
        let get = try #require(
            try BitswapCommand.parseAsRoot(["block", "get", Self.cid, "--protocol-prefix", "/chain"]) as? BlockGet)
        #expect(try get.protocolPrefix?.value().text == "/chain")
    }

    @Test(arguments: [
        (["serve", "--allow-peer", "nonsense"], "nonsense"), (["serve", "--deny-peer", ""], "peer"),
        (["serve", "--allow-peer", cid], cid), (["serve", "--deny-cid", "Qm"], "Qm"),
        (["serve", "--protocol-prefix", "chain"], "begin with a slash"),
        (["serve", "--protocol-prefix", "/chain/"], "ends with a slash"),
        (["serve", "--protocol-prefix", "/a b"], "a space"), (["serve", "--protocol-prefix"], "--protocol-prefix"),
        (["serve", "--no-server", "--deny-cid", cid], "--deny-cid"),
        (["serve", "--no-server", "--deny-peer", peer], "--deny-peer"),
        (["serve", "--no-server", "--allow-peer", peer], "--allow-peer"),
        (["block", "get", cid, "--protocol-prefix", "chain"], "begin with a slash"),
    ])
    func badUsageSaysWhatIsWrong(_ words: [String], _ says: String) throws {
        let error = try #require(#expect(throws: (any Error).self) { try BitswapCommand.parseAsRoot(words) })
        #expect(BitswapCommand.exitCode(for: error) == .validationFailure)
        #expect(BitswapCommand.message(for: error).contains(says))
    }

    @Test func theHelpNamesThem() {
        let help = BitswapCommand.helpMessage(for: Serve.self)
        for name in [
            "--allow-peer", "--deny-peer", "--deny-cid", "--no-server", "--no-client", "--protocol-prefix",
        ] {
            #expect(help.contains(name))
        }
        #expect(BitswapCommand.helpMessage(for: BlockGet.self).contains("--protocol-prefix"))
    }
}
