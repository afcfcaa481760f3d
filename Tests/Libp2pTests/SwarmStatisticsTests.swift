import MetricsTestKit
import Multiformats
import NIOCore
import Testing

@testable import Libp2p

@Suite("Swarm: statistics", .timeLimit(.minutes(5)))
struct SwarmStatisticsTests {
    @Test("Connections are told by their direction, and gone when they are closed")
    func connections() async throws {
        try await withNodes { server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            #expect(client.swarm.statistics.outboundConnections == 1)
            #expect(client.swarm.statistics.inboundConnections == 0)
            try await until { server.swarm.statistics.inboundConnections == 1 }
            let inbound = try server.metrics.expectGauge("libp2p_connections", [("direction", "inbound")])
            #expect(inbound.lastValue == 1)
            try await connection.close().get()
            try await until { server.swarm.statistics.inboundConnections == 0 }
            try await until { inbound.lastValue == 0 }
        }
    }

    @Test("A handshake message past the limit of Noise is a hit of it")
    func noiseLimit() async throws {
        try await withNode { server in
            let address = try #require(try await server.listen().removingPeer())
            let channel = try await rawClient(to: address)
            var bytes = ByteBuffer(string: "\u{13}/multistream/1.0.0\n\u{07}/noise\n")
            bytes.writeInteger(UInt16(NoiseLimits().handshakeMessageBytes + 1))
            try await channel.writeAndFlush(bytes)
            try await until { server.swarm.statistics.handshakesFailed == 1 }
            #expect(server.swarm.statistics.noiseLimitHits == ["handshake_message_bytes": 1])
            let hits = try server.metrics.expectCounter(
                "libp2p_noise_limit_hits_total", [("limit", "handshake_message_bytes")])
            #expect(hits.totalValue == 1)
            #expect(try server.metrics.expectCounter("libp2p_handshakes_failed_total").totalValue == 1)
            try? await channel.close()
        }
    }

    @Test("More streams than Yamux allows are hits of its limit")
    func yamuxLimit() async throws {
        try await withNodes({ $0.yamux.limits.inboundStreams = 4 }) { server, client in
            let connection = try await client.swarm.connect(to: try await server.listen())
            for _ in 0..<16 {
                connection.openStream([.echo]) { _ in EchoHandler() }.whenComplete { _ in }
            }
            try await until { server.swarm.statistics.yamuxLimitHits["inbound_streams", default: 0] > 0 }
            let told = server.swarm.statistics.yamuxLimitHits["inbound_streams", default: 0]
            let hits = try server.metrics.expectCounter("libp2p_yamux_limit_hits_total", [("limit", "inbound_streams")])
            #expect(hits.totalValue >= told)
        }
    }

    @Test("Every event has its value and its metric")
    func events() throws {
        let metrics = TestMetrics()
        let account = SwarmAccount(metrics)
        for refusal in ConnectionLedger.Refusal.allCases { account.connectionRefused(refusal) }
        let limits = NoiseLimit.allCases.map(HandshakeLimit.noise) + TLSLimit.allCases.map(HandshakeLimit.tls)
        for limit in limits { account.handshakeFailed(Libp2pError(.limitReached, "", limit: limit)) }
        for limit in YamuxLimit.allCases { account.hit(limit) }
        account.handshakeFailed(Libp2pError(.timeout, ""))
        account.dialFailed()
        account.dialRefused()
        account.streamRefused()
        account.identifyMessageRefused()

        func ones<Case: CaseIterable & RawRepresentable<String>>(_: Case.Type) -> [String: Int] {
            Dictionary(uniqueKeysWithValues: Case.allCases.map { ($0.rawValue, 1) })
        }
        var wanted = SwarmStatistics()
        wanted.connectionsRefused = ones(ConnectionLedger.Refusal.self)
        wanted.noiseLimitHits = ones(NoiseLimit.self)
        wanted.tlsLimitHits = ones(TLSLimit.self)
        wanted.yamuxLimitHits = ones(YamuxLimit.self)
        wanted.handshakesFailed = 1 + limits.count
        wanted.dialsFailed = 1
        wanted.dialsRefused = 1
        wanted.streamsRefused = 1
        wanted.identifyMessagesRefused = 1
        #expect(account.statistics == wanted)
        let totals = Dictionary(grouping: metrics.counters, by: \.label).mapValues { $0.map(\.totalValue) }
        #expect(totals.values.allSatisfy { !$0.contains(0) })
        #expect(
            Set(totals.keys) == [
                "libp2p_connections_refused_total", "libp2p_noise_limit_hits_total", "libp2p_tls_limit_hits_total",
                "libp2p_yamux_limit_hits_total",
                "libp2p_handshakes_failed_total", "libp2p_dials_failed_total", "libp2p_dials_refused_total",
                "libp2p_streams_refused_total", "libp2p_identify_refused_total",
            ])
    }
}
