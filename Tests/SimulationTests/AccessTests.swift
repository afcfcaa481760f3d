import Bitswap
import Blockstore
import Multiformats
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

/// What a peer sees of blocks that it is denied, beside what it sees of blocks that are not there.
@Suite(.timeLimit(.minutes(5))) struct AccessTests {
    /// How the same script finds the secret blocks.
    enum World: CaseIterable, Sendable {
        /// They are not there, and never come.
        case absent
        /// They are there from the start, and denied.
        case held
        /// They are denied, and come when they are wanted already.
        case putLater
        /// They are there, denied, and deleted and put again in the middle.
        case replaced
        /// They are there, and served.
        case served
    }

    struct Heard: Sendable, Equatable {
        var time: Duration
        var frame: ByteBuffer
    }

    private static let secrets = [64, 900, 5_000, 5_000, 70_000, 200].enumerated().map { index, bytes in
        madeUpBlocks(1, bytes: bytes, seed: 100 + UInt64(index))[0]
    }
    private static let open = madeUpBlocks(3, bytes: 3_000, seed: 7)
    private static let late = madeUpBlocks(1, bytes: 4_000, seed: 8)[0]

    /// Everything that comes to a peer that asks in all ways there are, and when; and how often limits were hit.
    private static func transcript(
        _ world: World, version: BitswapVersion, denyingPeer: Bool = false
    ) async throws -> ([Heard], ExchangeStatistics) {
        try await Simulation.run(seed: 1) { simulation in
            let peer = simulation.scriptedPeer(version: version)
            var configuration = Exchange.Configuration()
            // So few that the secret ones do not all find room.
            configuration.limits.subscriptionsPerPeer = 4
            if world != .absent, world != .served {
                if denyingPeer {
                    configuration.access.deniedPeers = [peer.id]
                } else {
                    configuration.access.deny(secrets.map(\.cid))
                }
            }
            let server = simulation.node(configuration: configuration)
            // The store of the absent is an empty one where the peer is denied everything.
            let isEmpty = denyingPeer && world == .absent
            if !isEmpty { try await server.store.put(open) }
            if [.held, .replaced, .served].contains(world) { try await server.store.put(secrets) }
            simulation.connect(server, peer, LinkProperties(latency: .milliseconds(20), bandwidth: 1_000_000))

            let heard = NIOLockedValueBox<[Heard]>([])
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await received in peer.received {
                        heard.withLockedValue { $0.append(Heard(time: simulation.now, frame: received.frame)) }
                    }
                }
                try await play(world, isEmpty: isEmpty, server, peer, simulation)
                group.cancelAll()
            }
            return (heard.withLockedValue { $0 }, server.exchange.statistics)
        }
    }

    private static func play(
        _ world: World, isEmpty: Bool, _ server: SimulatedNode, _ peer: ScriptedPeer, _ simulation: Simulation
    ) async throws {
        typealias Want = WireMessage.Want

        func ask(_ wants: [Want], isFull: Bool = false) async throws {
            var message = WireMessage()
            message.wants = wants
            message.isFull = isFull
            try peer.send(message, to: server)
            try await simulation.settle()
        }

        try await ask(secrets.prefix(2).map { Want($0.cid, .have) } + [Want(open[0].cid, .have)])
        try await ask(
            secrets.enumerated().map { Want($1.cid, .block, priority: Int32($0), sendDontHave: $0.isMultiple(of: 2)) }
                + [Want(open[1].cid)])
        if world == .putLater {
            try await server.store.put(secrets)
            server.exchange.offer(secrets)
            server.exchange.offer(secrets)
        }
        if world == .replaced {
            for secret in secrets { _ = try await server.store.delete(secret.cid.multihash) }
            try await server.store.put(secrets)
            server.exchange.offer(secrets)
        }
        try await simulation.settle()
        try await ask(secrets.map { Want($0.cid, .have) })
        try await ask(secrets.map { Want($0.cid, .block, priority: 9, sendDontHave: false) } + [Want(late.cid)])
        try await ask([Want(secrets[0].cid, .cancel), Want(secrets[5].cid)])
        try await ask([Want(secrets[1].cid), Want(late.cid, priority: 99), Want(open[2].cid)], isFull: true)
        if world != .absent, world != .served { server.exchange.offer(secrets) }
        if !isEmpty {
            try await server.store.put(late)
            server.exchange.offer([late])
        }
        try await simulation.settle()
        try await simulation.sleep(for: BitswapLimits().subscriptionLifetime)
        try await ask([Want(secrets[1].cid), Want(secrets[2].cid, .have)])
    }

    @Test(arguments: [BitswapVersion.v1_2_0, .v1_1_0])
    func aDeniedBlockLooksLikeAnAbsentOne(_ version: BitswapVersion) async throws {
        let (absent, statistics) = try await Self.transcript(.absent, version: version)
        let messages = try absent.map { try #require(WireMessage(frame: $0.frame)) }
        #expect(messages.flatMap(\.blocks).map(\.data).contains(Self.late.bytes))
        #expect(messages.flatMap(\.presences).contains { !$0.has } == (version == .v1_2_0))
        #expect(statistics.limitHits["subscriptionsPerPeer", default: 0] > 0)
        #expect(statistics.wantsDenied == 0)
        for world in [World.held, .putLater, .replaced] {
            let (denied, found) = try await Self.transcript(world, version: version)
            #expect(denied == absent, "\(world)")
            #expect(found.limitHits == statistics.limitHits, "\(world)")
            #expect(found.wantsDenied > 0)
        }
        // That the script would find a difference.
        #expect(try await Self.transcript(.served, version: version).0 != absent)
    }

    @Test(arguments: [BitswapVersion.v1_2_0, .v1_1_0])
    func toADeniedPeerAStoreLooksEmpty(_ version: BitswapVersion) async throws {
        let (absent, _) = try await Self.transcript(.absent, version: version, denyingPeer: true)
        for world in [World.held, .putLater, .replaced] {
            #expect(try await Self.transcript(world, version: version, denyingPeer: true).0 == absent, "\(world)")
        }
        #expect(absent.isEmpty == (version == .v1_1_0))
    }
}
