import NIOCore

/// Sends one identify message and closes: the answer to a question, or a push.
final class IdentifySender: StreamHandler {
    private let message: ByteBuffer
    private let limit: TimeAmount
    private var timeout: Scheduled<Void>?

    init(message: ByteBuffer, limit: Duration) {
        self.message = message
        self.limit = TimeAmount(limit)
    }

    func streamOpened(_ stream: Stream) {
        timeout = stream.resetLater(limit)
        stream.write(message)
        stream.finish()
    }

    /// The peer has nothing to say here. As nothing is consumed, its window bounds what it can say.
    func stream(_ stream: Stream, received bytes: ByteBuffer) {}

    func streamReceivedEnd(_ stream: Stream) {}

    func streamClosed(_ stream: Stream, error: Libp2pError?) {
        timeout?.cancel()
    }
}

/// Reads one identify message: the answer to our question, or a push.
final class IdentifyReceiver: StreamHandler {
    private var reader: IdentifyReader
    private let limit: TimeAmount
    private var timeout: Scheduled<Void>?
    /// `nil` when it was called.
    private var onEnd: ((Result<IdentifyMessage, Libp2pError>) -> Void)?

    /// - Parameter onEnd: called once, on the event loop.
    init(limits: SwarmLimits, limit: Duration, onEnd: @escaping (Result<IdentifyMessage, Libp2pError>) -> Void) {
        reader = IdentifyReader(limits: limits)
        self.limit = TimeAmount(limit)
        self.onEnd = onEnd
    }

    func streamOpened(_ stream: Stream) {
        timeout = stream.resetLater(limit)
    }

    func stream(_ stream: Stream, received bytes: ByteBuffer) {
        do {
            try reader.receive(bytes)
            stream.consume(bytes.readableBytes)
        } catch {
            end(.failure(error))
            stream.reset()
        }
    }

    func streamReceivedEnd(_ stream: Stream) {
        end(Result { () throws(Libp2pError) in try reader.finish() })
        stream.finish()
    }

    func streamClosed(_ stream: Stream, error: Libp2pError?) {
        timeout?.cancel()
        end(.failure(error ?? Libp2pError(.streamClosed, "The identify stream was closed without a message.")))
    }

    private func end(_ result: Result<IdentifyMessage, Libp2pError>) {
        guard let onEnd else { return }
        self.onEnd = nil
        onEnd(result)
    }
}

extension Stream {
    /// Resets the stream if it is still there after a while.
    func resetLater(_ delay: TimeAmount) -> Scheduled<Void> {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        return eventLoop.scheduleTask(in: delay) { bound.value.reset() }
    }
}
