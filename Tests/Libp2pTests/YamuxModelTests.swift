import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import Libp2p

/// One direction of a stream as the test knows it: what was written, what came, how it ended.
private final class Flow {
    var written = ByteBuffer()
    var received = ByteBuffer()
    var finished = false
    var ended = false

    /// What arrived is what was written, as far as it goes.
    var isIntact: Bool { written.getSlice(at: 0, length: received.readableBytes) == received }
}

/// One end of a stream in the model.
private final class ModelEnd: StreamHandler {
    let outgoing: Flow
    let incoming: Flow
    var stream: Stream?
    var unconsumed = 0
    var closedCount = 0
    var closedError: Libp2pError?
    var isClosed: Bool { closedCount > 0 }

    init(outgoing: Flow, incoming: Flow) {
        self.outgoing = outgoing
        self.incoming = incoming
    }

    func streamOpened(_ stream: Stream) { self.stream = stream }

    func stream(_ stream: Stream, received bytes: ByteBuffer) {
        #expect(!isClosed && !incoming.ended)
        incoming.received.writeImmutableBuffer(bytes)
        unconsumed += bytes.readableBytes
    }

    func streamReceivedEnd(_ stream: Stream) {
        #expect(!isClosed && !incoming.ended)
        incoming.ended = true
    }

    func streamClosed(_ stream: Stream, error: Libp2pError?) {
        closedCount += 1
        closedError = error
    }
}

/// Two multiplexers, many streams, everything at random: each byte arrives in order, or the stream is reset on both
/// sides.
@Suite struct YamuxModelTests {
    /// Bytes that repeat only after 65,521.
    private static let pattern = ByteBuffer(
        bytes: (0..<71_000).map { UInt8(truncatingIfNeeded: ($0 % 65_521) &* 31 >> 3) })

    private struct Pairing {
        var opener: ModelEnd
        var acceptor: ModelEnd
        var wasReset = false
    }

    @Test(arguments: 1...12)
    func everyByteArrivesInOrderOrTheStreamIsReset(seed: Int) throws {
        var generator = SplitMix64(seed: UInt64(seed))
        var configuration = YamuxConfiguration()
        configuration.limits.framePayload = [7, 1000, 65_507, 300_000][seed % 4]
        configuration.limits.unacknowledgedOutboundStreams = 4
        configuration.limits.glitches = 100_000
        configuration.waterMarks = Stream.WaterMarks(high: 50_000, low: 20_000)
        let pair = try YamuxPair(configuration: configuration, cuttingWith: UInt64(seed) &* 77)
        var pairings: [Pairing] = []

        // A stream's name tells the acceptor which pairing it belongs to.
        func accept(_ name: ProtocolID) -> InboundStreamPolicy {
            guard let index = Int(name.name.dropFirst(3)), index < pairings.count else { return .unknown }
            return .accept(pairings[index].acceptor)
        }
        pair.client.inbound = accept
        pair.server.inbound = accept

        let sizes = [1, 20, 2048, 2049, 5000, seed % 4 == 0 ? 300 : 70_000]
        var cleanBytes = 0
        for _ in 0..<(seed % 4 == 0 ? 150 : 400) {
            let roll = Int.random(in: 0..<100, using: &generator)
            if roll < 8 || pairings.isEmpty {
                let (there, back) = (Flow(), Flow())
                let pairing = Pairing(
                    opener: ModelEnd(outgoing: there, incoming: back),
                    acceptor: ModelEnd(outgoing: back, incoming: there))
                let name = ProtocolID("/m/\(pairings.count)")
                pairings.append(pairing)
                let side = Bool.random(using: &generator) ? pair.client : pair.server
                // A second name makes the opening wait for the answer.
                let names = Bool.random(using: &generator) ? [name] : ["/none", name]
                _ = side.muxer.openStream(names) { _ in pairing.opener }
                continue
            }
            let index = Int.random(in: 0..<pairings.count, using: &generator)
            let end = Bool.random(using: &generator) ? pairings[index].opener : pairings[index].acceptor
            if roll < 60 {
                guard let stream = end.stream, !end.isClosed, !end.outgoing.finished, stream.isWritable else {
                    continue
                }
                let size = sizes[Int.random(in: 0..<sizes.count, using: &generator)]
                let offset = Int.random(in: 0..<256, using: &generator)
                guard let bytes = Self.pattern.getSlice(at: offset, length: size) else { continue }
                end.outgoing.written.writeImmutableBuffer(bytes)
                stream.write(bytes)
                if Bool.random(using: &generator) { stream.flush() }
            } else if roll < 80 {
                let count = Int.random(in: 0...end.unconsumed, using: &generator)
                end.unconsumed -= count
                end.stream?.consume(count)
            } else if roll < 84 {
                guard end.stream != nil, !end.isClosed else { continue }
                end.outgoing.finished = true
                end.stream?.finish()
            } else if roll < 86 {
                guard end.stream != nil, !end.isClosed else { continue }
                pairings[index].wasReset = true
                end.stream?.reset()
            } else if roll < 90 {
                let side = Bool.random(using: &generator) ? pair.client : pair.server
                side.setWritable(!side.channel.isWritable)
            } else {
                try pair.exchange()
            }
            pair.loop.advanceTime(by: .microseconds(50))
        }

        // Let everything run to its end.
        for side in [pair.client, pair.server] { side.setWritable(true) }
        for _ in 0..<400 {
            try pair.settle()
            var isMoving = false
            for end in pairings.flatMap({ [$0.opener, $0.acceptor] }) where !end.isClosed {
                isMoving = true
                if let stream = end.stream {
                    end.outgoing.finished = true
                    stream.finish()
                    stream.consume(end.unconsumed)
                    end.unconsumed = 0
                }
            }
            if !isMoving { break }
        }

        #expect(pairings.count > 5)
        for (index, pairing) in pairings.enumerated() {
            let ends = [pairing.opener, pairing.acceptor]
            #expect(ends.allSatisfy { $0.closedCount <= 1 }, "seed \(seed), stream \(index)")
            for end in ends {
                #expect(end.outgoing.isIntact, "seed \(seed), stream \(index)")
            }
            if pairing.wasReset {
                // Unless both had ended before the reset, neither side may think it went well alone.
                #expect(ends.allSatisfy { $0.closedCount == 1 || $0.stream == nil }, "seed \(seed), stream \(index)")
                if ends.contains(where: { $0.stream != nil && $0.closedError == nil }) {
                    #expect(ends.contains { $0.incoming.ended }, "seed \(seed), stream \(index)")
                }
            } else {
                for end in ends {
                    #expect(end.closedCount == 1 && end.closedError == nil, "seed \(seed), stream \(index)")
                    #expect(end.outgoing.received == end.outgoing.written, "seed \(seed), stream \(index)")
                    cleanBytes += end.outgoing.received.readableBytes
                    #expect(end.incoming.ended, "seed \(seed), stream \(index)")
                }
            }
        }
        #expect(cleanBytes > 10_000)
        for side in [pair.client, pair.server] {
            #expect(side.channel.isActive)
            #expect(side.muxer.streamCount == 0)
            #expect(side.muxer.machine.streams.isEmpty)
            #expect(side.muxer.machine.unconsumedBytes == 0)
            #expect(side.muxer.machine.windowBytes == 0)
            #expect(side.muxer.machine.inboundCount == 0 && side.muxer.machine.outboundCount == 0)
            #expect(side.muxer.machine.pendingInboundCount == 0 && side.muxer.machine.unacknowledgedCount == 0)
            #expect(side.muxer.negotiatingCount == 0)
        }
    }
}
