import Metrics
import NIOConcurrencyHelpers

/// What mDNS has sent, heard and passed over.
///
/// All of it is told by metrics too: the counters `libp2p_mdns_packets_total` and `libp2p_mdns_bytes_total` (`direction`:
/// `in`, `out`) and `libp2p_mdns_limit_hits_total` (`limit`).
public struct MDNSStatistics: Sendable, Hashable, Codable {
    public var packetsSent = 0
    /// Of the messages, without the headers of IP and UDP.
    public var bytesSent = 0
    /// Those of this node among them, where the system gives them back.
    public var packetsReceived = 0
    public var bytesReceived = 0
    /// How often each limit was hit that ever was, by its name.
    public var limitHits: [String: Int] = [:]

    public init() {}
}

/// Keeps count: the only place where statistics and metrics change.
final class MDNSAccount: Sendable {
    private let totals = NIOLockedValueBox(MDNSStatistics())
    private let packetsIn, packetsOut, bytesIn, bytesOut: Counter
    private let hits: [MDNSLimit: Counter]

    init(_ factory: any MetricsFactory) {
        func counter(_ name: String, _ dimension: (String, String)) -> Counter {
            Counter(label: "libp2p_mdns_\(name)_total", dimensions: [dimension], factory: factory)
        }
        packetsIn = counter("packets", ("direction", "in"))
        packetsOut = counter("packets", ("direction", "out"))
        bytesIn = counter("bytes", ("direction", "in"))
        bytesOut = counter("bytes", ("direction", "out"))
        hits = Dictionary(
            uniqueKeysWithValues: MDNSLimit.allCases.map { ($0, counter("limit_hits", ("limit", $0.rawValue))) })
    }

    var statistics: MDNSStatistics { totals.withLockedValue { $0 } }

    func sent(bytes: Int) {
        totals.withLockedValue {
            $0.packetsSent += 1
            $0.bytesSent += bytes
        }
        packetsOut.increment()
        bytesOut.increment(by: bytes)
    }

    func received(bytes: Int) {
        totals.withLockedValue {
            $0.packetsReceived += 1
            $0.bytesReceived += bytes
        }
        packetsIn.increment()
        bytesIn.increment(by: bytes)
    }

    func hit(_ limit: MDNSLimit) {
        totals.withLockedValue { $0.limitHits[limit.rawValue, default: 0] += 1 }
        hits[limit]?.increment()
    }
}
