import NIOCore
import NIOEmbedded
import NIOSSL
import PeerIdentity
import TestSupport
import Testing

@testable import Libp2p

@Suite("TLS: an established connection", .timeLimit(.minutes(5)))
struct TLSSessionTests {
    @Test("Bytes go both ways, and a promise is kept when its bytes are written")
    func bothWays() throws {
        let pair = try TLSPair.established()
        let promise = pair.client.channel.eventLoop.makePromise(of: Void.self)
        pair.client.channel.write(ByteBuffer(string: "there"), promise: promise)
        #expect(try pair.client.sent().isEmpty)
        pair.client.channel.flush()
        try promise.futureResult.wait()
        try pair.exchange()
        pair.server.channel.writeAndFlush(ByteBuffer(string: "and back"), promise: nil)
        try pair.exchange()
        #expect(pair.server.recorder.bytes == Array("there".utf8))
        #expect(pair.client.recorder.bytes == Array("and back".utf8))
    }

    @Test("Large writes fill their records, and leave in pieces")
    func records() throws {
        let pair = try TLSPair.established()
        var random = SplitMix64(seed: 1)
        let bytes = random.bytes(1 << 20)
        pair.client.channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
        let pieces = try pair.client.sentPieces()
        let lengths = TLSEnd.recordLengths(pieces.flatMap { [UInt8]($0.readableBytesView) })
        #expect(lengths == [Int](repeating: 16_384 + 17, count: 64))
        for piece in pieces { try pair.server.receive([UInt8](piece.readableBytesView)) }
        #expect(pair.server.recorder.bytes == bytes)
    }

    @Test("Many writes without a flush leave in pieces of a bounded size, and are received in such")
    func flushes() throws {
        var limits = TLSLimits()
        limits.pieceBytes = 64 << 10
        let pair = try TLSPair.established(limits: limits)
        var random = SplitMix64(seed: 2)
        let bytes = random.bytes(1 << 20)
        for start in stride(from: 0, to: bytes.count, by: 4096) {
            pair.client.channel.write(ByteBuffer(bytes: bytes[start..<start + 4096]), promise: nil)
        }
        let pieces = try pair.client.sentPieces()
        #expect(pieces.count == 16)
        try pair.server.receive(pieces.flatMap { [UInt8]($0.readableBytesView) })
        #expect(pair.server.recorder.bytes == bytes)
        #expect(pair.server.recorder.pieces.allSatisfy { $0.readableBytes <= 80 << 10 })
    }

    @Test("An end that the peer announces is clean; one that it does not may be a cut")
    func truncation() throws {
        let pair = try TLSPair.established()
        pair.client.channel.writeAndFlush(ByteBuffer(string: "all"), promise: nil)
        pair.client.channel.close(promise: nil)
        try pair.exchange()
        pair.client.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(!pair.client.channel.isActive && pair.client.recorder.errors.isEmpty)
        #expect(pair.server.recorder.bytes == Array("all".utf8))
        #expect(!pair.server.channel.isActive && pair.server.recorder.errors.isEmpty)

        let cut = try TLSPair.established()
        cut.client.channel.writeAndFlush(ByteBuffer(string: "all"), promise: nil)
        try cut.exchange()
        cut.server.channel.pipeline.fireChannelInactive()
        #expect(cut.server.recorder.errors.map(\.code) == [.connectionClosed])
        #expect(cut.server.recorder.isInactive)
    }

    @Test("Who says that it will send no more is answered, and the connection is over: Yamux has no half of one")
    func halfClose() throws {
        let ours = try TLSEnd(.inbound, identity: 1)
        let peer = try TLSEnd.foreign(
            .outbound, certificates: [HandmadeCertificate(identity: TLSTesting.identity(2))])
        let pair = TLSPair(peer, ours)
        try pair.shakeHands()
        peer.channel.writeAndFlush(ByteBuffer(string: "all"), promise: nil)
        peer.channel.close(mode: .output, promise: nil)
        try ours.receive(peer.sent())
        #expect(ours.recorder.bytes == Array("all".utf8))
        // An alert of its own, sealed: two bytes, the type, and the tag.
        #expect(try TLSEnd.recordLengths(ours.sent()).last == 2 + 1 + 16)
        #expect(!ours.channel.isActive && ours.recorder.isInactive && ours.recorder.errors.isEmpty)
    }

    @Test("What was opened is held in buffers that fit it, however large the reads have been")
    func held() throws {
        let pair = try TLSPair.established()
        pair.client.channel.writeAndFlush(ByteBuffer(bytes: [UInt8](repeating: 1, count: 1 << 20)), promise: nil)
        try pair.exchange()
        pair.server.recorder.pieces = []
        // Past the time for which large buffers are kept.
        for _ in 0..<200 {
            pair.client.channel.writeAndFlush(ByteBuffer(string: "a few bytes"), promise: nil)
            try pair.exchange()
        }
        #expect(pair.server.recorder.pieces.count == 200)
        #expect(pair.server.recorder.pieces.suffix(50).allSatisfy { $0.storageCapacity <= 4096 })
    }

    @Test("Nobody waits for the other side's farewell")
    func closing() throws {
        let pair = try TLSPair.established()
        let closed = pair.client.channel.close()
        pair.client.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        try closed.wait()
        #expect(!pair.client.channel.isActive && pair.client.recorder.errors.isEmpty)
        // What comes after is dropped.
        pair.server.channel.writeAndFlush(ByteBuffer(string: "late"), promise: nil)
        try pair.client.receive(pair.server.sent())
        #expect(pair.client.recorder.bytes.isEmpty && pair.client.recorder.errors.isEmpty)
    }

    @Test("Writes that wait when the connection ends fail")
    func waitingWrites() throws {
        let pair = try TLSPair.established()
        let promise = pair.client.channel.eventLoop.makePromise(of: Void.self)
        pair.client.channel.write(ByteBuffer(string: "unflushed"), promise: promise)
        pair.client.channel.close(promise: nil)
        pair.client.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(throws: (any Error).self) { try promise.futureResult.wait() }
        #expect(throws: (any Error).self) { try pair.client.channel.writeAndFlush(ByteBuffer(string: "x")).wait() }
    }

    @Test("No byte may change, and nothing after is read")
    func changedBytes() throws {
        for index in stride(from: 0, to: 25, by: 1) {
            let pair = try TLSPair.established()
            func sealed(_ text: String) throws -> [UInt8] {
                pair.client.channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
                return try pair.client.sent()
            }
            let good = try sealed("good")
            var changed = try sealed("bad")
            // What makes a record longer makes it wait for bytes that never come.
            changed[index % changed.count] ^= 0x20
            let after = try sealed("after")
            // What is opened in one read with a record that does not open may be lost with it.
            try pair.server.receive(good)
            try pair.server.receive(changed + after)
            try pair.server.receive(after)
            #expect(pair.server.recorder.bytes == Array("good".utf8), "byte \(index)")
            if !pair.server.channel.isActive {
                #expect(pair.server.recorder.errors.map(\.code) == [.protocolViolation], "byte \(index)")
            }
        }
    }

    @Test("Garbage ends it")
    func garbage() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        for _ in 0..<30 {
            let end = try TLSPair.established().server
            try end.receive(random.bytes(Int.random(in: 0...2000, using: &random)))
            #expect(end.recorder.bytes.isEmpty, "seed \(seed)")
            #expect(end.channel.isActive == end.recorder.errors.isEmpty, "seed \(seed)")
        }
    }
}
