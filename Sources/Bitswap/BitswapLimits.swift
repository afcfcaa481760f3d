/// Every length, count and queue of the exchange that a peer can influence.
///
/// The defaults are those a public node can live with.
public struct BitswapLimits: Sendable, Hashable {
    /// Bytes of one incoming message, its length prefix not counted. Peers send at most 4 MiB.
    public var messageBytes = 4 << 20
    /// Bytes of one block that is accepted from a peer. Larger ones are refused, as by every other implementation.
    public var blockBytes = 2 << 20
    /// Entries of one incoming wantlist message; those past it make the message malformed.
    public var entriesPerMessage = 65_536
    /// Blocks of one incoming message.
    public var blocksPerMessage = 65_536
    /// Bytes of a CID in an incoming message; a longer one makes the message malformed. Kubo knows none past 168.
    public var cidBytes = 512
    /// Bytes of the prefix of a block's CID.
    public var prefixBytes = 64
    /// Wants of one peer that wait for their look-up or for their turn. One more takes the place of the one with the lowest
    /// priority, if its own is higher, or is dropped.
    public var wantsPerPeer = 16_384
    /// Wants of one peer that are kept for blocks that we do not hold, in case they come. One more takes the place of the
    /// one with the lowest priority, if its own is higher, or is only answered with DONT_HAVE, if it asks for that.
    public var subscriptionsPerPeer = 8_192
    /// The same over all peers. No peer may have more of them than are left free, so that others find room.
    public var subscriptions = 131_072
    /// How long a want is kept for a block that we do not hold. It then ends in silence; asking again begins it anew.
    public var subscriptionLifetime: Duration = .seconds(600)
    /// Wants that we keep outstanding at one peer. Kubo drops wants past 1,024, in no order.
    public var outstandingWantsPerPeer = 1_024
    /// Bytes of blocks that one peer may owe us at once; how many it does depends on what it delivers.
    public var requestWindow = 16 << 20
    /// Bytes of blocks that a peer may owe us of which nothing is known yet.
    public var initialRequestWindow = 1 << 20
    /// Blocks of one ``BlockSequence`` that are wanted at the same time.
    public var wantsPerSequence = 4_096
    /// Peers that are asked for one block before any of them has answered.
    public var questionsPerWant = 64
    /// Questions of one session that a peer may leave unanswered that has not been of use to it.
    public var unansweredQuestions = 16
    /// Peers of which a session remembers how useful they were.
    public var peersPerSession = 256
    /// Peers of which is remembered what they have delivered, when they are not connected.
    public var rememberedPeers = 4_096
    /// Addresses that are remembered of a peer.
    public var addressesPerPeer = 16
    /// Blocks whose providers the content router is asked for at the same time.
    public var concurrentSearches = 16
    /// Bytes of answers to one peer that are under way: being put together, or written and not yet taken by the socket. The
    /// window of a peer adapts to what it drains, up to this. A message goes past it only alone.
    public var outstandingBytesPerPeer = 4 << 20
    /// What the window of a peer begins with.
    public var initialOutstandingBytesPerPeer = 256 << 10
    /// What the window of a peer comes down to when it drains next to nothing.
    public var minimumOutstandingBytesPerPeer = 64 << 10
    /// Bytes of answers under way to all peers. Past it, who wants to send waits.
    public var outstandingBytes = 64 << 20
    /// How long a peer may drain nothing while others wait for the memory of what is under way to it. Then its stream is
    /// reset, and what it wanted forgotten.
    public var drainTimeout: Duration = .seconds(2)
    /// Bytes that one response message aims at, to a peer that drains fast; a larger block goes alone.
    public var responseBytes = 1 << 20
    /// Received bytes of one stream that are not yet stored; past it the stream's window stays shut.
    public var unstoredBytesPerStream = 4 << 20
    /// A WANT-HAVE for a block of at most so many bytes is answered by the block itself.
    public var haveReplacedByBlockBytes = 1_024

    public init() {}
}
