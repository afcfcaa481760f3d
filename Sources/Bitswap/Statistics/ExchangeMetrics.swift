import Metrics

/// The metrics of one exchange, made once. No dimension names a peer or a block.
struct ExchangeMetrics: Sendable {
    let blocksReceived, blockBytesReceived, duplicateBlocksReceived, duplicateBlockBytesReceived, blocksRefused: Counter
    let blocksSent, blockBytesSent: Counter
    let wantBlocksSent, wantHavesSent, cancelsSent, wantlistBytesSent: Counter
    let wantBlocksReceived, wantHavesReceived, cancelsReceived, wantsDropped, wantsDenied: Counter
    let havesReceived, dontHavesReceived, havesSent, dontHavesSent: Counter
    let messagesReceived, messagesSent, messagesMalformed: Counter
    let limitHits: [BitswapLimit: Counter]
    let incomingMessages, outgoingMessages: Recorder
    let queueWait, timeToBlock: Timer
    let peers, wants: Meter

    init(_ factory: any MetricsFactory) {
        func counter(_ name: String, _ dimensions: [(String, String)] = []) -> Counter {
            Counter(label: "bitswap_\(name)_total", dimensions: dimensions, factory: factory)
        }
        blocksReceived = counter("blocks_received")
        blockBytesReceived = counter("block_bytes_received")
        duplicateBlocksReceived = counter("duplicate_blocks_received")
        duplicateBlockBytesReceived = counter("duplicate_block_bytes_received")
        blocksRefused = counter("blocks_refused")
        blocksSent = counter("blocks_sent")
        blockBytesSent = counter("block_bytes_sent")
        wantBlocksSent = counter("wants_sent", [("type", "block")])
        wantHavesSent = counter("wants_sent", [("type", "have")])
        cancelsSent = counter("cancels_sent")
        wantlistBytesSent = counter("wantlist_bytes_sent")
        wantBlocksReceived = counter("wants_received", [("type", "block")])
        wantHavesReceived = counter("wants_received", [("type", "have")])
        cancelsReceived = counter("cancels_received")
        wantsDropped = counter("wants_dropped")
        wantsDenied = counter("wants_denied")
        havesReceived = counter("presences_received", [("type", "have")])
        dontHavesReceived = counter("presences_received", [("type", "dont_have")])
        havesSent = counter("presences_sent", [("type", "have")])
        dontHavesSent = counter("presences_sent", [("type", "dont_have")])
        messagesReceived = counter("messages_received")
        messagesSent = counter("messages_sent")
        messagesMalformed = counter("messages_malformed")
        limitHits = Dictionary(
            uniqueKeysWithValues: BitswapLimit.allCases.map { ($0, counter("limit_hits", [("limit", $0.rawValue)])) })
        incomingMessages = Recorder(label: "bitswap_message_received_bytes", factory: factory)
        outgoingMessages = Recorder(label: "bitswap_message_sent_bytes", factory: factory)
        queueWait = Timer(label: "bitswap_queue_wait_seconds", factory: factory)
        timeToBlock = Timer(label: "bitswap_time_to_block_seconds", factory: factory)
        peers = Meter(label: "bitswap_peers", factory: factory)
        wants = Meter(label: "bitswap_wants", factory: factory)
    }
}

extension Counter {
    /// Nothing is told to the backend of nothing.
    func add(_ number: Int) {
        if number > 0 { increment(by: number) }
    }
}
