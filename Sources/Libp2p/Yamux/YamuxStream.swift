import NIOCore

/// A stream as the multiplexer hosts it: the public ``Stream``, its handler, and the negotiation before it.
final class YamuxStream: StreamOwner {
    let id: UInt32
    let stream: Stream
    /// When the negotiation has to be over.
    let deadline: NIODeadline
    private(set) var handler: (any StreamHandler)?
    private(set) var isClosed = false
    /// Set while the stream is in the multiplexer's round.
    var isReady = false

    /// Nil once the stream is closed.
    private var muxer: YamuxHandler?
    /// Present until both sides agree. With a single proposal the handler is open before that.
    private var negotiation: MultistreamSelect?
    /// Whoever wants the stream, until it is opened.
    private var wish: YamuxHandler.WaitingOpen?
    /// What arrived for the negotiation.
    private var received = ByteBuffer()
    private var isAcknowledged: Bool
    private var hasSentEnd = false

    init(
        id: UInt32, direction: Stream.Direction, muxer: YamuxHandler, negotiation: MultistreamSelect,
        deadline: NIODeadline
    ) {
        self.id = id
        self.muxer = muxer
        self.negotiation = negotiation
        self.deadline = deadline
        self.isAcknowledged = direction == .outbound
        // The name is set before any handler sees the stream.
        self.stream = Stream(
            id: id, peer: muxer.peer, protocolID: "", direction: direction, eventLoop: muxer.eventLoop,
            waterMarks: muxer.configuration.waterMarks)
        stream.attach(to: self)
    }

    var isNegotiating: Bool { negotiation != nil }

    /// Everything is sent except the end.
    var owesEnd: Bool {
        stream.isFinishing && !hasSentEnd && stream.outbound.pendingBytes == 0
    }

    func sentEnd() {
        hasSentEnd = true
    }

    /// The acknowledgement that goes before the first frame on a stream of the peer.
    func acknowledgement() -> YamuxHeader? {
        guard !isAcknowledged else { return nil }
        isAcknowledged = true
        return muxer?.machine.acknowledge(id)
    }

    // MARK: - Negotiation

    /// Sends the proposals of a stream of this side.
    func propose(_ wish: YamuxHandler.WaitingOpen) {
        self.wish = wish
        guard let flight = negotiation?.start() else { return }
        stream.writeAndFlush(flight)
        if wish.protocols.count == 1 {
            open(wish.protocols[0])
        }
    }

    private func open(_ protocolID: ProtocolID, handler accepted: (any StreamHandler)? = nil) {
        guard handler == nil, !isClosed else { return }
        stream.protocolID = protocolID
        let wish = self.wish
        self.wish = nil
        guard let handler = accepted ?? wish?.handler(protocolID) else { return }
        self.handler = handler
        handler.streamOpened(stream)
        wish?.promise.succeed(())
    }

    private func negotiate() {
        var accepted: (any StreamHandler)?
        while !isClosed, let muxer {
            let before = received.readableBytes
            guard let action = negotiation?.next(from: &received) else { return }
            muxer.consumed(id, byteCount: before - received.readableBytes)
            switch action {
            case .needMoreBytes:
                return
            case .send(let bytes):
                stream.writeAndFlush(bytes)
            case .proposed(let protocolID):
                switch muxer.accept(protocolID) {
                case .accept(let handler):
                    accepted = handler
                    answer { $0.accept() }
                case .unknown:
                    answer { $0.refuse() }
                case .refuse:
                    return muxer.resetFruitless(
                        self,
                        error: Libp2pError(.limitReached, "No more streams of \(protocolID) are taken at the moment."))
                }
            case .listRequested:
                let names = muxer.supported()
                answer { $0.answerList(names) }
            case .selected(let protocolID):
                negotiation = nil
                muxer.negotiationEnded()
                open(protocolID, handler: accepted)
                if received.readableBytes > 0 {
                    let rest = received
                    received = ByteBuffer()
                    deliver(rest)
                }
                return
            case .failed(let failure):
                return muxer.resetFruitless(self, error: failure.libp2pError)
            }
        }
    }

    private func answer(_ make: (inout MultistreamSelect) -> ByteBuffer) {
        guard !isClosed, var machine = negotiation else { return }
        let bytes = make(&machine)
        negotiation = machine
        stream.writeAndFlush(bytes)
    }

    // MARK: - From the peer

    func receive(_ bytes: ByteBuffer) {
        guard !isClosed else { return }
        guard negotiation != nil else { return deliver(bytes) }
        if received.readableBytes == 0 {
            received = bytes
        } else {
            received.writeImmutableBuffer(bytes)
        }
        negotiate()
    }

    private func deliver(_ bytes: ByteBuffer) {
        guard !isClosed else { return }
        handler?.stream(stream, received: bytes)
    }

    func receiveEnd() {
        guard !isClosed else { return }
        guard negotiation == nil else {
            muxer?.resetFruitless(
                self,
                error: Libp2pError(.protocolViolation, "The peer ended the stream before a protocol was agreed on."))
            return
        }
        handler?.streamReceivedEnd(stream)
    }

    /// The stream is gone: fails what waits on it and tells the handler.
    func close(error: Libp2pError?) {
        guard !isClosed, let muxer else { return }
        isClosed = true
        self.muxer = nil
        if negotiation != nil {
            negotiation = nil
            muxer.negotiationEnded()
        }
        received = ByteBuffer()
        let reason = error ?? Libp2pError(.streamClosed, "The stream is closed.")
        for promise in stream.close() {
            promise.fail(reason)
        }
        wish?.promise.fail(reason)
        wish = nil
        guard let handler else { return }
        self.handler = nil
        handler.streamClosed(stream, error: error)
        muxer.onStreamClosed?(stream)
    }

    // MARK: - From the handler

    func streamHasBytes(_ stream: Stream) {
        muxer?.makeReady(self)
    }

    func streamConsumed(_ stream: Stream, byteCount: Int) {
        muxer?.consumed(id, byteCount: byteCount)
    }

    func streamReset(_ stream: Stream) {
        muxer?.reset(self, error: Libp2pError(.streamResetLocally, "The stream was reset from this side."))
    }
}
