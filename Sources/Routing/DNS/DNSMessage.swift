/// A DNS message (RFC 1035, section 4), as far as mDNS and TXT look-ups need it.
struct DNSMessage: Equatable, Sendable {
    var id: UInt16 = 0
    var flags: UInt16 = 0
    var questions: [DNSQuestion] = []
    var answers: [DNSRecord] = []
    var additionals: [DNSRecord] = []

    static let responseFlag: UInt16 = 0x8000
    static let authoritativeFlag: UInt16 = 0x0400
    static let truncatedFlag: UInt16 = 0x0200
    private static let operationAndResult: UInt16 = 0x780F

    var isResponse: Bool { flags & Self.responseFlag != 0 }
    /// More known answers follow in another message (RFC 6762, section 7.2).
    var isTruncated: Bool { flags & Self.truncatedFlag != 0 }
    /// Neither another operation than a query nor an error; all others are passed over (RFC 6762, section 18).
    var isPlain: Bool { flags & Self.operationAndResult == 0 }
}

struct DNSQuestion: Equatable, Sendable {
    var name: DNSName
    var type: DNSType
    /// The top bit of the class: an answer to the asker alone will do (RFC 6762, section 5.4).
    var wantsUnicast = false
}

struct DNSRecord: Equatable, Sendable {
    enum Content: Equatable, Sendable {
        case pointer(DNSName)
        /// Strings of at most 255 bytes.
        case text([[UInt8]])
        case service(port: UInt16, host: DNSName)
        case ip4(UInt32)
        case ip6(high: UInt64, low: UInt64)
        case other
    }

    var name: DNSName
    var type: DNSType
    /// The top bit of the class: what else is known under this name and type is outdated (RFC 6762, section 10.2).
    var replacesOthers = false
    /// For so many seconds.
    var lifetime: UInt32
    var content: Content
}

struct DNSType: RawRepresentable, Hashable, Sendable {
    let rawValue: UInt16

    static let ip4 = DNSType(rawValue: 1)
    static let pointer = DNSType(rawValue: 12)
    static let text = DNSType(rawValue: 16)
    static let ip6 = DNSType(rawValue: 28)
    static let service = DNSType(rawValue: 33)
    static let any = DNSType(rawValue: 255)
}

/// What is wrong with the bytes of a message.
enum DNSError: Error, Hashable {
    /// The bytes end within something, or a length says more than there is.
    case truncated
    /// A name is too long, or a pointer in it does not lead back to something before it.
    case invalidName
    /// The data of a record are not what its type says.
    case invalidRecord
    /// More questions or records than ``DNSLimits`` allows.
    case tooMany
}

/// Bounds on what a message may make a reader do.
struct DNSLimits: Sendable, Hashable {
    var messageBytes = 9_000
    var questions = 64
    /// Over all sections.
    var records = 512
}
