/// What an exchange has done since it was made. Bytes of blocks are without framing.
///
/// All of it is told by metrics too, which all begin with `bitswap_`:
///
/// - counters: `blocks_received_total`, `block_bytes_received_total`, `duplicate_blocks_received_total`,
///   `duplicate_block_bytes_received_total`, `blocks_refused_total`, `blocks_sent_total`, `block_bytes_sent_total`,
///   `wants_sent_total` and `wants_received_total` (`type`: `block`, `have`), `cancels_sent_total`,
///   `cancels_received_total`, `presences_sent_total` and `presences_received_total` (`type`: `have`, `dont_have`),
///   `wantlist_bytes_sent_total`, `wants_dropped_total`, `wants_denied_total`, `messages_received_total`,
///   `messages_sent_total`, `messages_malformed_total`, `limit_hits_total` (`limit`: a member of ``BitswapLimits``);
/// - histograms: `message_received_bytes`, `message_sent_bytes`, `queue_wait_seconds`, `time_to_block_seconds`;
/// - levels: `peers` (connected), `wants` (calls that wait for a block).
public struct ExchangeStatistics: Sendable, Hashable, Codable {
    // Blocks.

    /// Blocks that were asked for and came, the first time.
    public var blocksReceived = 0
    public var bytesReceived = 0
    /// Blocks that were asked for and came a second time.
    public var duplicateBlocksReceived = 0
    public var duplicateBytesReceived = 0
    /// Blocks that nobody had asked their sender for, lying ones among them. None of them was stored.
    public var refusedBlocks = 0
    /// Blocks sent to peers and taken by the transport.
    public var blocksSent = 0
    public var bytesSent = 0

    // Our wants.

    /// WANT-BLOCK entries that peers were sent; the same one counts each time.
    public var wantBlocksSent = 0
    /// WANT-HAVE entries that peers were sent.
    public var wantHavesSent = 0
    /// CANCEL entries sent.
    public var cancelsSent = 0
    /// Bytes of the messages with our wantlists.
    public var wantlistBytesSent = 0
    /// HAVE entries received.
    public var havesReceived = 0
    /// DONT_HAVE entries received.
    public var dontHavesReceived = 0
    /// Microseconds from the first call for a block, which the store did not have, to its being fetched and stored.
    public var timeToBlock = Histogram()

    // The wants of peers.

    /// WANT-BLOCK entries received.
    public var wantBlocksReceived = 0
    /// WANT-HAVE entries received.
    public var wantHavesReceived = 0
    /// CANCEL entries received.
    public var cancelsReceived = 0
    /// HAVE entries sent.
    public var havesSent = 0
    /// DONT_HAVE entries sent.
    public var dontHavesSent = 0
    /// Wants of peers that were dropped because there was no room for them.
    public var wantsDropped = 0
    /// Wants of peers that the ``AccessPolicy`` denied or ignored; the same one counts each time that it is looked up.
    public var wantsDenied = 0
    /// Microseconds from a peer's want to its answer being written. For a block that came into the store after it was
    /// wanted: from when it came.
    public var queueWait = Histogram()

    // Messages.

    /// Bytes of the messages received, without their length prefixes.
    public var incomingMessages = Histogram()
    /// Bytes of the messages sent, with their length prefixes.
    public var outgoingMessages = Histogram()
    /// Messages that were not well-formed, or passed a limit.
    public var malformedMessages = 0
    /// How often each limit was hit that ever was, by its name in ``BitswapLimits``.
    public var limitHits: [String: Int] = [:]

    public init() {}

    public var messagesReceived: Int { incomingMessages.count }
    public var messagesSent: Int { outgoingMessages.count }

    /// The part of the bytes of blocks received that came in vain, 0 to 1; nil when none came.
    public var duplicateShare: Double? {
        let bytes = bytesReceived + duplicateBytesReceived
        return bytes == 0 ? nil : Double(duplicateBytesReceived) / Double(bytes)
    }
    /// WANT-BLOCK and WANT-HAVE entries sent for each block received; nil when none was.
    public var wantsSentPerBlock: Double? { perBlock(wantBlocksSent + wantHavesSent) }
    /// Bytes of wantlists sent for each block received; nil when none was.
    public var wantlistBytesPerBlock: Double? { perBlock(wantlistBytesSent) }

    private func perBlock(_ number: Int) -> Double? {
        blocksReceived == 0 ? nil : Double(number) / Double(blocksReceived)
    }
}
