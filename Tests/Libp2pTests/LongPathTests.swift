import Multiformats
import NIOCore
import PeerIdentity
import Testing

@testable import Libp2p

/// A path of 1 Gbit/s is filled only by a stream that may have bandwidth times round trip under way, at any moment.
///
/// The relay is that fast. The two sides of a debug build need not be: the window grows at a tenth of the rate too.
@Suite("Streams over a long path", .serialized, .timeLimit(.minutes(5)))
struct LongPathTests {
    private static let bytesPerSecond = 125_000_000
    private static let byteCount = 64 << 20

    @Test("The window of a busy stream fills the path, that of an idle one beside it stays", arguments: [0, 20, 100])
    func windows(milliseconds: Int64) async throws {
        try await withNodes { server, client in
            let pattern = Pattern()
            let received = Recorder<Received>()
            server.swarm.handle([.pouring]) { _, connection in Draining(pattern, connection, received) }
            let relay = try await Relay(
                to: try await server.listen(), delay: .nanoseconds(milliseconds * 500_000),
                bytesPerSecond: Self.bytesPerSecond)
            let address = try relay.address.appending(peer: server.peerID.multihash)
            let connection = try await client.swarm.connect(to: address)

            let idle = Recorder<ScriptHandler.Event>()
            try await connection.openStream([.echo]) { _ in
                ScriptHandler(idle) { $0.writeAndFlush(ByteBuffer(string: "hello")) }
            }.get()
            try await idle.first { if case .bytes = $0 { true } else { false } }
            let inbound = try #require(try await server.connected())

            try await connection.openStream([.pouring]) { _ in Pouring(pattern, Self.byteCount) }.get()
            let came = try await received.first { _ in true }
            #expect(came.byteCount == Self.byteCount)
            #expect(came.isAsSent)

            // What is given back comes half a window at a time, and the sender has to have enough until then.
            let enough = 2 * Self.bytesPerSecond / 1000 * Int(milliseconds)
            #expect(enough < YamuxLimits().maximumReceiveWindow)
            #expect(came.window >= enough)
            for end in [connection, inbound] {
                #expect(try await end.receiveWindows(of: .echo) == [YamuxHeader.initialWindow])
            }
            await relay.cut()
        }
    }
}

extension ProtocolID {
    fileprivate static let pouring: ProtocolID = "/test/pouring/1.0.0"
}

extension Connection {
    fileprivate func receiveWindows(of protocolID: ProtocolID) async throws -> [Int] {
        try await eventLoop.submit { [self] in
            guard let muxer = muxer.value else { return [] }
            return muxer.streams.values.filter { $0.stream.protocolID == protocolID }.compactMap {
                muxer.machine.streams[$0.id]?.receiveWindow
            }
        }.get()
    }
}

/// Bytes that repeat only after a length which no frame or window is a multiple of.
private struct Pattern: Sendable {
    private let bytes: ByteBuffer

    init() {
        var generator = SplitMix(seed: 100)
        bytes = ByteBuffer(bytes: generator.bytes(262_147))
    }

    /// Those at a position, at most so many, up to where they repeat.
    func part(at position: Int, upTo count: Int) -> ByteBuffer {
        let index = position % bytes.readableBytes
        return bytes.getSlice(at: index, length: min(count, bytes.readableBytes - index)) ?? ByteBuffer()
    }
}

/// Sends so many bytes, as fast as the stream takes them, and the end.
private final class Pouring: StreamHandler {
    private let pattern: Pattern
    private let byteCount: Int
    private var position = 0

    init(_ pattern: Pattern, _ byteCount: Int) {
        self.pattern = pattern
        self.byteCount = byteCount
    }

    func streamOpened(_ stream: Libp2p.Stream) { pour(into: stream) }
    func streamIsWritable(_ stream: Libp2p.Stream) { pour(into: stream) }
    func stream(_ stream: Libp2p.Stream, received bytes: ByteBuffer) {}
    func streamReceivedEnd(_ stream: Libp2p.Stream) {}
    func streamClosed(_ stream: Libp2p.Stream, error: Libp2pError?) {}

    private func pour(into stream: Libp2p.Stream) {
        while position < byteCount, stream.isWritable {
            let part = pattern.part(at: position, upTo: byteCount - position)
            position += part.readableBytes
            stream.write(part)
        }
        stream.flush()
        if position == byteCount { stream.finish() }
    }
}

private struct Received: Sendable {
    var byteCount = 0
    var isAsSent = true
    /// The receive window of the stream in the end.
    var window = 0
}

/// Takes what comes, and tells of it at the end.
private final class Draining: StreamHandler {
    private let pattern: Pattern
    private let connection: Connection
    private let recorder: Recorder<Received>
    private var received = Received()

    init(_ pattern: Pattern, _ connection: Connection, _ recorder: Recorder<Received>) {
        self.pattern = pattern
        self.connection = connection
        self.recorder = recorder
    }

    func streamOpened(_ stream: Libp2p.Stream) {}
    func stream(_ stream: Libp2p.Stream, received bytes: ByteBuffer) {
        stream.consume(bytes.readableBytes)
        var bytes = bytes
        while bytes.readableBytes > 0 {
            let expected = pattern.part(at: received.byteCount, upTo: bytes.readableBytes)
            if bytes.readSlice(length: expected.readableBytes) != expected { received.isAsSent = false }
            received.byteCount += expected.readableBytes
        }
    }
    func streamReceivedEnd(_ stream: Libp2p.Stream) {
        received.window = connection.muxer.value?.machine.streams[stream.id]?.receiveWindow ?? 0
        recorder.append(received)
        stream.finish()
    }
    func streamClosed(_ stream: Libp2p.Stream, error: Libp2pError?) {}
}
