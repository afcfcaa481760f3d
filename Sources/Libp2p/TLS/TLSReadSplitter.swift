import NIOCore

/// Hands on what the socket reads in pieces, each as a read of its own: BoringSSL's handler collects what it opened until
/// a read is complete. Counts what comes before the handshake is complete, and ends it when that is too much.
final class TLSReadSplitter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private enum State {
        /// So many bytes may still come.
        case handshaking(Int)
        case established
        case ended
    }

    private let limits: TLSLimits
    private var state: State
    private var context: ChannelHandlerContext?
    /// What waits for BoringSSL's handler, while it waits for its turn.
    private var waiting: ByteBuffer?

    init(_ limits: TLSLimits) {
        self.limits = limits
        state = .handshaking(limits.handshakeBytes)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        state = .ended
    }

    /// From now on bytes are of a connection.
    func handshakeEnded() {
        if case .handshaking = state { state = .established }
    }

    /// Holds back what comes until the turns of the event loop that were asked for before now are over: BoringSSL's handler
    /// would put it all together, for a handshake and whatever the peer has sent behind it.
    func waitForTurn() {
        guard let context, waiting == nil else { return }
        waiting = ByteBuffer()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute { bound.value.goOn() }
    }

    private func goOn() {
        guard let bytes = waiting else { return }
        waiting = nil
        if let context { handOn(bytes, context) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        handOn(unwrapInboundIn(data), context)
    }

    private func handOn(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        var bytes = bytes
        while bytes.readableBytes > 0 {
            if waiting != nil {
                waiting?.writeBuffer(&bytes)
                return
            }
            let length: Int
            switch state {
            case .handshaking(0): return fail(context)
            case .handshaking(let room):
                length = min(bytes.readableBytes, room)
                state = .handshaking(room - length)
            case .established: length = min(bytes.readableBytes, limits.pieceBytes)
            case .ended: return
            }
            guard let piece = bytes.readSlice(length: length) else { return }
            context.fireChannelRead(wrapInboundOut(piece))
            context.fireChannelReadComplete()
        }
    }

    private func fail(_ context: ChannelHandlerContext) {
        state = .ended
        context.fireErrorCaught(
            Libp2pError(
                .limitReached, "The peer's TLS handshake has more than \(limits.handshakeBytes) bytes.",
                limit: .tls(.handshakeBytes)))
    }
}

@available(*, unavailable)
extension TLSReadSplitter: Sendable {}
