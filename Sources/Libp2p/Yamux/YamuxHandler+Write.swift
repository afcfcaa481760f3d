import DequeModule
import NIOCore

// How frames leave: control frames and small payloads are copied together into one batch, large payloads follow
// uncopied. The batch is no larger than the plaintext of one Noise message.

extension YamuxHandler {
    private static let batchBytes = 65_519
    /// Up to here a payload is copied into the batch rather than sent by itself.
    private static let copiedBytes = 2048
    /// After so many bytes without a flush one is made in between, so that the channel can tell when it is full.
    private static let flushBytes = 256 * 1024
    /// After so many bytes the event loop gets its turn.
    private static let turnBytes = 4 * 1024 * 1024

    /// Queues a control frame for this turn.
    func sendControl(_ header: YamuxHeader) {
        guard phase == .active, let context else { return }
        if !context.channel.isWritable {
            unwritableControlBytes += YamuxHeader.byteCount
            guard unwritableControlBytes <= configuration.limits.controlBytes else {
                hit(.controlBytes)
                return end(
                    error: Libp2pError(
                        .limitReached, "The peer makes us answer, but does not read the answers."), goAway: nil)
            }
        }
        add(header, context)
        schedulePump()
    }

    /// Notes that a stream has something to send, as far as it may.
    func makeReady(_ hosted: YamuxStream) {
        guard phase == .active, !hosted.isReady, !hosted.isClosed else { return }
        let hasBytes = hosted.stream.outbound.flushedBytes > 0
        guard hasBytes ? machine.sendWindow(of: hosted.id) > 0 : hosted.owesEnd else { return }
        hosted.isReady = true
        ready.append(hosted)
        schedulePump()
    }

    /// Sends at the end of this read, or in the next turn of the loop.
    private func schedulePump() {
        guard !isReading, !isPumping, !isPumpScheduled else { return }
        isPumpScheduled = true
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute {
            bound.value.isPumpScheduled = false
            bound.value.pump()
        }
    }

    /// Sends what is there, a frame of each stream in turn, while the channel takes it.
    func pump() {
        guard phase == .active, !isPumping, let context else { return }
        isPumping = true
        defer { isPumping = false }
        var turn = 0
        while turn < Self.turnBytes, context.channel.isWritable, let hosted = ready.popFirst() {
            hosted.isReady = false
            guard !hosted.isClosed else { continue }
            let sent = sendFrame(of: hosted, context)
            turn += sent
            makeReady(hosted)
            if hosted.stream.becameWritable() {
                hosted.handler?.streamIsWritable(hosted.stream)
                guard phase == .active else { return }
            }
            if bytesSinceFlush >= Self.flushBytes {
                writeBatch(context)
                bytesSinceFlush = 0
                context.flush()
                guard phase == .active else { return }
            }
        }
        writeBatch(context)
        if bytesSinceFlush > 0 {
            bytesSinceFlush = 0
            context.flush()
        }
        guard phase == .active else { return }
        if batch.readableBytes > 0 || (!ready.isEmpty && context.channel.isWritable) {
            isPumping = false
            schedulePump()
        }
    }

    /// Sends the next frame of a stream, or its end. Returns how many bytes that was.
    private func sendFrame(of hosted: YamuxStream, _ context: ChannelHandlerContext) -> Int {
        if let acknowledgement = hosted.acknowledgement() {
            add(acknowledgement, context)
        }
        let available = hosted.stream.outbound.flushedBytes
        guard available > 0 else {
            guard hosted.owesEnd else { return 0 }
            hosted.sentEnd()
            guard let (header, isClosed) = machine.finish(hosted.id) else { return 0 }
            add(header, context)
            if isClosed {
                streams.removeValue(forKey: hosted.id)
                hosted.close(error: nil)
                openWaiting()
            }
            return YamuxHeader.byteCount
        }
        guard let header = machine.data(hosted.id, available: available) else { return 0 }
        add(header, context)
        var remaining = Int(header.value)
        while remaining > 0, let (bytes, promise) = hosted.stream.outbound.take(upTo: remaining) {
            remaining -= bytes.readableBytes
            add(bytes, promise: promise, context)
        }
        return YamuxHeader.byteCount + Int(header.value)
    }

    private func add(_ header: YamuxHeader, _ context: ChannelHandlerContext) {
        if batch.readableBytes + YamuxHeader.byteCount > Self.batchBytes {
            writeBatch(context)
        }
        header.write(to: &batch)
        bytesSinceFlush += YamuxHeader.byteCount
    }

    private func add(_ bytes: ByteBuffer, promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext) {
        bytesSinceFlush += bytes.readableBytes
        guard bytes.readableBytes <= Self.copiedBytes else {
            writeBatch(context)
            context.write(wrapOutboundOut(bytes), promise: promise)
            return
        }
        if batch.readableBytes + bytes.readableBytes > Self.batchBytes {
            writeBatch(context)
        }
        batch.writeImmutableBuffer(bytes)
        if let promise { batchPromises.append(promise) }
    }

    func writeBatch(_ context: ChannelHandlerContext) {
        guard batch.readableBytes > 0 else { return }
        let promise = batchPromises.first
        for other in batchPromises.dropFirst() {
            promise?.futureResult.cascade(to: other)
        }
        batchPromises.removeAll(keepingCapacity: true)
        context.write(wrapOutboundOut(batch), promise: promise)
        batch.clear()
    }
}
