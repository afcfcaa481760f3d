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
    /// Bytes of memory for the wants of all peers, at 512 each and more for a digest above 32 bytes. No peer may have more of
    /// it than it leaves free, so that others find room; ``leastWantBytesPerPeer`` is always there.
    public var wantBytes = 80 << 20
    /// Bytes of memory for wants that every peer is sure of, whatever others want.
    public var leastWantBytesPerPeer = 32 << 10
    /// Bytes of memory for the subscriptions of all peers, at 768 each and more for a digest above 32 bytes. No peer may have
    /// more of it than it leaves free.
    public var subscriptionBytes = 64 << 20
    /// How long a want is kept for a block that we do not hold. It then ends in silence, when the peer next wants something;
    /// asking again begins it anew.
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
    /// Bytes of memory for messages that are coming in: those that are not whole yet, of all streams, and blocks that wait for
    /// the store. At half of it nothing more is asked for; past it the streams whose messages come slowest are reset.
    /// Counts as at least twice ``messageBytes``.
    public var incomingBytes = 40 << 20
    /// Bytes of our wantlists that peers have not taken yet, of all of them. Past it each is sent only a little at a time.
    public var wantlistBytes = 8 << 20
    /// A WANT-HAVE for a block of at most so many bytes is answered by the block itself.
    public var haveReplacedByBlockBytes = 1_024

    public init() {}

    /// Bytes of memory that all peers together can make an exchange take, whatever they do: 256 MiB by default. Each of
    /// them adds ``leastWantBytesPerPeer`` to it, once the rest is taken. What callers want is not in it.
    public var memory: Int { wantBytes + subscriptionBytes + outstandingBytes + incomingBytes + wantlistBytes }

    /// The limits of memory with ``memory`` at so many bytes, shared out among its parts as by default.
    ///
    /// - Parameter memory: at least 32 MiB count.
    public init(memory: Int) {
        let share = Double(max(memory, 32 << 20)) / Double(self.memory)
        for part in [\.wantBytes, \.subscriptionBytes, \.outstandingBytes, \.incomingBytes, \.wantlistBytes]
            as [WritableKeyPath<Self, Int>]
        {
            self[keyPath: part] = Int(Double(self[keyPath: part]) * share)
        }
        outstandingBytesPerPeer = min(
            outstandingBytesPerPeer, max(outstandingBytes / 8, minimumOutstandingBytesPerPeer))
    }
}
