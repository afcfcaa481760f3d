import NIOCore

/// The payload of [ping](https://github.com/libp2p/specs/blob/master/ping/ping.md).
enum PingPayload {
    static let length = 32

    /// Random, so that an answer cannot be given before the question.
    static func random() -> ByteBuffer {
        var bytes = ByteBuffer()
        for _ in 0..<length / 8 { bytes.writeInteger(UInt64.random(in: .min ... .max)) }
        return bytes
    }
}

/// Sends back what comes, by whole payloads of 32 bytes.
///
/// A peer that does not read its echoes finds its window closed after a while: bytes are consumed as they are echoed,
/// and echoed only while the stream is writable.
final class PingResponder: StreamHandler {
    /// What waits to be echoed, at most a window of it.
    private(set) var pending = ByteBuffer()
    private var hasEnded = false
    private static let mostAtOnce = 64 << 10

    func streamOpened(_ stream: Stream) {}

    func stream(_ stream: Stream, received bytes: ByteBuffer) {
        pending.writeImmutableBuffer(bytes)
        echo(stream)
    }

    func streamIsWritable(_ stream: Stream) { echo(stream) }

    func streamReceivedEnd(_ stream: Stream) {
        hasEnded = true
        echo(stream)
    }

    func streamClosed(_ stream: Stream, error: Libp2pError?) {}

    private func echo(_ stream: Stream) {
        var echoed = 0
        while stream.isWritable {
            let whole = min(pending.readableBytes, Self.mostAtOnce) / PingPayload.length * PingPayload.length
            guard whole > 0, let payloads = pending.readSlice(length: whole) else { break }
            stream.write(payloads)
            echoed += whole
        }
        if echoed > 0 {
            // A buffer keeps all that was ever read of it, and what is on its way shares it: the rest gets one of its own.
            pending = ByteBuffer(bytes: pending.readableBytesView)
            stream.flush()
            stream.consume(echoed)
        }
        if hasEnded, pending.readableBytes < PingPayload.length { stream.finish() }
    }
}

/// Sends one payload and waits for it to come back.
final class PingRequest: StreamHandler {
    private let payload = PingPayload.random()
    private var answer = ByteBuffer()
    private var sentAt: NIODeadline?
    private let limit: TimeAmount
    private var timeout: Scheduled<Void>?
    private var isDone = false
    private let promise: EventLoopPromise<TimeAmount>

    init(limit: Duration, promise: EventLoopPromise<TimeAmount>) {
        self.limit = TimeAmount(limit)
        self.promise = promise
    }

    func streamOpened(_ stream: Stream) {
        timeout = stream.resetLater(limit)
        sentAt = stream.eventLoop.now
        stream.writeAndFlush(payload)
    }

    func stream(_ stream: Stream, received bytes: ByteBuffer) {
        stream.consume(bytes.readableBytes)
        guard !isDone, let sentAt else { return }
        answer.writeImmutableBuffer(bytes)
        guard answer.readableBytes >= PingPayload.length else { return }
        isDone = true
        if answer == payload {
            promise.succeed(stream.eventLoop.now - sentAt)
            stream.finish()
        } else {
            promise.fail(Libp2pError(.protocolViolation, "The peer answered a ping with other bytes."))
            stream.reset()
        }
    }

    /// The peer will not answer any more.
    func streamReceivedEnd(_ stream: Stream) { stream.finish() }

    func streamClosed(_ stream: Stream, error: Libp2pError?) {
        timeout?.cancel()
        guard !isDone else { return }
        isDone = true
        if let error, error.code != .streamResetLocally {
            promise.fail(error)
        } else if error != nil {
            promise.fail(Libp2pError(.timeout, "The peer did not answer a ping in time."))
        } else {
            promise.fail(Libp2pError(.streamClosed, "The peer closed the ping stream without an answer."))
        }
    }
}
