import Metrics

/// The counters of a swarm. No dimension names a peer.
struct SwarmMetrics: Sendable {
    private let inbound = Gauge(label: "libp2p_connections", dimensions: [("direction", "inbound")])
    private let outbound = Gauge(label: "libp2p_connections", dimensions: [("direction", "outbound")])
    private let refused: [ConnectionLedger.Refusal: Counter]
    private let streamsRefused = Counter(label: "libp2p_streams_refused_total")
    private let handshakesFailed = Counter(label: "libp2p_handshakes_failed_total")
    private let dialsFailed = Counter(label: "libp2p_dials_failed_total")
    private let dialsRefused = Counter(label: "libp2p_dials_refused_total")
    private let identifyRefused = Counter(label: "libp2p_identify_refused_total")

    init() {
        var refused: [ConnectionLedger.Refusal: Counter] = [:]
        for reason in ConnectionLedger.Refusal.allCases {
            refused[reason] = Counter(
                label: "libp2p_connections_refused_total", dimensions: [("reason", reason.rawValue)])
        }
        self.refused = refused
    }

    func connections(inbound inboundCount: Int, outbound outboundCount: Int) {
        inbound.record(inboundCount)
        outbound.record(outboundCount)
    }

    func connectionRefused(_ reason: ConnectionLedger.Refusal) { refused[reason]?.increment() }
    func streamRefused() { streamsRefused.increment() }
    func handshakeFailed() { handshakesFailed.increment() }
    func dialFailed() { dialsFailed.increment() }
    func dialRefused() { dialsRefused.increment() }
    func identifyMessageRefused() { identifyRefused.increment() }
}
