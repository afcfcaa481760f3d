import Metrics

/// The metrics of a swarm, made once. No dimension names a peer.
struct SwarmMetrics: Sendable {
    let inbound, outbound: Gauge
    let connectionsRefused: [ConnectionLedger.Refusal: Counter]
    let streamsRefused, handshakesFailed, dialsFailed, dialsRefused, identifyRefused: Counter
    let noiseLimitHits: [NoiseLimit: Counter]
    let tlsLimitHits: [TLSLimit: Counter]
    let yamuxLimitHits: [YamuxLimit: Counter]

    init(_ factory: any MetricsFactory) {
        func gauge(_ direction: String) -> Gauge {
            Gauge(label: "libp2p_connections", dimensions: [("direction", direction)], factory: factory)
        }
        func counter(_ name: String) -> Counter { Counter(label: "libp2p_\(name)_total", factory: factory) }
        /// One counter for each case, told apart by a dimension.
        func counters<Case: CaseIterable & RawRepresentable<String> & Hashable>(
            _ name: String, by dimension: String, of: Case.Type
        ) -> [Case: Counter] {
            Dictionary(
                uniqueKeysWithValues: Case.allCases.map {
                    (
                        $0,
                        Counter(
                            label: "libp2p_\(name)_total", dimensions: [(dimension, $0.rawValue)], factory: factory)
                    )
                })
        }
        inbound = gauge("inbound")
        outbound = gauge("outbound")
        connectionsRefused = counters("connections_refused", by: "reason", of: ConnectionLedger.Refusal.self)
        streamsRefused = counter("streams_refused")
        handshakesFailed = counter("handshakes_failed")
        dialsFailed = counter("dials_failed")
        dialsRefused = counter("dials_refused")
        identifyRefused = counter("identify_refused")
        noiseLimitHits = counters("noise_limit_hits", by: "limit", of: NoiseLimit.self)
        tlsLimitHits = counters("tls_limit_hits", by: "limit", of: TLSLimit.self)
        yamuxLimitHits = counters("yamux_limit_hits", by: "limit", of: YamuxLimit.self)
    }
}
