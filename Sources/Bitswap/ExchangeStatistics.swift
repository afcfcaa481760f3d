/// What an exchange has done since it was made. Bytes are those of blocks, without framing.
public struct ExchangeStatistics: Sendable, Hashable, Codable {
    public var blocksReceived = 0
    public var bytesReceived = 0
    /// Blocks that were asked for and came a second time.
    public var duplicateBlocksReceived = 0
    public var duplicateBytesReceived = 0
    /// Blocks that nobody had asked their sender for, lying ones among them. None of them was stored.
    public var refusedBlocks = 0
    public var blocksSent = 0
    public var bytesSent = 0
    public var messagesReceived = 0
    public var messagesSent = 0
    /// Messages that were not well-formed, or passed a limit.
    public var malformedMessages = 0
    /// Wants of peers that were dropped because their ledger was full.
    public var wantsDropped = 0

    public init() {}
}
