import NIOCore

/// The message of identify and identify push, as it is on the wire. Fields are bytes of the peer's, unchecked.
struct IdentifyMessage: Hashable {
    var publicKey: [UInt8]?
    var listenAddresses: [[UInt8]] = []
    var protocols: [[UInt8]] = []
    var observedAddress: [UInt8]?
    var protocolVersion: [UInt8]?
    var agentVersion: [UInt8]?
    var signedPeerRecord: [UInt8]?

    /// Past this size the signed record goes into a part of its own, for the sake of readers with small buffers.
    static let largestSinglePart = 2 << 10

    /// The message behind its length; or, when that would be large, in two parts.
    func framed() throws(Libp2pError) -> ByteBuffer {
        let whole = try encoded()
        var bytes = ByteBuffer()
        if whole.count > Self.largestSinglePart, signedPeerRecord != nil {
            var first = self
            first.signedPeerRecord = nil
            var second = IdentifyMessage()
            second.signedPeerRecord = signedPeerRecord
            Self.frame(try first.encoded(), into: &bytes)
            Self.frame(try second.encoded(), into: &bytes)
        } else {
            Self.frame(whole, into: &bytes)
        }
        return bytes
    }
}

/// Collects the parts of one identify message until the peer has closed its side. Pure.
struct IdentifyReader {
    let limits: SwarmLimits
    private var bytes: [UInt8] = []

    init(limits: SwarmLimits) {
        self.limits = limits
    }

    /// - Throws: ``Libp2pError/Code/limitReached`` when the peer sends too much.
    mutating func receive(_ buffer: ByteBuffer) throws(Libp2pError) {
        guard buffer.readableBytes <= limits.identifyBytes - bytes.count else {
            throw Libp2pError(
                .limitReached, "The peer's identify message is longer than \(limits.identifyBytes) bytes.")
        }
        bytes.append(contentsOf: buffer.readableBytesView)
    }

    /// The peer has sent everything: a sequence of messages, each behind its length, which are one in the end.
    func finish() throws(Libp2pError) -> IdentifyMessage {
        // The parts of a protobuf message, one behind the other, are the message.
        var body: [UInt8] = []
        var rest = bytes[...]
        var parts = 0
        while !rest.isEmpty {
            parts += 1
            guard parts <= limits.identifyParts else {
                throw Libp2pError(
                    .limitReached, "The peer's identify message has more than \(limits.identifyParts) parts.")
            }
            let (header, length) = try IdentifyMessage.frameHeader(Array(rest.prefix(16)), limits: limits)
            guard rest.count - header >= length else {
                throw Libp2pError(.protocolViolation, "The peer's identify message ends too early.")
            }
            body += rest.dropFirst(header).prefix(length)
            rest = rest.dropFirst(header + length)
        }
        guard parts > 0 else {
            throw Libp2pError(.protocolViolation, "The peer closed the identify stream without a message.")
        }
        return try IdentifyMessage(decoding: body, limits: limits)
    }
}
