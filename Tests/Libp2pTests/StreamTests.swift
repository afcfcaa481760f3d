import NIOCore
import NIOEmbedded
import Testing

@testable import Libp2p

@Suite struct StreamOutboundQueueTests {
    @Test func onlyFlushedBytesAreTaken() {
        var queue = StreamOutboundQueue()
        queue.append(ByteBuffer(bytes: [1, 2, 3]), promise: nil)
        #expect(queue.take(upTo: 10) == nil)
        queue.flush()
        queue.append(ByteBuffer(bytes: [4]), promise: nil)
        #expect(queue.pendingBytes == 4 && queue.flushedBytes == 3)
        #expect(queue.take(upTo: 2)?.bytes == ByteBuffer(bytes: [1, 2]))
        #expect(queue.take(upTo: 2)?.bytes == ByteBuffer(bytes: [3]))
        #expect(queue.take(upTo: 2) == nil)
        queue.flush()
        #expect(queue.take(upTo: 0) == nil)
        #expect(queue.take(upTo: 2)?.bytes == ByteBuffer(bytes: [4]))
        #expect(queue.pendingBytes == 0 && queue.flushedBytes == 0)
    }

    @Test func promisesComeWithTheLastByte() {
        let loop = EmbeddedEventLoop()
        let promise = loop.makePromise(of: Void.self)
        var queue = StreamOutboundQueue()
        queue.append(ByteBuffer(bytes: [1, 2, 3]), promise: promise)
        queue.flush()
        #expect(queue.take(upTo: 2)?.promise == nil)
        #expect(queue.take(upTo: 2)?.promise?.futureResult === promise.futureResult)
        promise.succeed(())
    }

    @Test func anEmptyWriteIsDoneWhenWhatIsBeforeItIs() throws {
        let loop = EmbeddedEventLoop()
        var queue = StreamOutboundQueue()
        var done: [Int] = []
        func promise(_ number: Int) -> EventLoopPromise<Void> {
            let promise = loop.makePromise(of: Void.self)
            promise.futureResult.assumeIsolated().whenSuccess { done.append(number) }
            return promise
        }
        queue.append(ByteBuffer(), promise: promise(0))
        #expect(done == [0])
        queue.append(ByteBuffer(bytes: [1]), promise: nil)
        queue.append(ByteBuffer(), promise: promise(1))
        queue.append(ByteBuffer(), promise: promise(2))
        queue.append(ByteBuffer(), promise: nil)
        #expect(done == [0])
        queue.flush()
        queue.take(upTo: 1)?.promise?.succeed(())
        #expect(done == [0, 1, 2])
    }
}

@Suite struct StreamTests {
    private func openStream(_ configuration: YamuxConfiguration = .init()) throws -> (
        YamuxSide, RecordingHandler, Stream
    ) {
        let side = try YamuxSide(.client, configuration: configuration)
        let handler = RecordingHandler()
        _ = side.open([echo], handler)
        _ = try side.sentFrames()
        let stream = try #require(handler.stream)
        return (side, handler, stream)
    }

    /// What the peer has to grant so that the stream may send `count` bytes more than the first window.
    private func grant(_ side: YamuxSide, _ count: Int) throws {
        try side.feed(YamuxHeader(.windowUpdate, streamID: 1, value: UInt32(count)))
    }

    @Test func nothingLeavesBeforeTheFlush() throws {
        let (side, _, stream) = try openStream()
        stream.write(ByteBuffer(bytes: [1]))
        stream.write(ByteBuffer(bytes: [2]))
        #expect(try side.sentFrames().isEmpty)
        stream.flush()
        stream.write(ByteBuffer(bytes: [3]))
        let frames = try side.sentFrames()
        #expect(frames.count == 1)
        #expect(frames[0].payload == [1, 2])
        stream.finish()
        #expect(try side.sentFrames().map(\.payload) == [[3], []])
    }

    @Test func writesOfOneTurnLeaveInOneBuffer() throws {
        let (side, _, stream) = try openStream()
        for _ in 0..<10 { stream.writeAndFlush(ByteBuffer(repeating: 1, count: 100)) }
        side.loop.run()
        let buffer = try side.channel.readOutbound(as: ByteBuffer.self)
        #expect(buffer?.readableBytes == 12 + 1000)
        #expect(try side.channel.readOutbound(as: ByteBuffer.self) == nil)
    }

    @Test func largeWritesAreNotCopied() throws {
        let (side, _, stream) = try openStream()
        let block = ByteBuffer(repeating: 9, count: 100_000)
        let address = block.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        stream.writeAndFlush(block)
        side.loop.run()
        var pieces: [(count: Int, address: UInt)] = []
        while let buffer = try side.channel.readOutbound(as: ByteBuffer.self) {
            pieces.append((buffer.readableBytes, buffer.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }))
        }
        #expect(pieces.map(\.count) == [12, 65_507, 12, 34_493])
        #expect(pieces[1].address == address)
        #expect(pieces[3].address == address + 65_507)
    }

    @Test func windowAtTheLimitAndPastIt() throws {
        let (side, _, stream) = try openStream()
        let left = 256 * 1024 - proposal(echo).count
        stream.writeAndFlush(ByteBuffer(repeating: 0, count: left + 1))
        var sent = try side.sentFrames().reduce(0) { $0 + $1.payload.count }
        #expect(sent == left)
        try grant(side, 1)
        sent = try side.sentFrames().reduce(0) { $0 + $1.payload.count }
        #expect(sent == 1)
    }

    @Test func theEndWaitsForTheBytes() throws {
        let (side, _, stream) = try openStream()
        stream.write(ByteBuffer(repeating: 0, count: 300_000))
        stream.finish()
        #expect(try side.sentHeaders().allSatisfy { $0.kind == .data })
        try grant(side, 100_000)
        #expect(try side.sentHeaders().last == YamuxHeader(.windowUpdate, .fin, streamID: 1))
    }

    @Test func writabilityTurnsAtTheMarks() throws {
        var configuration = YamuxConfiguration()
        configuration.waterMarks = Stream.WaterMarks(high: 1000, low: 400)
        let (side, handler, stream) = try openStream(configuration)
        side.setWritable(false)
        stream.write(ByteBuffer(repeating: 0, count: 999))
        #expect(stream.isWritable)
        stream.writeAndFlush(ByteBuffer(repeating: 0, count: 1))
        #expect(!stream.isWritable)
        var wasWritable: [Bool] = []
        handler.onWritable = { wasWritable.append($0.isWritable) }
        side.setWritable(true)
        #expect(stream.isWritable)
        #expect(wasWritable == [true])
        #expect(handler.events == [.opened, .writable])
    }

    @Test func writabilityComesBackWithTheWindow() throws {
        var configuration = YamuxConfiguration()
        configuration.waterMarks = Stream.WaterMarks(high: 100_000, low: 10_000)
        let (side, handler, stream) = try openStream(configuration)
        let left = 256 * 1024 - proposal(echo).count
        stream.writeAndFlush(ByteBuffer(repeating: 0, count: left))
        side.loop.run()
        #expect(handler.events == [.opened, .writable])
        stream.writeAndFlush(ByteBuffer(repeating: 0, count: 100_000))
        try grant(side, 89_999)
        side.loop.run()
        #expect(!stream.isWritable)
        try grant(side, 1)
        side.loop.run()
        #expect(stream.isWritable)
        #expect(handler.events == [.opened, .writable, .writable])
    }

    @Test func aWriterThatFillsInTheCallbackGoesOnForever() throws {
        var configuration = YamuxConfiguration()
        configuration.waterMarks = Stream.WaterMarks(high: 10_000, low: 5_000)
        let pair = try YamuxPair(configuration: configuration)
        pair.server.acceptEcho()
        let handler = RecordingHandler()
        var written = 0
        func fill(_ stream: Stream) {
            while stream.isWritable, written < 3_000_000 {
                stream.write(ByteBuffer(repeating: UInt8(truncatingIfNeeded: written / 3000), count: 3000))
                written += 3000
            }
            stream.flush()
            if written >= 3_000_000 { stream.finish() }
        }
        handler.onOpened = fill
        handler.onWritable = fill
        _ = pair.client.open([echo], handler)
        try pair.settle()
        #expect(pair.server.accepted[0].received.readableBytes == 3_000_000)
        #expect(pair.server.accepted[0].events.last == .ended)
    }

    @Test func theChannelsWritabilityHoldsBytesBack() throws {
        let (side, _, stream) = try openStream()
        side.setWritable(false)
        stream.writeAndFlush(ByteBuffer(repeating: 0, count: 5000))
        #expect(try side.sentFrames().isEmpty)
        #expect(stream.outbound.pendingBytes == 5000)
        side.setWritable(true)
        #expect(try side.sentFrames().first?.payload.count == 5000)
    }

    @Test func promisesSucceedWithTheWriteAndNotBefore() throws {
        let (side, _, stream) = try openStream()
        var done: [Int] = []
        func write(_ number: Int, _ count: Int) {
            let promise = side.loop.makePromise(of: Void.self)
            promise.futureResult.assumeIsolated().whenSuccess { done.append(number) }
            stream.writeAndFlush(ByteBuffer(repeating: 0, count: count), promise: promise)
        }
        write(0, 10)
        write(1, 20)
        write(2, 70_000)
        write(3, 300_000)
        #expect(done.isEmpty)
        side.loop.run()
        #expect(done == [0, 1, 2])
        try grant(side, 300_000)
        side.loop.run()
        #expect(done == [0, 1, 2, 3])
    }

    @Test func streamsTakeTurns() throws {
        let side = try YamuxSide(.client)
        let handlers = (0..<3).map { _ in RecordingHandler() }
        for handler in handlers { _ = side.open([echo], handler) }
        _ = try side.sentFrames()
        handlers[0].stream?.writeAndFlush(ByteBuffer(repeating: 0, count: 200_000))
        handlers[1].stream?.writeAndFlush(ByteBuffer(repeating: 0, count: 200_000))
        handlers[2].stream?.writeAndFlush(ByteBuffer(repeating: 0, count: 10))
        #expect(try side.sentHeaders().map(\.streamID) == [1, 3, 5, 1, 3, 1, 3, 1, 3])
    }

    @Test func handlersMayDoAnythingInAnyCallback() throws {
        // Reset within received, in the middle of a frame: the rest is dropped.
        let side = try YamuxSide(.server)
        side.acceptEcho { handler in handler.onBytes = { stream, _ in stream.reset() } }
        try side.feedData(1, proposal(echo) + [1], .syn)
        try side.feedData(1, [2, 3])
        #expect(side.accepted[0].events == [.opened, .bytes([1]), .closed(.streamResetLocally)])

        // Close the connection within received, more frames behind it.
        side.acceptEcho { handler in handler.onBytes = { [unowned side] _, _ in side.muxer.close() } }
        try side.feed(
            (YamuxHeader(.data, .syn, streamID: 3, value: UInt32(proposal(echo).count + 1)), proposal(echo) + [1]),
            (YamuxHeader(.data, .syn, streamID: 5, value: UInt32(proposal(echo).count)), proposal(echo)))
        #expect(side.accepted.count == 2)
        #expect(side.accepted[1].events == [.opened, .bytes([1]), .closed(.connectionClosed)])

        // Open within closed, reset within ended, finish within opened.
        let other = try YamuxSide(.server)
        let again = RecordingHandler()
        other.acceptEcho { handler in
            handler.onOpened = { $0.finish() }
            handler.onEnded = { $0.reset() }
            handler.onClosed = { [unowned other] _ in _ = other.open([echo], again) }
        }
        try other.feedData(1, proposal(echo) + [1], [.syn, .fin])
        other.loop.run()
        #expect(other.accepted[0].events == [.opened, .bytes([1]), .ended, .closed(.streamResetLocally)])
        #expect(again.events == [.opened])
        other.channel.close(promise: nil)
        other.loop.run()
        #expect(again.events == [.opened, .closed(.connectionClosed)])
    }

    @Test func openingWithinTheLastCallbackOfAConnectionFails() throws {
        let side = try YamuxSide(.client)
        let handler = RecordingHandler()
        var late: YamuxSide.Outcome?
        handler.onClosed = { [unowned side] stream in
            stream.writeAndFlush(ByteBuffer(string: "x"))
            late = side.open([echo], RecordingHandler())
        }
        _ = side.open([echo], handler)
        side.muxer.close()
        #expect(late?.code == .connectionClosed)
    }

    @Test func resettingWhileWritableIsCalledStopsTheRound() throws {
        var configuration = YamuxConfiguration()
        configuration.waterMarks = Stream.WaterMarks(high: 1000, low: 400)
        let (side, handler, stream) = try openStream(configuration)
        handler.onWritable = { $0.reset() }
        stream.writeAndFlush(ByteBuffer(repeating: 0, count: 1000))
        #expect(try side.sentHeaders().last == YamuxHeader(.windowUpdate, .rst, streamID: 1))
        #expect(handler.events == [.opened, .writable, .closed(.streamResetLocally)])

        let (second, closer, big) = try openStream(configuration)
        closer.onWritable = { _ in second.muxer.close() }
        big.writeAndFlush(ByteBuffer(repeating: 0, count: 1000))
        second.loop.run()
        #expect(closer.events == [.opened, .writable, .closed(.connectionClosed)])
    }
}
