/// What went wrong on a connection or a stream.
///
/// The set of codes grows: compare with `==` and keep a default branch.
public struct Libp2pError: Error, Sendable, CustomStringConvertible {
    /// The kind of the failure.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private let name: String

        private init(_ name: String) { self.name = name }

        public var description: String { name }

        /// Nobody answered at the address, or the transport refused it.
        public static let dialFailed = Code("dialFailed")
        /// The address leads to this node itself.
        public static let selfDial = Code("selfDial")
        /// There is no connection with the peer.
        public static let notConnected = Code("notConnected")
        /// The address cannot be listened on.
        public static let listenFailed = Code("listenFailed")
        /// The address names no transport that is spoken here.
        public static let unsupportedAddress = Code("unsupportedAddress")
        /// The security handshake failed.
        public static let handshakeFailed = Code("handshakeFailed")
        /// The peer proved another identity than was expected.
        public static let wrongPeer = Code("wrongPeer")
        /// The peer supports none of the protocols that were proposed.
        public static let protocolNotSupported = Code("protocolNotSupported")
        /// The peer broke the rules of a protocol.
        public static let protocolViolation = Code("protocolViolation")
        /// The peer reset the stream.
        public static let streamReset = Code("streamReset")
        /// The stream was reset from this side.
        public static let streamResetLocally = Code("streamResetLocally")
        /// The stream is closed, or was half-closed before the write.
        public static let streamClosed = Code("streamClosed")
        /// The connection ended, or is ending.
        public static let connectionClosed = Code("connectionClosed")
        /// The peer said that it takes no more streams.
        public static let goAway = Code("goAway")
        /// A limit of this node was reached.
        public static let limitReached = Code("limitReached")
        /// The peer did not answer in time.
        public static let timeout = Code("timeout")
        /// The node is shutting down.
        public static let shutDown = Code("shutDown")
        /// Reading from or writing to the socket failed.
        public static let transport = Code("transport")
        /// A mistake of this module.
        public static let `internal` = Code("internal")
    }

    /// The kind of the failure.
    public let code: Code
    /// What was wrong, and what to do about it where something can be done.
    public let message: String
    /// The error beneath, if there was one.
    public let underlying: (any Error)?
    /// The limit of the handshake that the peer has passed.
    let limit: HandshakeLimit?

    public init(_ code: Code, _ message: String, underlying: (any Error)? = nil) {
        self.init(code, message, underlying: underlying, limit: nil)
    }

    init(_ code: Code, _ message: String, underlying: (any Error)? = nil, limit: HandshakeLimit?) {
        self.code = code
        self.message = message
        self.underlying = underlying
        self.limit = limit
    }

    public var description: String {
        if let underlying {
            return "\(message) (\(code): \(underlying))"
        }
        return "\(message) (\(code))"
    }
}
