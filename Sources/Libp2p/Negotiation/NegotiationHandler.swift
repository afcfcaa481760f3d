import NIOCore

/// Fired up the pipeline once both sides agree.
struct NegotiationCompleted: Equatable, Sendable {
    var protocolID: ProtocolID
}

/// Agrees on a protocol for the whole connection, then leaves the pipeline.
///
/// On success it fires ``NegotiationCompleted``. Whoever receives the event adds the protocol's handlers behind this one
/// before it returns; bytes that came along with the last answer are passed on to them. On failure it fires
/// `errorCaught` with a ``Libp2pError`` and closes the channel.
final class NegotiationHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Role: Hashable, Sendable {
        case initiator
        case responder
    }

    private enum Phase {
        case waiting
        case negotiating
        case done
    }

    private let role: Role
    private let protocols: [ProtocolID]
    private let timeLimit: TimeAmount
    private var machine: MultistreamSelect
    private var phase = Phase.waiting
    private var received = ByteBuffer()
    private var timer: Scheduled<Void>?

    /// - Parameters:
    ///   - protocols: proposed in this order, or accepted.
    ///   - timeLimit: from the moment the channel is active to the agreement.
    init(
        role: Role, protocols: [ProtocolID], limits: MultistreamSelect.Limits = .init(),
        timeLimit: TimeAmount = .seconds(10)
    ) {
        self.role = role
        self.protocols = protocols
        self.timeLimit = timeLimit
        switch role {
        case .initiator:
            machine = MultistreamSelect(proposing: protocols, limits: limits)
        case .responder:
            machine = MultistreamSelect(respondingWith: limits)
        }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive {
            start(context: context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        phase = .done
    }

    func channelActive(context: ChannelHandlerContext) {
        start(context: context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        if phase != .done {
            phase = .done
            timer?.cancel()
            context.fireErrorCaught(
                Libp2pError(.connectionClosed, "The peer closed the connection before a protocol was agreed on."))
        }
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch phase {
        case .done:
            context.fireChannelRead(data)
        case .waiting, .negotiating:
            var bytes = unwrapInboundIn(data)
            if received.readableBytes == 0 {
                received = bytes
            } else {
                received.writeBuffer(&bytes)
            }
            advance(context: context)
        }
    }

    private func start(context: ChannelHandlerContext) {
        guard phase == .waiting else { return }
        phase = .negotiating
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: timeLimit) {
            let (handler, context) = bound.value
            guard handler.phase == .negotiating else { return }
            handler.fail(
                Libp2pError(.timeout, "The peer did not agree on a protocol in time."), context: context)
        }
        if role == .initiator {
            context.writeAndFlush(wrapOutboundOut(machine.start()), promise: nil)
        }
        advance(context: context)
    }

    private func advance(context: ChannelHandlerContext) {
        var answered = false
        defer {
            if answered { context.flush() }
        }
        while phase == .negotiating {
            switch machine.next(from: &received) {
            case .needMoreBytes:
                return
            case .send(let bytes):
                context.write(wrapOutboundOut(bytes), promise: nil)
                answered = true
            case .proposed(let protocolID):
                let answer = protocols.contains(protocolID) ? machine.accept() : machine.refuse()
                context.write(wrapOutboundOut(answer), promise: nil)
                answered = true
            case .listRequested:
                context.write(wrapOutboundOut(machine.answerList(protocols)), promise: nil)
                answered = true
            case .selected(let protocolID):
                if answered {
                    context.flush()
                    answered = false
                }
                complete(with: protocolID, context: context)
            case .failed(let failure):
                fail(failure.libp2pError, context: context)
            }
        }
    }

    private func complete(with protocolID: ProtocolID, context: ChannelHandlerContext) {
        phase = .done
        timer?.cancel()
        timer = nil
        context.fireUserInboundEventTriggered(NegotiationCompleted(protocolID: protocolID))
        if received.readableBytes > 0 {
            let rest = received
            received = ByteBuffer()
            context.fireChannelRead(wrapInboundOut(rest))
            context.fireChannelReadComplete()
        }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func fail(_ error: Libp2pError, context: ChannelHandlerContext) {
        guard phase != .done else { return }
        phase = .done
        timer?.cancel()
        timer = nil
        received = ByteBuffer()
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension NegotiationHandler: Sendable {}

extension MultistreamSelect.Failure {
    var libp2pError: Libp2pError {
        switch reason {
        case .notSupported:
            Libp2pError(.protocolNotSupported, "No protocol in common: \(description).")
        case .malformed:
            Libp2pError(.protocolViolation, "The peer broke multistream-select: \(description).")
        case .limit:
            Libp2pError(.protocolViolation, "The peer went past a limit of multistream-select: \(description).")
        }
    }
}
