import ArgumentParser
import BitswapNode
import Libp2p
import Logging
import Multiformats
import PeerIdentity
import ServiceLifecycle
import UnixSignals

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a node on the repository until Ctrl-C: serve its blocks, and fetch for other commands.",
        discussion: """
            Makes the repository if there is none. With --json, the first line is {"event":"listening",…}, printed when \
            the node can be reached; then come "discovered" and "undiscovered", "connected" and "disconnected" as peers do.
            """)

    @OptionGroup var options: CommonOptions

    @Option(
        help: ArgumentHelp(
            "An address to listen on; port 0 is any free one. (default: /ip4/0.0.0.0/tcp/4001 and /ip6/::/tcp/4001)",
            valueName: "multiaddr"))
    var listen: [AddressArgument] = []

    @Option(help: ArgumentHelp("A peer to stay connected to; /dnsaddr names are looked up.", valueName: "multiaddr"))
    var peer: [StandingAddressArgument] = []

    @Option(
        help: ArgumentHelp(
            "A node that knows many others, to stay connected to; /dnsaddr names are looked up.", valueName: "multiaddr"
        ))
    var bootstrap: [BootstrapArgument] = []

    @Option(
        help: ArgumentHelp(
            "What connections may be secured with, best first, by an option each. (default: tls, then noise)",
            valueName: "protocol"))
    var security: [SecurityName] = []

    @Flag(help: "Do not look for peers on the local networks by mDNS, nor be found there.")
    var noMdns = false

    @OptionGroup var exchange: ExchangeOptions
    @OptionGroup(title: "Resources") var resources: ResourceOptions

    func validate() throws {
        for address in listen { _ = try address.value() }
        for address in peer { _ = try address.value() }
        for address in bootstrap { _ = try address.value() }
    }

    func run() async throws {
        let repository = try options.repository
        if !repository.exists { try repository.create() }
        // First of all: whoever has this may serve.
        let listener = try ControlListener(repository)
        defer { listener.close() }

        var configuration = BitswapNode.Configuration()
        configuration.listen = listen.isEmpty ? try Self.defaultAddresses() : try listen.map { try $0.value() }
        try exchange.apply(to: &configuration)
        try resources.apply(to: &configuration.exchange)
        if !security.isEmpty { configuration.swarm.securityProtocols = security.map(\.security) }
        configuration.bootstrap = try bootstrap.map { try $0.value() }
        configuration.usesMDNS = !noMdns
        let peers = try peer.map { try $0.value() }
        configuration.peers = peers.filter(\.isName)
        let logger = options.logger(default: .info)
        let node = try BitswapNode(repository: repository, configuration: configuration, logger: logger)
        let responder = NodeResponder(node)
        let control = ControlServer(listener: listener, logger: logger) { try await responder.withSession($0) }
        // Shut down in the opposite order.
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    ServeEvents(node: node, printsJSON: options.printsJSON),
                    PeerDialing(node: node, addresses: peers.filter { !$0.isName }),
                    node, control,
                ],
                gracefulShutdownSignals: [.sigint, .sigterm], logger: Self.quiet(logger)))
        try await group.run()
    }

    /// The group tells of every step at `debug`, and of an error that is reported here anyway at `error`.
    private static func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        if logger.logLevel > .debug { logger.logLevel = .critical }
        return logger
    }

    private static func defaultAddresses() throws -> [Multiaddr] {
        try [Multiaddr("/ip4/0.0.0.0/tcp/4001")] + (hasIPv6 ? [Multiaddr("/ip6/::/tcp/4001")] : [])
    }
}

/// Stays connected to the peers named on the command line by address, and says so when one is not there.
struct PeerDialing: Service {
    let node: BitswapNode
    let addresses: [Multiaddr]

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                for address in addresses {
                    group.addTask {
                        await node.stayConnected(to: address) { Console.warning(reason(of: $0)) }
                    }
                }
            }
        }
        try? await gracefulShutdown()
    }
}
