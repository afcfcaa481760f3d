import Libp2p
import NIOCore
import NIOEmbedded
import PeerIdentity
import TestSupport
import Testing

@Suite struct NoiseHandlerHandshakeTests {
    private let yamux: ProtocolID = "/yamux/1.0.0"

    @Test func tellsBothSidesOfEachOtherBeforeAnyBytes() throws {
        let pair = try NoisePair.standard(initiatorMuxers: [yamux], responderMuxers: [yamux])
        // Written before the handshake, and while it runs.
        let early = pair.responder.channel.eventLoop.makePromise(of: Void.self)
        try pair.responder.activate()
        pair.responder.channel.write(ByteBuffer(string: "early "), promise: early)
        pair.responder.channel.writeAndFlush(ByteBuffer(string: "words"), promise: nil)
        try pair.initiator.activate()
        try pair.exchange()

        let one = try NoiseTesting.identity(1)
        let two = try NoiseTesting.identity(2)
        #expect(
            pair.initiator.recorder.completed
                == [HandshakeCompleted(peer: two.peerID, publicKey: two.publicKey, muxer: yamux)])
        #expect(
            pair.responder.recorder.completed
                == [HandshakeCompleted(peer: one.peerID, publicKey: one.publicKey, muxer: yamux)])
        #expect(pair.initiator.recorder.bytes == Array("early words".utf8))
        #expect(pair.initiator.recorder.log.first == "completed")
        try early.futureResult.wait()
    }

    @Test func worksWithKeysOfItsOwn() throws {
        let initiator = try NoiseEnd(NoiseHandler(identity: .generate(), role: .initiator))
        let responder = try NoiseEnd(NoiseHandler(identity: .generate(), role: .responder))
        let pair = NoisePair(initiator, responder)
        try pair.activate()
        try pair.exchange()
        #expect(initiator.recorder.completed.count == 1 && responder.recorder.completed.count == 1)
    }

    @Test func beginsWhenAddedToAnActiveChannel() throws {
        let channel = EmbeddedChannel()
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        try channel.pipeline.syncOperations.addHandler(
            NoiseHandler(identity: NoiseTesting.identity(1), role: .initiator, keys: NoiseTesting.keys(1)))
        let first = try #require(try channel.readOutbound(as: ByteBuffer.self))
        #expect([UInt8](first.readableBytesView.prefix(2)) == [0, 32] && first.readableBytes == 34)
        _ = try? channel.finish()
    }

    @Test func survivesEveryWayOfCutting() throws {
        for pieceLength in [1, 2, 3, 7, 31, 33, 100] {
            let pair = try NoisePair.standard()
            try pair.activate()
            try pair.exchange(pieceLength: pieceLength)
            pair.initiator.channel.writeAndFlush(ByteBuffer(string: "hello"), promise: nil)
            try pair.exchange(pieceLength: pieceLength)
            #expect(pair.responder.recorder.bytes == Array("hello".utf8), "pieces of \(pieceLength)")
        }
    }

    @Test func theFirstWordsMayComeWithTheLastMessage() throws {
        let pair = try NoisePair.standard()
        try pair.activate()
        try pair.responder.receive(pair.initiator.sent())
        pair.initiator.channel.writeAndFlush(ByteBuffer(string: "at once"), promise: nil)
        #expect(try pair.initiator.sent().isEmpty)
        try pair.initiator.receive(pair.responder.sent())
        let flight = try pair.initiator.sent()
        #expect(NoiseEnd.messageLengths(flight).count == 2)
        // Cut it everywhere: in the handshake, between, and in the words.
        for cut in 0...flight.count {
            let responder = try NoiseEnd(.responder, identity: 2)
            try responder.activate()
            let initiator = try NoiseEnd(.initiator, identity: 1)
            try initiator.activate()
            try responder.receive(initiator.sent())
            try responder.receive(Array(flight.prefix(cut)))
            try responder.receive(Array(flight.dropFirst(cut)))
            #expect(responder.recorder.log.prefix(2) == ["completed", "bytes"], "cut at \(cut)")
            #expect(responder.recorder.bytes == Array("at once".utf8), "cut at \(cut)")
        }
    }

    @Test func anotherPeerThanExpectedEndsIt() throws {
        let expected = try NoiseTesting.identity(9).peerID
        let pair = NoisePair(
            try NoiseEnd(.initiator, identity: 1, expecting: expected), try NoiseEnd(.responder, identity: 2))
        try pair.activate()
        try pair.exchange()
        #expect(pair.initiator.recorder.errors.map(\.code) == [.wrongPeer])
        #expect(pair.initiator.recorder.errors.first?.message.contains(expected.description) == true)
        #expect(pair.initiator.recorder.completed.isEmpty)
        #expect(!pair.initiator.channel.isActive)
        // The other side never learned who we are.
        #expect(pair.responder.recorder.completed.isEmpty)
    }

    @Test func offersWithoutACommonMuxerEndIt() throws {
        let pair = try NoisePair.standard(initiatorMuxers: ["/mplex/6.7.0"], responderMuxers: [yamux])
        try pair.activate()
        try pair.exchange()
        #expect(pair.initiator.recorder.errors.map(\.code) == [.protocolNotSupported])
        #expect(!pair.initiator.channel.isActive)
    }

    @Test func messagesAreBoundedBeforeTheyHaveCome() throws {
        let limit = NoiseLimits().handshakeMessageBytes
        for role in [NoiseRole.initiator, .responder] {
            let end = try NoiseEnd(role, identity: 1)
            try end.activate()
            try end.receive([UInt8(limit >> 8), UInt8(limit & 0xff)] + [UInt8](repeating: 7, count: limit - 1))
            #expect(end.recorder.errors.isEmpty && end.channel.isActive)
            let over = try NoiseEnd(role, identity: 1)
            try over.activate()
            try over.receive([UInt8((limit + 1) >> 8), UInt8((limit + 1) & 0xff)])
            #expect(over.recorder.errors.map(\.code) == [.limitReached])
            #expect(!over.channel.isActive)
        }
    }

    @Test func anEndInTheHandshakeIsAnError() throws {
        for bytes in [[], [0], [0, 32, 1, 2]] as [[UInt8]] {
            let end = try NoiseEnd(.responder, identity: 2)
            try end.activate()
            let promise = end.channel.eventLoop.makePromise(of: Void.self)
            end.channel.writeAndFlush(ByteBuffer(string: "never"), promise: promise)
            try end.receive(bytes)
            try end.channel.close().wait()
            // Closed from this side: no error. The write fails all the same.
            #expect(throws: (any Error).self) { try promise.futureResult.wait() }
            #expect(end.recorder.errors.isEmpty && end.recorder.isInactive)
        }
        let end = try NoiseEnd(.initiator, identity: 1)
        try end.activate()
        end.channel.pipeline.fireChannelInactive()
        #expect(end.recorder.errors.map(\.code) == [.handshakeFailed])
        #expect(end.recorder.log == ["error", "inactive"])

        let halfClosed = try NoiseEnd(.initiator, identity: 1)
        try halfClosed.activate()
        halfClosed.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(halfClosed.recorder.errors.map(\.code) == [.handshakeFailed])
        #expect(!halfClosed.channel.isActive)
    }

    @Test func anIdentityThatCannotBeVerifiedEndsIt() throws {
        let end = try NoiseEnd(.responder, identity: 2)
        try end.activate()
        var noise = NoiseXX(role: .initiator, keys: try NoiseTesting.keys(1))
        func framed(_ message: [UInt8]) -> [UInt8] {
            [UInt8(message.count >> 8), UInt8(message.count & 0xff)] + message
        }
        try end.receive(framed(noise.write(payload: [])))
        _ = try noise.read(Array(end.sent().dropFirst(2)))
        try end.receive(framed(noise.write(payload: [])))
        #expect(end.recorder.errors.map(\.code) == [.handshakeFailed])
        #expect(!end.channel.isActive)
    }

    @Test func garbageEndsIt() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        for _ in 0..<200 {
            let end = try NoiseEnd(random.next() % 2 == 0 ? .initiator : .responder, identity: 1)
            try end.activate()
            let keep = end.recorder
            for _ in 0..<4 { try end.receive(random.bytes(Int.random(in: 0...200, using: &random))) }
            #expect(keep.completed.isEmpty && keep.errors.count <= 1, "seed \(seed)")
            #expect(end.channel.isActive == keep.errors.isEmpty, "seed \(seed)")
        }
    }
}

@Suite struct NoiseHandlerInboundTests {
    /// A responder's handler, and the other side's ciphers in our hands.
    private func established() throws -> (end: NoiseEnd, send: NoiseCipherState, receive: NoiseCipherState) {
        let end = try NoiseEnd(.responder, identity: 2)
        try end.activate()
        let identity = try NoiseTesting.identity(1)
        let keys = try NoiseTesting.keys(1)
        var noise = NoiseXX(role: .initiator, keys: keys)
        try end.receive(framed(noise.write(payload: [])))
        _ = try noise.read(Array(end.sent().dropFirst(2)))
        try end.receive(
            framed(noise.write(payload: NoiseTesting.payload(identity: identity, staticKey: keys.staticKey.publicKey))))
        try #require(end.recorder.completed.count == 1)
        let (send, receive) = try noise.split()
        return (end, send, receive)
    }

    private func framed(_ message: [UInt8]) -> [UInt8] {
        [UInt8(message.count >> 8), UInt8(message.count & 0xff)] + message
    }

    @Test func opensMessagesCutAnywhere() throws {
        var (end, send, _) = try established()
        let plaintexts: [[UInt8]] = [[1], [], [2, 3, 4], [UInt8](repeating: 5, count: 70)]
        var expected: [UInt8] = []
        for cut in 0...160 {
            let wire = try plaintexts.flatMap { try framed(send.seal($0)) }
            try end.receive(Array(wire.prefix(cut)))
            try end.receive(Array(wire.dropFirst(cut)))
            expected += plaintexts.flatMap { $0 }
            #expect(end.recorder.bytes == expected, "cut at \(cut)")
            if end.recorder.bytes != expected { return }
        }
        let wire = try plaintexts.flatMap { try framed(send.seal($0)) }
        for byte in wire { try end.receive([byte]) }
        #expect(end.recorder.bytes == expected + plaintexts.flatMap { $0 })
        #expect(end.recorder.errors.isEmpty)
    }

    @Test func whatOneReadHoldsComesOutAsOnePiece() throws {
        var (end, send, _) = try established()
        let wire = try (0..<50).flatMap { try framed(send.seal([UInt8](repeating: $0, count: 100))) }
        try end.receive(wire)
        #expect(end.recorder.pieces.map(\.readableBytes) == [5000])
    }

    @Test func piecesThatAreKeptDoNotChange() throws {
        var (end, send, _) = try established()
        var expected: [[UInt8]] = []
        for number in 0..<20 as Range<UInt8> {
            expected.append([UInt8](repeating: number, count: 1000 + Int(number)))
            try end.receive(framed(send.seal(expected[Int(number)])))
        }
        #expect(end.recorder.pieces.map { [UInt8]($0.readableBytesView) } == expected)
    }

    @Test func memoryIsUsedAgainOnceItIsFree() throws {
        var (end, send, _) = try established()
        var addresses: Set<Int> = []
        for _ in 0..<50 {
            try end.receive(framed(send.seal([UInt8](repeating: 1, count: 10_000))))
            for piece in end.recorder.pieces {
                addresses.insert(piece.withUnsafeReadableBytes { Int(bitPattern: $0.baseAddress) })
            }
            end.recorder.pieces = []
        }
        #expect(addresses.count <= 4)
    }

    @Test func theLargestMessageOpens() throws {
        var (end, send, _) = try established()
        let plaintext = [UInt8](repeating: 8, count: 65_519)
        let wire = try framed(send.seal(plaintext))
        #expect(wire.count == 65_537)
        try end.receive(wire)
        try end.receive(Array(framed(send.seal(plaintext)).prefix(40_000)))
        #expect(end.recorder.bytes == plaintext)
    }

    @Test func aMessageTooShortForItsTagEndsIt() throws {
        for length in 0..<16 as Range<UInt8> {
            var (end, send, _) = try established()
            try end.receive(framed(send.seal([1])) + [0, length])
            #expect(end.recorder.bytes == [1])
            #expect(end.recorder.errors.map(\.code) == [.protocolViolation])
            #expect(!end.channel.isActive)
        }
        var (end, send, _) = try established()
        try end.receive(framed(send.seal([])))
        #expect(end.recorder.errors.isEmpty && end.recorder.pieces.isEmpty && end.channel.isActive)
    }

    @Test func noByteMayChangeAndNothingAfterIsRead() throws {
        for index in 2..<21 {
            var (end, send, _) = try established()
            let good = try framed(send.seal([7]))
            var changed = try framed(send.seal([1, 2, 3]))
            changed[index] ^= 1
            let after = try framed(send.seal([4]))
            try end.receive(good + changed + after)
            try end.receive(after)
            #expect(end.recorder.bytes == [7])
            #expect(end.recorder.errors.map(\.code) == [.protocolViolation], "byte \(index)")
            #expect(!end.channel.isActive)
        }
    }

    @Test func messagesOutOfOrderEndIt() throws {
        var (end, send, _) = try established()
        _ = try send.seal([1])
        try end.receive(framed(send.seal([2])))
        #expect(end.recorder.errors.map(\.code) == [.protocolViolation])
    }

    @Test func anEndBetweenMessagesIsCleanAndOneInsideIsNot() throws {
        var (end, send, _) = try established()
        try end.receive(framed(send.seal([1])))
        end.channel.pipeline.fireChannelInactive()
        #expect(end.recorder.errors.isEmpty && end.recorder.isInactive)

        var (cut, sendCut, _) = try established()
        try cut.receive(framed(sendCut.seal([1])).dropLast())
        cut.channel.pipeline.fireChannelInactive()
        #expect(cut.recorder.errors.map(\.code) == [.connectionClosed])

        // The same for a half-close.
        let (open, _, _) = try established()
        open.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(open.recorder.errors.isEmpty && open.channel.isActive)
        let (half, _, _) = try established()
        try half.receive([0])
        half.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(half.recorder.errors.map(\.code) == [.connectionClosed])
    }

    @Test func garbageEndsIt() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        for _ in 0..<100 {
            let (end, _, _) = try established()
            try end.receive(random.bytes(Int.random(in: 0...2000, using: &random)))
            #expect(end.recorder.bytes.isEmpty, "seed \(seed)")
            #expect(end.channel.isActive == end.recorder.errors.isEmpty, "seed \(seed)")
        }
    }

    @Test func closingWhileTheEventIsHandledIsSafe() throws {
        let pair = try NoisePair.standard()
        pair.responder.recorder.onCompleted = { $0.close(promise: nil) }
        try pair.activate()
        try pair.responder.receive(pair.initiator.sent())
        try pair.initiator.receive(pair.responder.sent())
        pair.initiator.channel.writeAndFlush(ByteBuffer(string: "too late"), promise: nil)
        try pair.responder.receive(pair.initiator.sent())
        #expect(pair.responder.recorder.completed.count == 1)
        #expect(pair.responder.recorder.bytes.isEmpty && pair.responder.recorder.errors.isEmpty)
        #expect(!pair.responder.channel.isActive)
    }
}
