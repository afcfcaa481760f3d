public import Libp2p
public import Logging
public import Metrics
public import Multiformats
public import NIOCore
import NIOPosix
public import PeerIdentity

/// Finds peers on the networks that this machine is in, and lets them find this node: libp2p's mDNS on every interface that
/// is up, over IPv4 and IPv6, with interfaces and addresses as they come and go.
///
/// Only addresses in a network of the interface on which they were told are passed on. Who is at them is not proven: that is
/// for whoever dials.
///
/// Specification: https://github.com/libp2p/specs/blob/master/discovery/mdns.md
public final class MDNSDiscovery: PeerDiscovery {
    public let method = DiscoveryMethod.mdns

    private let ownPeer: PeerID
    private let addresses: @Sendable () -> [Multiaddr]
    private let limits: MDNSLimits
    private let random: RandomSource
    private let eventLoopGroup: any EventLoopGroup
    private let account: MDNSAccount
    private let logger: Logger

    /// - Parameters:
    ///   - addresses: where this node can be reached now, with `/p2p/`; asked again and again. None: it finds and is not found.
    ///   - metrics: where the metrics `libp2p_mdns_…` go.
    public init(
        peer: PeerID, addresses: @escaping @Sendable () -> [Multiaddr], limits: MDNSLimits = MDNSLimits(),
        random: RandomSource = .system, eventLoopGroup: any EventLoopGroup,
        metrics: any MetricsFactory = MetricsSystem.factory, logger: Logger
    ) {
        ownPeer = peer
        self.addresses = addresses
        self.limits = limits
        self.random = random
        self.eventLoopGroup = eventLoopGroup
        account = MDNSAccount(metrics)
        self.logger = logger
    }

    /// What it has sent, heard and passed over.
    public var statistics: MDNSStatistics { account.statistics }

    public func peers() -> any AsyncSequence<PeerDiscoveryEvent, any Error> {
        let machine = MDNSStateMachine(ownPeer: ownPeer, limits: limits, random: random)
        return Peers(
            driver: MDNSDriver(
                machine: machine, addresses: addresses, eventLoop: eventLoopGroup.next(), account: account,
                logger: logger))
    }

    private struct Peers: AsyncSequence {
        typealias Element = PeerDiscoveryEvent
        typealias Failure = any Error
        let driver: MDNSDriver

        func makeAsyncIterator() -> Iterator { Iterator(search: Search(driver)) }
    }

    /// Ends the search when nobody reads on.
    private final class Search: Sendable {
        let driver: MDNSDriver

        init(_ driver: MDNSDriver) {
            self.driver = driver
            driver.start()
        }

        deinit { driver.stop() }
    }

    private struct Iterator: AsyncIteratorProtocol {
        let search: Search

        func next() async throws -> PeerDiscoveryEvent? { await search.driver.next() }
    }
}
