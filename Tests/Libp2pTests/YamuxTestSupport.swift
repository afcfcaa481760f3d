import NIOCore
import NIOEmbedded
import PeerIdentity
import TestSupport

@testable import Libp2p

let echo: ProtocolID = "/echo/1.0.0"

let yamuxTestPeer: PeerID = {
    // From the libp2p specification of peer IDs.
    guard let peer = try? PeerID("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N") else {
        preconditionFailure("a valid peer ID")
    }
    return peer
}()

/// A stream handler that writes down what happens, with hooks for what a test wants done.
final class RecordingHandler: StreamHandler {
    enum Event: Equatable {
        case opened
        case bytes([UInt8])
        case writable
        case ended
        case closed(Libp2pError.Code?)
    }

    var events: [Event] = []
    var stream: Stream?
    var received = ByteBuffer()
    /// Consume at once; otherwise the test does.
    var consumes = true
    var onOpened: ((Stream) -> Void)?
    var onBytes: ((Stream, ByteBuffer) -> Void)?
    var onWritable: ((Stream) -> Void)?
    var onEnded: ((Stream) -> Void)?
    var onClosed: ((Stream) -> Void)?

    var closedCount: Int { events.count { if case .closed = $0 { true } else { false } } }
    var isClosedCleanly: Bool { events.last == .closed(nil) }

    func streamOpened(_ stream: Stream) {
        self.stream = stream
        events.append(.opened)
        onOpened?(stream)
    }

    func stream(_ stream: Stream, received bytes: ByteBuffer) {
        received.writeImmutableBuffer(bytes)
        // Long streams are written down as `received` alone.
        let logged = received.readableBytes <= 4096 ? Array(bytes.readableBytesView) : []
        if case .bytes(let before) = events.last {
            if !logged.isEmpty { events[events.count - 1] = .bytes(before + logged) }
        } else {
            events.append(.bytes(logged))
        }
        if consumes { stream.consume(bytes.readableBytes) }
        onBytes?(stream, bytes)
    }

    func streamIsWritable(_ stream: Stream) {
        events.append(.writable)
        onWritable?(stream)
    }

    func streamReceivedEnd(_ stream: Stream) {
        events.append(.ended)
        onEnded?(stream)
    }

    func streamClosed(_ stream: Stream, error: Libp2pError?) {
        events.append(.closed(error?.code))
        onClosed?(stream)
    }
}

/// One side: a multiplexer on an embedded channel, and what it sends as frames.
final class YamuxSide {
    let channel: EmbeddedChannel
    let loop: EmbeddedEventLoop
    let muxer: YamuxHandler
    /// What the side speaks; nil means `na`.
    var inbound: (ProtocolID) -> InboundStreamPolicy = { _ in .unknown }
    var accepted: [RecordingHandler] = []
    var closedWith: [Libp2pError.Code?] = []
    var closedStreams: [UInt32] = []
    private var decoder = YamuxFrameDecoder()

    init(
        _ role: YamuxStateMachine.Role, loop: EmbeddedEventLoop = EmbeddedEventLoop(),
        configuration: YamuxConfiguration = .init()
    ) throws {
        self.loop = loop
        channel = EmbeddedChannel(loop: loop)
        var decide: (ProtocolID) -> InboundStreamPolicy = { _ in .unknown }
        muxer = YamuxHandler(
            role: role, peer: yamuxTestPeer, eventLoop: loop, configuration: configuration,
            supported: { [echo] }, accept: { decide($0) })
        decide = { [unowned self] in inbound($0) }
        muxer.onClosed = { [unowned self] in closedWith.append($0?.code) }
        muxer.onStreamClosed = { [unowned self] in closedStreams.append($0.id) }
        try channel.pipeline.syncOperations.addHandler(muxer)
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    }

    /// Accepts ``echo`` with recording handlers.
    func acceptEcho(_ prepare: @escaping (RecordingHandler) -> Void = { _ in }) {
        inbound = { [unowned self] name in
            guard name == echo else { return .unknown }
            let handler = RecordingHandler()
            prepare(handler)
            accepted.append(handler)
            return .accept(handler)
        }
    }

    /// Everything that was sent since the last call.
    func sentBytes() throws -> ByteBuffer {
        loop.run()
        var bytes = ByteBuffer()
        while let buffer = try channel.readOutbound(as: ByteBuffer.self) { bytes.writeImmutableBuffer(buffer) }
        return bytes
    }

    /// The same as frames, with their payload.
    func sentFrames() throws -> [(header: YamuxHeader, payload: [UInt8])] {
        var bytes = try sentBytes()
        var frames: [(header: YamuxHeader, payload: [UInt8])] = []
        while let part = decoder.next(from: &bytes) {
            switch part {
            case .header(let header): frames.append((header, []))
            case .payload(let payload, _): frames[frames.count - 1].payload += Array(payload.readableBytesView)
            case .failure(let failure): throw failure
            }
        }
        return frames
    }

    func sentHeaders() throws -> [YamuxHeader] { try sentFrames().map(\.header) }

    func feed(_ frames: (YamuxHeader, [UInt8])...) throws {
        var bytes = ByteBuffer()
        for (header, payload) in frames {
            header.write(to: &bytes)
            bytes.writeBytes(payload)
        }
        try channel.writeInbound(bytes)
    }

    func feed(_ header: YamuxHeader) throws { try feed((header, [])) }

    func feedData(_ streamID: UInt32, _ payload: [UInt8], _ flags: YamuxHeader.Flags = []) throws {
        try feed((YamuxHeader(.data, flags, streamID: streamID, value: UInt32(payload.count)), payload))
    }

    func open(_ protocols: [ProtocolID] = [echo], _ handler: RecordingHandler) -> Outcome {
        let outcome = Outcome()
        muxer.openStream(protocols) { name in
            outcome.protocolID = name
            return handler
        }.assumeIsolated().whenComplete { outcome.result = $0 }
        return outcome
    }

    func setWritable(_ isWritable: Bool) {
        channel.isWritable = isWritable
        channel.pipeline.fireChannelWritabilityChanged()
    }

    final class Outcome {
        var protocolID: ProtocolID?
        var result: Result<Void, any Error>?
        var isOpen: Bool { if case .success = result { true } else { false } }
        var code: Libp2pError.Code? {
            if case .failure(let error as Libp2pError) = result { error.code } else { nil }
        }
    }
}

/// Two sides and the wire between them, which cuts as it likes.
final class YamuxPair {
    let loop = EmbeddedEventLoop()
    let client: YamuxSide
    let server: YamuxSide
    private var generator: SplitMix64?

    init(configuration: YamuxConfiguration = .init(), cuttingWith seed: UInt64? = nil) throws {
        client = try YamuxSide(.client, loop: loop, configuration: configuration)
        server = try YamuxSide(.server, loop: loop, configuration: configuration)
        generator = seed.map { SplitMix64(seed: $0) }
    }

    /// Carries what is under way once in each direction. Returns whether there was anything.
    @discardableResult
    func exchange() throws -> Bool {
        let fromClient = try carry(from: client, to: server)
        let fromServer = try carry(from: server, to: client)
        return fromClient || fromServer
    }

    /// Carries until nothing moves.
    func settle() throws {
        var rounds = 0
        while try exchange() {
            rounds += 1
            guard rounds < 100_000 else { throw YamuxFailure(.internalError, "does not settle") }
        }
    }

    private func carry(from sender: YamuxSide, to receiver: YamuxSide) throws -> Bool {
        var bytes = try sender.sentBytes()
        guard bytes.readableBytes > 0 else { return false }
        while bytes.readableBytes > 0, receiver.channel.isActive {
            var length = bytes.readableBytes
            if generator != nil {
                length = min(length, 1 << Int.random(in: 0...16, using: &generator!))
            }
            guard let chunk = bytes.readSlice(length: length) else { break }
            try receiver.channel.writeInbound(chunk)
        }
        return true
    }
}

/// What the initiator of a stream sends first.
func proposal(_ names: ProtocolID...) -> [UInt8] {
    (["/multistream/1.0.0"] + names).flatMap { Array(MultistreamSelect.message($0.name).readableBytesView) }
}

let refusal = Array(MultistreamSelect.message("na").readableBytesView)
