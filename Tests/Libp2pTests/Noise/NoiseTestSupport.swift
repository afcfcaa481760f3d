import Libp2p
import NIOCore
import NIOEmbedded
import PeerIdentity
import Testing

/// What the tests of Noise share.
enum NoiseTesting {
    /// The bytes of hexadecimal digits.
    static func hex(_ text: String) -> [UInt8] {
        let digits = text.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    static func identity(_ number: UInt8) throws -> KeyPair {
        try KeyPair(seed: [UInt8](repeating: number, count: 32))
    }

    /// Fixed keys, so that a failure repeats itself.
    static func keys(_ number: UInt8) throws -> NoiseXX.Keys {
        NoiseXX.Keys(
            staticKey: try X25519KeyPair(secretKey: [UInt8](repeating: number, count: 32)),
            ephemeralKey: try X25519KeyPair(secretKey: [UInt8](repeating: number ^ 0x80, count: 32)))
    }

    /// A protobuf field of wire type 2.
    static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        var length: [UInt8] = []
        var rest = bytes.count
        repeat {
            length.append(UInt8(rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
            rest >>= 7
        } while rest > 0
        return [number << 3 | 2] + length + bytes
    }

    /// A handshake payload, written by hand.
    static func payload(
        identity: KeyPair, staticKey: [UInt8], muxers: [String] = [], certificateHashes: [[UInt8]] = []
    ) throws -> [UInt8] {
        let extensions =
            certificateHashes.flatMap { field(1, $0) } + muxers.flatMap { field(2, Array($0.utf8)) }
        let signature = try identity.sign(Array("noise-libp2p-static-key:".utf8) + staticKey)
        return field(1, identity.publicKey.protobufBytes) + field(2, signature)
            + (extensions.isEmpty ? [] : field(4, extensions))
    }
}

extension NoiseXX {
    mutating func read(_ message: [UInt8]) throws -> [UInt8] {
        try message.withUnsafeBytes { try read($0) }
    }
}

extension NoiseHandshake {
    mutating func receive(_ message: [UInt8]) throws -> Action {
        try message.withUnsafeBytes { try receive($0) }
    }
}

extension NoiseCipherState {
    mutating func seal(_ plaintext: [UInt8]) throws -> [UInt8] {
        var sealed = [UInt8](repeating: 0, count: plaintext.count + 16)
        try sealed.withUnsafeMutableBytes { sealed in
            try plaintext.withUnsafeBytes { try self.seal($0, into: sealed) }
        }
        return sealed
    }

    mutating func open(_ sealed: [UInt8]) throws -> [UInt8] {
        var plaintext = [UInt8](repeating: 0, count: max(0, sealed.count - 16))
        try plaintext.withUnsafeMutableBytes { plaintext in
            try sealed.withUnsafeBytes { try self.open($0, into: plaintext) }
        }
        return plaintext
    }
}

/// Expects that `body` throws a `Libp2pError` of this code, and returns it.
@discardableResult
func expectNoiseError(
    _ code: Libp2pError.Code, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
) -> Libp2pError? {
    let error = #expect(throws: Libp2pError.self, comment, sourceLocation: sourceLocation) { try body() }
    #expect(error?.code == code, comment, sourceLocation: sourceLocation)
    return error
}

/// The end of a pipeline: keeps what reaches it.
final class NoiseRecorder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    var pieces: [ByteBuffer] = []
    var completed: [HandshakeCompleted] = []
    var errors: [Libp2pError] = []
    var isInactive = false
    /// What arrived first, in words.
    var log: [String] = []
    var onCompleted: ((ChannelHandlerContext) -> Void)?

    var bytes: [UInt8] { pieces.flatMap { [UInt8]($0.readableBytesView) } }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        pieces.append(unwrapInboundIn(data))
        log.append("bytes")
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? HandshakeCompleted {
            completed.append(event)
            log.append("completed")
            onCompleted?(context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? Libp2pError { errors.append(error) }
        log.append("error")
    }

    func channelInactive(context: ChannelHandlerContext) {
        isInactive = true
        log.append("inactive")
    }
}

/// One end of a connection in memory.
final class NoiseEnd {
    let channel: EmbeddedChannel
    let recorder = NoiseRecorder()

    init(_ handler: NoiseHandler) throws {
        channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandlers([handler, recorder])
    }

    convenience init(
        _ role: NoiseRole, identity: UInt8, expecting peer: PeerID? = nil, muxers: [ProtocolID] = [],
        limits: NoiseLimits = NoiseLimits()
    ) throws {
        try self.init(
            NoiseHandler(
                identity: NoiseTesting.identity(identity), role: role, expectedPeer: peer, muxers: muxers,
                limits: limits,
                keys: NoiseTesting.keys(identity)))
    }

    func activate() throws {
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    /// What it has put on the wire since the last call, one piece for each socket write.
    func sentPieces() throws -> [ByteBuffer] {
        var pieces: [ByteBuffer] = []
        while let piece = try channel.readOutbound(as: ByteBuffer.self) { pieces.append(piece) }
        return pieces
    }

    func sent() throws -> [UInt8] { try sentPieces().flatMap { [UInt8]($0.readableBytesView) } }

    func receive(_ bytes: [UInt8]) throws {
        guard channel.isActive else { return }
        try channel.writeInbound(ByteBuffer(bytes: bytes))
    }

    /// The lengths of the Noise messages in `bytes`.
    static func messageLengths(_ bytes: [UInt8]) -> [Int] {
        var lengths: [Int] = []
        var rest = bytes[...]
        while rest.count >= 2 {
            let length = Int(rest[rest.startIndex]) << 8 | Int(rest[rest.startIndex + 1])
            lengths.append(length)
            rest = rest.dropFirst(2 + length)
        }
        return lengths
    }
}

/// Two ends, glued.
struct NoisePair {
    let initiator: NoiseEnd
    let responder: NoiseEnd

    init(_ initiator: NoiseEnd, _ responder: NoiseEnd) {
        self.initiator = initiator
        self.responder = responder
    }

    /// Two ends that expect each other.
    static func standard(
        initiatorMuxers: [ProtocolID] = [], responderMuxers: [ProtocolID] = [], limits: NoiseLimits = NoiseLimits()
    ) throws -> NoisePair {
        NoisePair(
            try NoiseEnd(
                .initiator, identity: 1, expecting: NoiseTesting.identity(2).peerID, muxers: initiatorMuxers,
                limits: limits),
            try NoiseEnd(.responder, identity: 2, muxers: responderMuxers, limits: limits))
    }

    /// The same after a successful handshake.
    static func established(limits: NoiseLimits = NoiseLimits()) throws -> NoisePair {
        let pair = try standard(limits: limits)
        try pair.activate()
        try pair.exchange()
        try #require(pair.initiator.recorder.completed.count == 1)
        try #require(pair.responder.recorder.completed.count == 1)
        return pair
    }

    func activate() throws {
        try responder.activate()
        try initiator.activate()
    }

    /// Carries bytes both ways until both are quiet, cut into pieces of `pieceLength`.
    func exchange(pieceLength: Int = .max) throws {
        var isQuiet = false
        while !isQuiet {
            isQuiet = true
            for (sender, receiver) in [(initiator, responder), (responder, initiator)] {
                let bytes = try sender.sent()
                var rest = bytes[...]
                while !rest.isEmpty {
                    isQuiet = false
                    try receiver.receive(Array(rest.prefix(pieceLength)))
                    rest = rest.dropFirst(pieceLength)
                }
            }
        }
    }
}
