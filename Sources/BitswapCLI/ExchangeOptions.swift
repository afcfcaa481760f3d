import ArgumentParser
import Bitswap
import BitswapNode
import Multiformats
import PeerIdentity

/// What `serve` can be told of the exchange of blocks. Each option is checked in ``validate()`` and takes effect in
/// ``apply(to:)``.
struct ExchangeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Serve this peer and no others but those that are named so too. May be repeated.", valueName: "peer-id"))
    var allowPeer: [PeerArgument] = []

    @Option(
        help: ArgumentHelp(
            "Do not serve this peer: it is told that no block is here. May be repeated.", valueName: "peer-id"))
    var denyPeer: [PeerArgument] = []

    @Option(
        help: ArgumentHelp(
            "Do not serve this block, under any of its CIDs: peers are told that it is not here. May be repeated.",
            valueName: "cid"))
    var denyCid: [CIDArgument] = []

    @Flag(help: "Serve nobody: peers are told that no block is here.")
    var noServer = false

    @Flag(help: "Fetch nothing: what is not in the repository is not asked of peers.")
    var noClient = false

    @Option(
        help: ArgumentHelp(
            "The protocol prefix of a private network, such as /chain: blocks are exchanged only with nodes that have "
                + "the same.", valueName: "prefix"))
    var protocolPrefix: ProtocolPrefixArgument?

    func validate() throws {
        for peer in allowPeer + denyPeer { _ = try peer.value() }
        for cid in denyCid { _ = try cid.value() }
        _ = try protocolPrefix?.value()
        if noServer, let other = accessOption {
            throw ValidationError("--no-server serves nobody; leave out \(other), or --no-server")
        }
    }

    /// An option that is given and says who is served what.
    private var accessOption: String? {
        if !allowPeer.isEmpty { return "--allow-peer" }
        if !denyPeer.isEmpty { return "--deny-peer" }
        return denyCid.isEmpty ? nil : "--deny-cid"
    }

    func apply(to configuration: inout BitswapNode.Configuration) throws {
        var access = AccessPolicy()
        if !allowPeer.isEmpty { access.allowedPeers = Set(try allowPeer.map { try $0.value() }) }
        access.deniedPeers = Set(try denyPeer.map { try $0.value() })
        access.deny(try denyCid.map { try $0.value() })
        configuration.exchange.access = access
        configuration.exchange.servesBlocks = !noServer
        configuration.exchange.fetchesBlocks = !noClient
        configuration.protocolPrefix = try protocolPrefix?.value()
    }
}
