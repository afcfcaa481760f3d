import NIOCore
import NIOEmbedded
import Testing

@testable import Libp2p

@Suite struct YamuxHandlerTests {
    // MARK: Opening

    @Test func oneProposalIsLazyAndLeavesInOneFlight() throws {
        let side = try YamuxSide(.client)
        _ = try side.sentFrames()
        let handler = RecordingHandler()
        handler.onOpened = { $0.writeAndFlush(ByteBuffer(string: "hello")) }
        let outcome = side.open([echo], handler)
        #expect(outcome.isOpen)
        #expect(handler.events == [.opened])
        #expect(handler.stream?.protocolID == echo)
        #expect(handler.stream?.direction == .outbound)
        #expect(handler.stream?.peer == yamuxTestPeer)
        let frames = try side.sentFrames()
        #expect(
            frames.map(\.header) == [
                YamuxHeader(.windowUpdate, .syn, streamID: 1),
                YamuxHeader(.data, streamID: 1, value: UInt32(proposal(echo).count + 5)),
            ])
        #expect(frames.last?.payload == proposal(echo) + Array("hello".utf8))

        try side.feed(YamuxHeader(.windowUpdate, .ack, streamID: 1))
        try side.feedData(1, proposal(echo) + Array("world".utf8))
        #expect(handler.events == [.opened, .bytes(Array("world".utf8))])
    }

    @Test func aLazyProposalThatIsRefusedClosesTheStream() throws {
        let side = try YamuxSide(.client)
        let handler = RecordingHandler()
        let outcome = side.open([echo], handler)
        _ = try side.sentFrames()
        try side.feedData(1, proposal() + refusal, .ack)
        #expect(outcome.isOpen)
        #expect(handler.events == [.opened, .closed(.protocolNotSupported)])
        #expect(try side.sentHeaders() == [YamuxHeader(.windowUpdate, .rst, streamID: 1)])
        #expect(side.closedStreams == [1])
        #expect(side.channel.isActive)
    }

    @Test func severalProposalsWaitForTheAnswer() throws {
        let side = try YamuxSide(.client)
        _ = try side.sentFrames()
        let handler = RecordingHandler()
        let outcome = side.open(["/first", echo], handler)
        #expect(try side.sentFrames().last?.payload == proposal("/first"))
        #expect(handler.events.isEmpty && outcome.result == nil)
        try side.feedData(1, proposal() + refusal, .ack)
        #expect(try side.sentFrames().last?.payload == Array(MultistreamSelect.message(echo.name).readableBytesView))
        try side.feedData(1, Array(MultistreamSelect.message(echo.name).readableBytesView) + [1])
        #expect(outcome.isOpen)
        #expect(outcome.protocolID == echo)
        #expect(handler.events == [.opened, .bytes([1])])
    }

    @Test func severalProposalsAllRefusedFailTheOpening() throws {
        let side = try YamuxSide(.client)
        let handler = RecordingHandler()
        let outcome = side.open(["/first", echo], handler)
        try side.feedData(1, proposal() + refusal + refusal, .ack)
        #expect(outcome.code == .protocolNotSupported)
        #expect(outcome.protocolID == nil)
        #expect(handler.events.isEmpty)
        #expect(side.muxer.streamCount == 0)
    }

    @Test func aResetBeforeTheAnswerFailsTheOpening() throws {
        let side = try YamuxSide(.client)
        let outcome = side.open(["/first", echo], RecordingHandler())
        try side.feed(YamuxHeader(.windowUpdate, .rst, streamID: 1))
        #expect(outcome.code == .streamReset)
    }

    @Test func badProposalsFail() throws {
        let side = try YamuxSide(.client)
        #expect(side.open([], RecordingHandler()).code == .protocolNotSupported)
        let long = ProtocolID(String(repeating: "x", count: 1024))
        #expect(side.open([long], RecordingHandler()).code == .protocolNotSupported)
        #expect(side.muxer.streamCount == 0)
    }

    @Test func openingsBeyondTheBacklogWaitInOrder() throws {
        var configuration = YamuxConfiguration()
        configuration.limits.unacknowledgedOutboundStreams = 2
        configuration.limits.waitingOutboundStreams = 2
        let side = try YamuxSide(.client, configuration: configuration)
        let handlers = (0..<5).map { _ in RecordingHandler() }
        let outcomes = handlers.map { side.open([echo], $0) }
        #expect(outcomes.map(\.isOpen) == [true, true, false, false, false])
        #expect(outcomes[4].code == .limitReached)
        try side.feed(YamuxHeader(.windowUpdate, .ack, streamID: 1))
        #expect(outcomes.map(\.isOpen) == [true, true, true, false, false])
        handlers[1].stream?.reset()
        #expect(outcomes.map(\.isOpen) == [true, true, true, true, false])
        #expect(handlers[3].stream?.id == 7)
    }

    // MARK: Accepting

    @Test func aLazyPeerIsAnsweredAndHeard() throws {
        let side = try YamuxSide(.server)
        side.acceptEcho()
        _ = try side.sentFrames()
        try side.feed(
            (YamuxHeader(.windowUpdate, .syn, streamID: 1), []),
            (YamuxHeader(.data, streamID: 1, value: UInt32(proposal(echo).count + 2)), proposal(echo) + [1, 2]),
            (YamuxHeader(.windowUpdate, .fin, streamID: 1), []))
        let handler = try #require(side.accepted.first)
        #expect(handler.events == [.opened, .bytes([1, 2]), .ended])
        #expect(handler.stream?.protocolID == echo)
        #expect(handler.stream?.direction == .inbound)
        let frames = try side.sentFrames()
        #expect(
            frames.map(\.header) == [
                YamuxHeader(.windowUpdate, .ack, streamID: 1),
                YamuxHeader(.data, streamID: 1, value: UInt32(proposal(echo).count)),
            ])
        #expect(frames.last?.payload == proposal(echo))
        handler.stream?.finish()
        #expect(try side.sentHeaders() == [YamuxHeader(.windowUpdate, .fin, streamID: 1)])
        #expect(handler.isClosedCleanly)
        #expect(side.muxer.streamCount == 0)
    }

    @Test func allInTheFirstFrameWithSynAndFin() throws {
        let side = try YamuxSide(.server)
        side.acceptEcho()
        try side.feedData(1, proposal(echo) + [5], [.syn, .fin])
        #expect(side.accepted.first?.events == [.opened, .bytes([5]), .ended])
    }

    @Test func everySplitOfAFlightIsHeard() throws {
        var flight = ByteBuffer()
        YamuxHeader(.windowUpdate, .syn, streamID: 1).write(to: &flight)
        let payload = proposal("/other", echo) + [1, 2, 3]
        YamuxHeader(.data, streamID: 1, value: UInt32(payload.count)).write(to: &flight)
        flight.writeBytes(payload)
        YamuxHeader(.windowUpdate, .fin, streamID: 1).write(to: &flight)
        for split in 0...flight.readableBytes {
            let side = try YamuxSide(.server)
            side.acceptEcho()
            var rest = flight
            try side.channel.writeInbound(rest.readSlice(length: split) ?? ByteBuffer())
            try side.channel.writeInbound(rest)
            #expect(side.accepted.first?.events == [.opened, .bytes([1, 2, 3]), .ended])
        }
    }

    @Test func unknownProtocolsAreRefusedAndTheListIsGiven() throws {
        let side = try YamuxSide(.server)
        side.acceptEcho()
        _ = try side.sentFrames()
        try side.feedData(1, proposal("ls", "/unknown"), .syn)
        let list = [UInt8(15), 13] + Array("/echo/1.0.0\n".utf8)
        let answer = try side.sentFrames().last?.payload
        #expect(answer == proposal() + [14, 12] + list.dropFirst(2) + [10] + refusal)
        #expect(side.accepted.isEmpty)
        try side.feedData(1, Array(MultistreamSelect.message(echo.name).readableBytesView))
        #expect(side.accepted.first?.events == [.opened])
    }

    @Test func aRefusedStreamIsReset() throws {
        let side = try YamuxSide(.server)
        side.inbound = { _ in .refuse }
        _ = try side.sentFrames()
        try side.feedData(1, proposal(echo), .syn)
        #expect(try side.sentHeaders().last == YamuxHeader(.windowUpdate, .rst, streamID: 1))
        #expect(side.muxer.streamCount == 0)
        #expect(side.closedStreams.isEmpty)
    }

    @Test(arguments: [[UInt8](repeating: 0x13, count: 40), [0xFF, 0xFF, 0xFF]])
    func nonsenseResetsTheStreamAlone(bytes: [UInt8]) throws {
        let side = try YamuxSide(.server)
        side.acceptEcho()
        _ = try side.sentFrames()
        try side.feedData(1, bytes, .syn)
        #expect(try side.sentHeaders().last == YamuxHeader(.windowUpdate, .rst, streamID: 1))
        try side.feedData(3, proposal(echo), .syn)
        #expect(side.accepted.count == 1)
    }

    @Test func anEndBeforeAnAgreementResets() throws {
        let side = try YamuxSide(.server)
        side.acceptEcho()
        _ = try side.sentFrames()
        try side.feedData(1, proposal(), [.syn, .fin])
        #expect(try side.sentHeaders().last == YamuxHeader(.windowUpdate, .rst, streamID: 1))
        #expect(side.muxer.streamCount == 0)
    }

    @Test func fruitlessStreamsAreCharged() throws {
        var configuration = YamuxConfiguration()
        configuration.limits.glitches = 20
        let side = try YamuxSide(.server, configuration: configuration)
        var rounds = 0
        for id in stride(from: UInt32(1), to: 201, by: 2) where side.channel.isActive {
            try side.feedData(id, proposal(), [.syn, .fin])
            side.loop.run()
            rounds += 1
        }
        #expect(rounds == 21)
        #expect(side.closedWith == [.protocolViolation])
        #expect(try side.sentHeaders().last == YamuxHeader(.goAway, value: 1))
    }

    @Test func negotiationsThatTakeTooLongAreReset() throws {
        let pair = try YamuxPair()
        pair.server.acceptEcho()
        try pair.server.feed(YamuxHeader(.windowUpdate, .syn, streamID: 1))
        try pair.server.feedData(3, proposal(echo), .syn)
        let handler = RecordingHandler()
        let outcome = pair.client.open(["/a", "/b"], handler)
        _ = try pair.client.sentBytes()
        _ = try pair.server.sentBytes()
        pair.loop.advanceTime(by: .seconds(9))
        #expect(pair.server.muxer.streamCount == 2)
        pair.loop.advanceTime(by: .seconds(3))
        #expect(pair.server.muxer.streamCount == 1)
        #expect(try pair.server.sentHeaders().contains(YamuxHeader(.windowUpdate, .rst, streamID: 1)))
        #expect(outcome.result == nil)
        for side in [pair.client, pair.server] { try side.feed(YamuxHeader(.ping, .ack, value: 0)) }
        pair.loop.advanceTime(by: .seconds(20))
        #expect(outcome.code == .timeout)
        // The agreed stream stays.
        #expect(pair.server.accepted.first?.closedCount == 0)
    }

    // MARK: Ends and resets

    @Test func resetReachesBothSides() throws {
        let pair = try YamuxPair()
        pair.server.acceptEcho()
        let handler = RecordingHandler()
        _ = pair.client.open([echo], handler)
        try pair.settle()
        handler.stream?.reset()
        #expect(handler.events.last == .closed(.streamResetLocally))
        try pair.settle()
        #expect(pair.server.accepted[0].events == [.opened, .closed(.streamReset)])
        #expect(pair.client.muxer.streamCount == 0 && pair.server.muxer.streamCount == 0)
        #expect(pair.client.closedStreams == [1] && pair.server.closedStreams == [1])
    }

    @Test func halfClosedStreamsStillCarryTheOtherWay() throws {
        let pair = try YamuxPair()
        pair.server.acceptEcho { handler in
            handler.onEnded = { stream in
                stream.write(ByteBuffer(repeating: 1, count: 500_000))
                stream.finish()
            }
        }
        let handler = RecordingHandler()
        handler.onOpened = { stream in
            stream.write(ByteBuffer(string: "?"))
            stream.finish()
        }
        _ = pair.client.open([echo], handler)
        try pair.settle()
        #expect(handler.received.readableBytes == 500_000)
        #expect(handler.isClosedCleanly)
        #expect(pair.server.accepted[0].events == [.opened, .bytes([63]), .ended, .closed(nil)])
    }

    @Test func writesAfterTheEndFail() throws {
        let side = try YamuxSide(.client)
        let handler = RecordingHandler()
        _ = side.open([echo], handler)
        let stream = try #require(handler.stream)
        stream.finish()
        stream.finish()
        var codes: [Libp2pError.Code?] = []
        func write() {
            let promise = side.loop.makePromise(of: Void.self)
            promise.futureResult.assumeIsolated().whenFailure { codes.append(($0 as? Libp2pError)?.code) }
            stream.writeAndFlush(ByteBuffer(string: "x"), promise: promise)
        }
        write()
        stream.reset()
        stream.reset()
        write()
        stream.consume(1)
        stream.finish()
        #expect(codes == [.streamClosed, .streamClosed])
        #expect(handler.events == [.opened, .closed(.streamResetLocally)])
    }

    @Test func payloadOfAMissingStreamReachesNobody() throws {
        let side = try YamuxSide(.server)
        side.acceptEcho()
        try side.feedData(1, proposal(echo) + [1], .syn)
        try side.feedData(1, [])
        try side.feedData(99, [6, 6, 6])
        try side.feedData(1, [2])
        #expect(side.accepted[0].events == [.opened, .bytes([1, 2])])
    }

    // MARK: The connection

    @Test func theEndOfTheConnectionReachesEveryStreamOnce() throws {
        let side = try YamuxSide(.server)
        side.acceptEcho()
        let outbound = RecordingHandler()
        _ = side.open([echo], outbound)
        let pending = side.open(["/a", "/b"], RecordingHandler())
        try side.feedData(1, proposal(echo), .syn)
        var failed = 0
        side.setWritable(false)
        for stream in [outbound.stream, side.accepted[0].stream] {
            let promise = side.loop.makePromise(of: Void.self)
            promise.futureResult.assumeIsolated().whenFailure { _ in failed += 1 }
            stream?.writeAndFlush(ByteBuffer(string: "never"), promise: promise)
        }
        side.channel.close(promise: nil)
        side.loop.run()
        #expect(outbound.events == [.opened, .closed(.connectionClosed)])
        #expect(side.accepted[0].events == [.opened, .closed(.connectionClosed)])
        #expect(pending.code == .connectionClosed)
        #expect(failed == 2)
        #expect(side.closedWith == [.connectionClosed])
        #expect(side.open([echo], RecordingHandler()).code == .connectionClosed)
    }

    @Test func closingSaysGoAway() throws {
        let side = try YamuxSide(.client)
        let handler = RecordingHandler()
        _ = side.open([echo], handler)
        _ = try side.sentFrames()
        side.muxer.close()
        side.muxer.close()
        #expect(handler.events == [.opened, .closed(.connectionClosed)])
        #expect(try side.sentHeaders() == [YamuxHeader(.goAway, value: 0)])
        side.loop.run()
        #expect(!side.channel.isActive)
        #expect(side.closedWith == [nil])
    }

    @Test func protocolErrorsSayGoAwayWithTheirCode() throws {
        let side = try YamuxSide(.client)
        let handler = RecordingHandler()
        _ = side.open([echo], handler)
        _ = try side.sentFrames()
        try side.channel.writeInbound(ByteBuffer(bytes: [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]))
        #expect(handler.events == [.opened, .closed(.protocolViolation)])
        #expect(try side.sentHeaders() == [YamuxHeader(.goAway, value: 1)])
        #expect(!side.channel.isActive)
        #expect(side.closedWith == [.protocolViolation])
    }

    @Test func peersGoAwayStopsOpeningAndAnErrorCodeEnds() throws {
        let side = try YamuxSide(.client)
        let handler = RecordingHandler()
        _ = side.open([echo], handler)
        try side.feed(YamuxHeader(.goAway, value: 0))
        #expect(side.open([echo], RecordingHandler()).code == .goAway)
        #expect(handler.closedCount == 0)
        try side.feed(YamuxHeader(.goAway, value: 1))
        #expect(handler.events == [.opened, .closed(.goAway)])
        #expect(side.closedWith == [.goAway])
    }

    @Test func errorsOfThePipelineEndTheConnection() throws {
        struct Broken: Error {}
        let side = try YamuxSide(.client)
        let handler = RecordingHandler()
        _ = side.open([echo], handler)
        side.channel.pipeline.fireErrorCaught(Broken())
        #expect(handler.events == [.opened, .closed(.transport)])
        side.loop.run()
        #expect(!side.channel.isActive)
        #expect(throws: Broken.self) { try side.channel.throwIfErrorCaught() }
    }

    // MARK: Keep-alive

    @Test func pingsMeasureAndSilenceEnds() throws {
        let side = try YamuxSide(.client)
        #expect(try side.sentHeaders() == [YamuxHeader(.ping, .syn, value: 0)])
        side.loop.advanceTime(by: .milliseconds(20))
        try side.feed(YamuxHeader(.ping, .ack, value: 0))
        #expect(side.muxer.roundTrip == .milliseconds(20))
        side.loop.advanceTime(by: .seconds(30))
        #expect(try side.sentHeaders() == [YamuxHeader(.ping, .syn, value: 1)])
        // Something that arrives puts it off.
        side.loop.advanceTime(by: .seconds(10))
        try side.feed(YamuxHeader(.ping, .syn, value: 77))
        #expect(try side.sentHeaders() == [YamuxHeader(.ping, .ack, value: 77)])
        side.loop.advanceTime(by: .seconds(14))
        #expect(side.channel.isActive)
        side.loop.advanceTime(by: .seconds(2))
        #expect(!side.channel.isActive)
        #expect(side.closedWith == [.timeout])
    }

    // MARK: A peer that does not read

    @Test func controlFramesForAPeerThatDoesNotReadAreBounded() throws {
        var configuration = YamuxConfiguration()
        configuration.limits.controlBytes = 120
        configuration.limits.glitches = 1000
        let side = try YamuxSide(.client, configuration: configuration)
        _ = try side.sentFrames()
        side.setWritable(false)
        for value in 0..<10 { try side.feed(YamuxHeader(.ping, .syn, value: UInt32(value))) }
        #expect(side.channel.isActive)
        try side.feed(YamuxHeader(.ping, .syn, value: 10))
        side.loop.run()
        #expect(!side.channel.isActive)
        #expect(side.closedWith == [.limitReached])
    }

    @Test func aStreamIsNotOpenedByTheControlFrameThatEndsTheConnection() throws {
        var configuration = YamuxConfiguration()
        configuration.limits.controlBytes = 120
        for protocols in [[echo], ["/one/1.0.0", echo]] {
            let side = try YamuxSide(.client, configuration: configuration)
            _ = try side.sentFrames()
            side.setWritable(false)
            for value in 0..<10 { try side.feed(YamuxHeader(.ping, .syn, value: UInt32(value))) }
            let handler = RecordingHandler()
            let outcome = side.open(protocols, handler)
            side.loop.run()
            #expect(outcome.code == .connectionClosed)
            #expect(handler.events.isEmpty)
            #expect(side.muxer.streamCount == 0)
            #expect(side.closedWith == [.limitReached])
        }
    }

    @Test func theGoAwayHasTheTimeThatItIsGiven() throws {
        let side = try YamuxSide(.client)
        _ = try side.sentFrames()
        // Nothing is written out.
        final class Stuck: ChannelOutboundHandler {
            typealias OutboundIn = ByteBuffer
            func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
                context.eventLoop.scheduleTask(in: .hours(1)) { promise?.succeed() }
            }
        }
        try side.channel.pipeline.syncOperations.addHandler(Stuck(), position: .first)
        side.muxer.close(within: .seconds(10))
        side.loop.advanceTime(by: .seconds(9))
        #expect(side.channel.isActive)
        side.loop.advanceTime(by: .seconds(1))
        #expect(!side.channel.isActive)
    }

    @Test func pingsThatAreNotWholeDoNotPileUp() throws {
        let pair = try YamuxPair()
        let responder = PingResponder()
        pair.server.inbound = { $0 == .ping ? .accept(responder) : .unknown }
        let handler = RecordingHandler()
        _ = pair.client.open([.ping], handler)
        try pair.settle()
        let stream = try #require(handler.stream)
        // One byte is always left.
        stream.writeAndFlush(ByteBuffer(repeating: 1, count: 33))
        try pair.settle()
        for _ in 0..<100 {
            // In small pieces that arrive together.
            for _ in 0..<100 { stream.writeAndFlush(ByteBuffer(repeating: 2, count: 32)) }
            try pair.settle()
            #expect(responder.pending.readableBytes == 1)
            #expect(responder.pending.storageCapacity <= 4096)
        }
        #expect(handler.received.readableBytes == 32 + 100 * 3200)
        // A slow reader of its echoes holds up what is echoed, not more than a window.
        pair.server.setWritable(false)
        for _ in 0..<10 { stream.writeAndFlush(ByteBuffer(repeating: 3, count: 100_000)) }
        try pair.settle()
        #expect(responder.pending.readableBytes <= 256 << 10)
        pair.server.setWritable(true)
        try pair.settle()
        #expect(handler.received.readableBytes == (33 + 320_000 + 1_000_000) / 32 * 32)
    }
}
