import Metrics
import NIOConcurrencyHelpers

/// Keeps count of what a swarm does: the only place where its statistics and its metrics change.
final class SwarmAccount: Sendable {
    private let totals = NIOLockedValueBox(SwarmStatistics())
    private let metrics: SwarmMetrics

    init(_ factory: any MetricsFactory) { metrics = SwarmMetrics(factory) }

    var statistics: SwarmStatistics { totals.withLockedValue { $0 } }

    func connections(inbound: Int, outbound: Int) {
        totals.withLockedValue {
            $0.inboundConnections = inbound
            $0.outboundConnections = outbound
        }
        metrics.inbound.record(inbound)
        metrics.outbound.record(outbound)
    }

    func connectionRefused(_ reason: ConnectionLedger.Refusal) {
        totals.withLockedValue { $0.connectionsRefused[reason.rawValue, default: 0] += 1 }
        metrics.connectionsRefused[reason]?.increment()
    }

    func streamRefused() {
        totals.withLockedValue { $0.streamsRefused += 1 }
        metrics.streamsRefused.increment()
    }

    func handshakeFailed(_ error: Libp2pError) {
        totals.withLockedValue { $0.handshakesFailed += 1 }
        metrics.handshakesFailed.increment()
        switch error.limit {
        case .noise(let limit):
            totals.withLockedValue { $0.noiseLimitHits[limit.rawValue, default: 0] += 1 }
            metrics.noiseLimitHits[limit]?.increment()
        case .tls(let limit):
            totals.withLockedValue { $0.tlsLimitHits[limit.rawValue, default: 0] += 1 }
            metrics.tlsLimitHits[limit]?.increment()
        case nil:
            break
        }
    }

    func dialFailed() {
        totals.withLockedValue { $0.dialsFailed += 1 }
        metrics.dialsFailed.increment()
    }

    func dialRefused() {
        totals.withLockedValue { $0.dialsRefused += 1 }
        metrics.dialsRefused.increment()
    }

    func identifyMessageRefused() {
        totals.withLockedValue { $0.identifyMessagesRefused += 1 }
        metrics.identifyRefused.increment()
    }

    func hit(_ limit: YamuxLimit) {
        totals.withLockedValue { $0.yamuxLimitHits[limit.rawValue, default: 0] += 1 }
        metrics.yamuxLimitHits[limit]?.increment()
    }
}
