public import PeerIdentity

/// Why a want did not end in a block, or why the exchange could not do its work.
public struct ExchangeError: Error, Sendable, CustomStringConvertible {
    /// What went wrong; more may be added, so a `switch` over it needs a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String
        /// Each peer that may be asked has said that it does not have the block, has sent other bytes or cannot be reached;
        /// or none may be asked.
        public static let notFound = Code(description: "not found")
        /// No peer gave the block in the time allowed.
        public static let timedOut = Code(description: "timed out")
        /// The calling task was cancelled, or the session of the want has ended.
        public static let cancelled = Code(description: "cancelled")
        /// The store could not be read, did not take a block that came, or lost it before it was read; `underlying`
        /// says why, if the store did.
        public static let storeFailed = Code(description: "store failed")
        /// ``Exchange/run()`` has ended, before or during the want. Of a network: there is no connection with the peer,
        /// or it does not dial.
        public static let stopped = Code(description: "stopped")
        /// The CID names a hash function or a length that is not accepted from peers.
        public static let unsupportedCID = Code(description: "unsupported CID")
        /// A message from a peer was not well-formed, or passed a limit.
        public static let malformedMessage = Code(description: "malformed message")
        /// A text is no ``ProtocolPrefix``.
        public static let invalidProtocolPrefix = Code(description: "invalid protocol prefix")
    }

    /// What went wrong.
    public let code: Code
    /// What was wrong, and what to do about it where something can be done.
    public let message: String
    /// The error beneath, if there was one.
    public let underlying: (any Error)?
    /// What each peer that was asked for the block had answered by then.
    public let answers: [PeerID: PeerAnswer]
    /// The limit that a message from a peer has passed.
    let limit: BitswapLimit?

    init(
        _ code: Code, _ message: String, underlying: (any Error)? = nil, answers: [PeerID: PeerAnswer] = [:],
        limit: BitswapLimit? = nil
    ) {
        self.code = code
        self.message = message
        self.underlying = underlying
        self.answers = answers
        self.limit = limit
    }

    public var description: String {
        var text = message
        if !answers.isEmpty {
            let list = answers.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            text += " (\(list.joined(separator: "; ")))"
        }
        if let underlying { text += ": \(underlying)" }
        return text
    }
}

/// What a peer has said so far of a block it was asked for.
public enum PeerAnswer: Sendable, Hashable, CustomStringConvertible {
    /// The want waits for its turn to be sent.
    case notYetAsked
    /// Asked; nothing came back.
    case silent
    /// It says that it has the block, and was not asked for it yet or has not sent it yet.
    case have
    case dontHave
    /// It sent bytes that are not the block, or that nobody had asked it for.
    case sentOtherBytes
    /// It went away before it answered.
    case disconnected
    /// It could not be connected to.
    case unreachable

    public var description: String {
        switch self {
        case .notYetAsked: "was not asked yet"
        case .silent: "did not answer"
        case .have: "said HAVE but sent no block"
        case .dontHave: "said DONT_HAVE"
        case .sentOtherBytes: "sent bytes that do not match what was asked for"
        case .disconnected: "disconnected"
        case .unreachable: "could not be reached"
        }
    }
}
