/// Bounds on what neighbours can make mDNS do and hold. What is past a limit is passed over and counted in the metrics, and
/// disturbs nothing that is known.
public struct MDNSLimits: Sendable, Hashable {
    /// Bytes of a message (RFC 6762, section 17).
    public var messageBytes = 9_000
    /// Questions in a message.
    public var questionsPerMessage = 64
    /// Records in a message, over all sections.
    public var recordsPerMessage = 512
    /// Names of peers that are known, over all interfaces.
    public var names = 1_024
    /// Of these, names that one IP address has told of.
    public var namesPerSource = 128
    /// Addresses kept for one name.
    public var addressesPerName = 16
    /// Addresses that are announced on one interface.
    public var ownAddresses = 32
    /// Neighbours whose known answers can take back an answer that is due. With more of them it is given in any case.
    public var askersPerAnswer = 64
    /// Messages that carry the known answers of one query.
    public var messagesPerQuery = 16
    /// Answers to one asker alone that are sent within a second.
    public var unicastAnswersPerSecond = 20
    /// Seconds that a record is believed at most.
    public var lifetimeSeconds: UInt32 = 4_500

    /// The defaults.
    public init() {}
}

/// Why something of a neighbour's was passed over. The raw value is the dimension of the metric.
enum MDNSLimit: String, CaseIterable, Sendable {
    /// The message is none, or holds too much.
    case malformed
    /// It came from outside the networks of the interface, or an answer came from another port.
    case offLink = "off_link"
    case names
    case namesPerSource = "names_per_source"
    case addressesPerName = "addresses_per_name"
    /// An address outside the networks of the interface, or one that this node cannot dial.
    case address
    case unicastAnswers = "unicast_answers"
    /// A goodbye for a name that another address has told of.
    case goodbye
}

/// When mDNS speaks. Tests may shorten it.
struct MDNSTiming: Sendable {
    /// Seconds that our records are good for. A query and an answer a peer in this time keep everybody informed.
    var lifetimeSeconds: UInt32 = 600
    /// So long our first query waits, at most.
    var firstQueryDelay = Duration.milliseconds(20)
    /// From the first to the second query; each time twice as long up to ``longestQueryInterval``.
    var queryInterval = Duration.seconds(1)
    var longestQueryInterval = Duration.seconds(3_600)
    /// Where so many names are known, who has asked twice asks no more until they are about to run out.
    var manyNames = 32
    /// An answer waits for others to be sent with it, or for a known answer that takes it back.
    var answerDelay = Duration.milliseconds(20)...Duration.milliseconds(120)
    /// The same when more known answers are announced.
    var answerDelayForMore = Duration.milliseconds(400)...Duration.milliseconds(500)
    /// Between two answers to everybody on one link.
    var answerInterval = Duration.seconds(1)
    /// Between the announcements of a new address, and their number.
    var announcementInterval = Duration.seconds(1)
    var announcements = 2
}
