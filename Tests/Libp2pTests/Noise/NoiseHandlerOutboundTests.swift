import Libp2p
import NIOCore
import NIOEmbedded
import PeerIdentity
import TestSupport
import Testing

@Suite struct NoiseHandlerOutboundTests {
    private static let largest = 65_519

    @Test func manySmallWritesAreOneMessage() throws {
        let pair = try NoisePair.established()
        var expected: [UInt8] = []
        for number in 0..<200 as Range<UInt8> {
            let bytes = [UInt8](repeating: number, count: Int(number) % 30)
            expected += bytes
            pair.initiator.channel.write(ByteBuffer(bytes: bytes), promise: nil)
        }
        #expect(try pair.initiator.sent().isEmpty)
        pair.initiator.channel.flush()
        let pieces = try pair.initiator.sentPieces()
        #expect(pieces.count == 1)
        let wire = pieces.flatMap { [UInt8]($0.readableBytesView) }
        #expect(NoiseEnd.messageLengths(wire) == [expected.count + 16])
        try pair.responder.receive(wire)
        #expect(pair.responder.recorder.bytes == expected)
    }

    @Test func aMessageIsFullBeforeTheNextBegins() throws {
        for (count, lengths) in [
            (Self.largest, [65_535]), (Self.largest + 1, [65_535, 17]), (Self.largest - 1, [65_534]),
        ] {
            // As one write, and as many.
            for step in [count, 1000] {
                let pair = try NoisePair.established()
                let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
                for start in stride(from: 0, to: count, by: step) {
                    pair.initiator.channel.write(
                        ByteBuffer(bytes: bytes[start..<min(count, start + step)]), promise: nil)
                }
                pair.initiator.channel.flush()
                let wire = try pair.initiator.sent()
                #expect(NoiseEnd.messageLengths(wire) == lengths, "\(count) in steps of \(step)")
                try pair.responder.receive(wire)
                #expect(pair.responder.recorder.bytes == bytes)
            }
        }
    }

    @Test func socketWritesAreBoundedAndInOrder() throws {
        for limit in [64, 1000, 5000, 100_000, 256 * 1024] {
            var limits = NoiseLimits()
            limits.socketWriteBytes = limit
            let pair = try NoisePair.established(limits: limits)
            let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
            pair.initiator.channel.write(ByteBuffer(bytes: bytes.prefix(12)), promise: nil)
            pair.initiator.channel.write(ByteBuffer(bytes: bytes.dropFirst(12)), promise: nil)
            pair.initiator.channel.flush()
            let pieces = try pair.initiator.sentPieces()
            #expect(pieces.allSatisfy { $0.readableBytes <= limit }, "limit \(limit)")
            #expect(pieces.dropLast().allSatisfy { $0.readableBytes > limit - 19 }, "limit \(limit)")
            for piece in pieces { try pair.responder.receive([UInt8](piece.readableBytesView)) }
            #expect(pair.responder.recorder.bytes == bytes, "limit \(limit)")
        }
    }

    @Test func randomWritesArriveAsTheyWere() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        let pair = try NoisePair.established()
        var expected: [UInt8] = []
        for round in 0..<60 {
            let large = round % 10 == 0
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let count = Int.random(in: 0...(large ? 100_000 : 9000), using: &random)
                let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: random.next()), count: count)
                expected += bytes
                pair.responder.channel.write(ByteBuffer(bytes: bytes), promise: nil)
                if random.next() % 3 == 0 { pair.responder.channel.flush() }
            }
            pair.responder.channel.flush()
            try pair.exchange(pieceLength: Int.random(in: 1...70_000, using: &random) | 1023)
        }
        #expect(pair.initiator.recorder.bytes == expected, "seed \(seed)")
        #expect(pair.initiator.recorder.errors.isEmpty, "seed \(seed)")
    }

    @Test func whatWasWrittenDoesNotChange() throws {
        // The caller still holds what it wrote: it must not be sealed where it lies.
        let pair = try NoisePair.established()
        let large = ByteBuffer(repeating: 3, count: 100_000)
        let small = ByteBuffer(repeating: 4, count: 100)
        pair.initiator.channel.write(large, promise: nil)
        pair.initiator.channel.writeAndFlush(small, promise: nil)
        #expect(large == ByteBuffer(repeating: 3, count: 100_000))
        #expect(small == ByteBuffer(repeating: 4, count: 100))
    }

    @Test func piecesInTheSocketDoNotChange() throws {
        let pair = try NoisePair.established()
        var pieces: [ByteBuffer] = []
        var copies: [[UInt8]] = []
        for number in 0..<20 as Range<UInt8> {
            pair.initiator.channel.writeAndFlush(ByteBuffer(repeating: number, count: 5000), promise: nil)
            pieces += try pair.initiator.sentPieces()
            copies = pieces.map { [UInt8]($0.readableBytesView) }
        }
        #expect(pieces.map { [UInt8]($0.readableBytesView) } == copies)
        for piece in copies { try pair.responder.receive(piece) }
        #expect(pair.responder.recorder.bytes.count == 100_000)
    }

    @Test func memoryIsUsedAgainOnceItIsFree() throws {
        let pair = try NoisePair.established()
        var addresses: Set<Int> = []
        for _ in 0..<50 {
            pair.initiator.channel.writeAndFlush(ByteBuffer(repeating: 1, count: 200_000), promise: nil)
            for piece in try pair.initiator.sentPieces() {
                addresses.insert(piece.withUnsafeReadableBytes { Int(bitPattern: $0.baseAddress) })
            }
        }
        #expect(addresses.count <= 2)
    }

    @Test func promisesFollowTheirBytesInOrder() throws {
        let pair = try NoisePair.established()
        let channel = pair.initiator.channel
        // Holds every write below until it is let go.
        let gate = WriteGate()
        try channel.pipeline.syncOperations.addHandler(gate, position: .first)
        var done: [Int] = []
        let sizes = [10, 0, 5000, 300_000, 1, 0, 70_000]
        for (index, size) in sizes.enumerated() {
            let promise = channel.eventLoop.makePromise(of: Void.self)
            promise.futureResult.assumeIsolated().whenSuccess { done.append(index) }
            channel.write(ByteBuffer(repeating: 1, count: size), promise: promise)
        }
        channel.flush()
        #expect(done.isEmpty)
        // The first piece holds all of the first three writes and a part of the fourth.
        try #require(gate.held.count == 2)
        gate.release()
        #expect(done == [0, 1, 2])
        gate.release()
        #expect(done == Array(sizes.indices))
    }

    @Test func anEmptyWriteHasItsPromise() throws {
        let pair = try NoisePair.established()
        let promise = pair.initiator.channel.eventLoop.makePromise(of: Void.self)
        pair.initiator.channel.writeAndFlush(ByteBuffer(), promise: promise)
        try promise.futureResult.wait()
        #expect(try pair.initiator.sent().isEmpty)
    }

    @Test func aFailedSocketWriteFailsItsPromises() throws {
        let pair = try NoisePair.established()
        let channel = pair.initiator.channel
        let gate = WriteGate()
        try channel.pipeline.syncOperations.addHandler(gate, position: .first)
        let futures = (0..<3).map { _ in channel.write(ByteBuffer(repeating: 1, count: 10)) }
        channel.flush()
        gate.fail()
        for future in futures { #expect(throws: ChannelError.self) { try future.wait() } }
    }

    @Test func closingPassesOnWhatWasNotFlushed() throws {
        let pair = try NoisePair.established()
        let channel = pair.initiator.channel
        let gate = WriteGate()
        try channel.pipeline.syncOperations.addHandler(gate, position: .first)
        let unflushed = channel.write(ByteBuffer(string: "unflushed"))
        #expect(gate.held.isEmpty)
        try channel.close().wait()
        // The socket's channel fails it, as it would without Noise.
        #expect(gate.held.count == 1)
        gate.fail()
        #expect(throws: ChannelError.self) { try unflushed.wait() }
        let late = channel.writeAndFlush(ByteBuffer(string: "late"))
        #expect(throws: ChannelError.self) { try late.wait() }
    }

    @Test func removalFailsWhatWasNotPassedOn() throws {
        let channel = EmbeddedChannel()
        let handler = NoiseHandler(identity: try NoiseTesting.identity(1), role: .initiator)
        try channel.pipeline.syncOperations.addHandler(handler)
        let waiting = channel.write(ByteBuffer(string: "waiting"))
        _ = try? channel.finish()
        #expect(throws: (any Error).self) { try waiting.wait() }
    }
}

/// Stands for a socket that is slow: holds writes until told.
private final class WriteGate: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    var held: [EventLoopPromise<Void>?] = []

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        held.append(promise)
    }

    /// Lets the oldest write succeed.
    func release() {
        if !held.isEmpty { held.removeFirst()?.succeed() }
    }

    /// Fails them all.
    func fail() {
        for promise in held { promise?.fail(ChannelError.eof) }
        held = []
    }
}
