/// The members of ``BitswapLimits`` by name, for counting how often each is hit. The raw value is the dimension of the
/// metric and the key in ``ExchangeStatistics/limitHits``.
enum BitswapLimit: String, Hashable, Sendable, CaseIterable {
    case messageBytes
    case blockBytes
    case entriesPerMessage
    case blocksPerMessage
    case cidBytes
    case prefixBytes
    case wantsPerPeer
    case subscriptionsPerPeer
    case wantBytes
    case subscriptionBytes
    case subscriptionLifetime
    case outstandingWantsPerPeer
    case outstandingBytesPerPeer
    case outstandingBytes
    case drainTimeout
    case unstoredBytesPerStream
    case incomingBytes
    case wantlistBytes
}
