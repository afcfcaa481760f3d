@testable import Libp2p
import NIOCore
import NIOEmbedded
@testable import PeerIdentity

/// What secures and multiplexes a connection.
let transportParts: [Part] = noiseParts + tlsParts + yamuxParts

// MARK: Noise

private let noiseParts: [Part] = [
    Part("Noise: seal 256 KiB") {
        let sealing = try Sealing()
        let block = ByteBuffer(bytes: pattern(256 << 10))
        return Work {
            try sealing.append(block)
            try sealing.finish()
        }
    },
    Part("Noise: seal 512 pieces of 1 KiB") {
        let sealing = try Sealing()
        let block = ByteBuffer(bytes: pattern(1 << 10))
        return Work {
            for _ in 0..<512 { try sealing.append(block) }
            try sealing.finish()
        }
    },
    Part("Noise: open 256 KiB") {
        let sealing = try Sealing()
        try sealing.append(ByteBuffer(bytes: pattern(256 << 10)))
        try sealing.finish()
        let reads = cut(sealing.sealed, 64 << 10)
        let key = try makeKey()
        var plaintext = ByteBuffer()
        return Work {
            // The numbers of the messages begin anew.
            var opener = NoiseOpener(cipher: NoiseCipherState(key: key))
            plaintext.clear()
            for read in reads { try opener.open(read, into: &plaintext) }
            guard plaintext.readableBytes == 256 << 10 else { throw PartFailure() }
        }
    },
]

private func makeKey() throws -> ChaCha20Poly1305 {
    try [UInt8](0..<32).withUnsafeBytes { try ChaCha20Poly1305(key: $0) }
}

private final class Sealing {
    private var sealer: NoiseSealer
    /// What the first round made.
    private(set) var sealed = ByteBuffer()
    private var isFirst = true

    init() throws {
        sealer = NoiseSealer(
            cipher: NoiseCipherState(key: try makeKey()), limits: NoiseLimits(), allocator: ByteBufferAllocator())
    }

    func append(_ bytes: ByteBuffer) throws {
        var bytes = bytes
        while bytes.readableBytes > 0 {
            try sealer.append(&bytes)
            if sealer.isFull { try take() }
        }
    }

    func finish() throws {
        try take()
        isFirst = false
    }

    private func take() throws {
        guard let piece = try sealer.finishPiece() else { return }
        if isFirst { sealed.writeImmutableBuffer(piece) }
        sealer.recycle(piece)
    }
}

// MARK: TLS

private let tlsParts: [Part] = [
    Part("TLS: 256 KiB from one end to the other") {
        let pair = try TLSPair(TLSIdentities())
        let block = ByteBuffer(bytes: pattern(256 << 10))
        return Work { try pair.carry(block) }
    },
    Part("TLS: 512 pieces of 1 KiB from one end to the other") {
        let pair = try TLSPair(TLSIdentities())
        let block = ByteBuffer(bytes: pattern(1 << 10))
        return Work { for _ in 0..<512 { try pair.carry(block) } }
    },
]

private struct TLSIdentities {
    let client: TLSCredentials
    let server: TLSCredentials

    init() throws {
        client = try Self.credentials()
        server = try Self.credentials()
    }

    private static func credentials() throws -> TLSCredentials {
        try TLSCredentials(identity: KeyPair.generate(), muxers: ["/yamux/1.0.0"])
    }
}

/// Both ends of a connection without sockets, past their handshake.
private final class TLSPair {
    private let client = EmbeddedChannel()
    private let server = EmbeddedChannel()

    init(_ identities: TLSIdentities) throws {
        func add(_ credentials: TLSCredentials, _ direction: Connection.Direction, _ channel: EmbeddedChannel) throws {
            try channel.pipeline.syncOperations.addHandler(
                TLSHandler(credentials: credentials, direction: direction, now: { 1_700_000_000 }))
            channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        }
        try add(identities.server, .inbound, server)
        try add(identities.client, .outbound, client)
        while try pass(client, server) || pass(server, client) {}
        try carry(ByteBuffer(bytes: [1]))
    }

    /// Sends bytes from the client to the server.
    func carry(_ bytes: ByteBuffer) throws {
        client.writeAndFlush(bytes, promise: nil)
        _ = try pass(client, server)
        var count = 0
        while let part = try server.readInbound(as: ByteBuffer.self) { count += part.readableBytes }
        guard count == bytes.readableBytes else { throw PartFailure() }
    }

    /// Whether there was anything to pass on.
    private func pass(_ sender: EmbeddedChannel, _ receiver: EmbeddedChannel) throws -> Bool {
        sender.embeddedEventLoop.run()
        var isAny = false
        while let bytes = try sender.readOutbound(as: ByteBuffer.self) {
            try receiver.writeInbound(bytes)
            isAny = true
        }
        receiver.embeddedEventLoop.run()
        return isAny
    }
}

// MARK: Yamux

private let yamuxParts: [Part] = [
    Part("Yamux: read 64 frames of 16 KiB out of reads of 64 KiB") {
        var stream = ByteBuffer()
        for _ in 0..<64 {
            YamuxHeader(.data, streamID: 1, value: 16 << 10).write(to: &stream)
            stream.writeBytes(pattern(16 << 10))
        }
        let reads = cut(stream, 64 << 10)
        return Work {
            var decoder = YamuxFrameDecoder()
            for read in reads {
                var read = read
                while let part = decoder.next(from: &read) { keep(part) }
            }
        }
    },
    Part("Yamux: 4 MiB from one muxer to another") {
        let pair = try MuxerPair()
        let block = ByteBuffer(bytes: pattern(256 << 10))
        return Work {
            let before = pair.received
            for _ in 0..<16 {
                pair.stream?.writeAndFlush(block)
                try pair.exchange()
            }
            guard pair.received - before == 4 << 20 else { throw PartFailure() }
        }
    },
]

/// Two multiplexers on channels without sockets, and an open stream from one to the other.
private final class MuxerPair {
    private static let name: ProtocolID = "/measured/1.0.0"
    private let loop = EmbeddedEventLoop()
    private let client: EmbeddedChannel
    private let server: EmbeddedChannel
    private let source = Endpoint()
    private let sink = Endpoint()

    var stream: Stream? { source.stream }
    var received: Int { sink.received }

    init() throws {
        let (loop, sink) = (loop, sink)
        let peer = try KeyPair.generate().peerID
        func channel(_ role: YamuxStateMachine.Role) throws -> (EmbeddedChannel, YamuxHandler) {
            let muxer = YamuxHandler(
                role: role, peer: peer, eventLoop: loop, supported: { [MuxerPair.name] },
                accept: { $0 == MuxerPair.name ? .accept(sink) : .unknown })
            let channel = EmbeddedChannel(loop: loop)
            try channel.pipeline.syncOperations.addHandler(muxer)
            channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
            return (channel, muxer)
        }
        let muxer: YamuxHandler
        (client, muxer) = try channel(.client)
        (server, _) = try channel(.server)
        let source = source
        _ = muxer.openStream([MuxerPair.name]) { _ in source }
        try exchange()
        guard source.stream != nil else { throw PartFailure() }
    }

    /// Carries bytes in both directions until there are none.
    func exchange() throws {
        var isBusy = true
        while isBusy {
            isBusy = false
            loop.run()
            while let bytes = try client.readOutbound(as: ByteBuffer.self) {
                try server.writeInbound(bytes)
                isBusy = true
            }
            while let bytes = try server.readOutbound(as: ByteBuffer.self) {
                try client.writeInbound(bytes)
                isBusy = true
            }
        }
    }

    private final class Endpoint: StreamHandler {
        var stream: Stream?
        var received = 0

        func streamOpened(_ stream: Stream) { self.stream = stream }

        func stream(_ stream: Stream, received bytes: ByteBuffer) {
            received += bytes.readableBytes
            stream.consume(bytes.readableBytes)
        }

        func streamIsWritable(_ stream: Stream) {}
        func streamReceivedEnd(_ stream: Stream) {}
        func streamClosed(_ stream: Stream, error: Libp2pError?) {}
    }
}
