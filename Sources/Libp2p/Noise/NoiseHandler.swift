package import NIOCore
package import PeerIdentity

/// Secures a connection with libp2p-noise: performs the handshake, then opens what comes in and seals what goes out.
///
/// Below it are the bytes of the socket, above it plaintext, both as `ByteBuffer` and cut anyhow. Success is told by the
/// event ``HandshakeCompleted``, in the same call as the first plaintext may follow it, so whoever takes the
/// plaintext is added to the pipeline while the event is handled. Failure is told by `errorCaught` with a
/// ``Libp2pError``, once, after which the channel is closed. Writes wait for the handshake to succeed; sealed bytes go to
/// the socket with `flush`, or earlier when there are many. The promise of a write follows that of its last sealed byte.
/// How long the handshake may take is the business of whoever added the handler.
package final class NoiseHandler: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private enum State {
        case idle
        case handshaking(Handshake)
        case established(Session)
        /// Failed, or the channel is closed: what still comes in is dropped.
        case ended
    }

    /// A handshake under way and the bytes of its next message. A class, so that no copy of its keys stays behind.
    private final class Handshake {
        var machine: NoiseHandshake
        var received = ByteBuffer()

        init(_ machine: NoiseHandshake) { self.machine = machine }
    }

    /// Opens, seals and keeps the buffers of an established session.
    private final class Session {
        var opener: NoiseOpener
        var sealer: NoiseSealer
        var plaintext: BufferPool
        /// Of the writes whose last byte is in the sealer's current piece.
        var promises: [EventLoopPromise<Void>] = []

        init(_ session: NoiseHandshake.Session, limits: NoiseLimits, allocator: ByteBufferAllocator) {
            opener = NoiseOpener(cipher: session.receive)
            sealer = NoiseSealer(cipher: session.send, limits: limits, allocator: allocator)
            plaintext = BufferPool(maximumCount: 4, allocator: allocator)
        }
    }

    private let identity: KeyPair
    private let role: NoiseRole
    private let expectedPeer: PeerID?
    private let muxers: [ProtocolID]
    private let limits: NoiseLimits
    private let keys: NoiseXX.Keys?
    private var state = State.idle
    /// Writes that wait for the end of the handshake.
    private var waiting: [(data: ByteBuffer, promise: EventLoopPromise<Void>?)] = []
    private var flushWhenEstablished = false
    /// Whether anything was fired up the pipeline since the last `channelReadComplete`.
    private var hasForwarded = false

    /// - Parameters:
    ///   - expectedPeer: The only peer the handshake may succeed with; nil for any.
    ///   - muxers: The stream muxers to offer in the handshake, best first; empty for no offer.
    ///   - keys: The Noise keys; nil for new random ones.
    package init(
        identity: KeyPair, role: NoiseRole, expectedPeer: PeerID? = nil, muxers: [ProtocolID] = [],
        limits: NoiseLimits = NoiseLimits(), keys: NoiseXX.Keys? = nil
    ) {
        self.identity = identity
        self.role = role
        self.expectedPeer = expectedPeer
        self.muxers = muxers
        self.limits = limits
        self.keys = keys
    }

    // MARK: Beginning and end

    package func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { begin(context) }
    }

    package func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        reportEnd(context)
        end(ChannelError.ioOnClosedChannel)
        context.fireChannelInactive()
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        end(ChannelError.ioOnClosedChannel)
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent {
            switch state {
            case .established(let session) where !session.opener.isInsideMessage: break
            case .idle, .handshaking, .established:
                reportEnd(context)
                end(ChannelError.ioOnClosedChannel)
                context.close(promise: nil)
            case .ended: break
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    private var hasEnded: Bool {
        if case .ended = state { true } else { false }
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard case .idle = state else { return }
        do {
            var handshake = NoiseHandshake(
                role: role, identity: identity, keys: try makeKeys(), expectedPeer: expectedPeer, muxers: muxers,
                limits: limits)
            let message = try handshake.start()
            state = .handshaking(Handshake(handshake))
            if let message { send(message, context) }
        } catch {
            fail(error, context)
        }
    }

    private func makeKeys() throws(Libp2pError) -> NoiseXX.Keys {
        if let keys { return keys }
        do {
            return try .generate()
        } catch {
            throw Libp2pError(.internal, "The keys for a Noise handshake could not be made.", underlying: error)
        }
    }

    /// Tells of an end of the input that came too early.
    private func reportEnd(_ context: ChannelHandlerContext) {
        switch state {
        case .idle, .handshaking:
            context.fireErrorCaught(
                Libp2pError(
                    .handshakeFailed,
                    "The peer closed the connection during the Noise handshake. It may have refused our identity."))
        case .established(let session) where session.opener.isInsideMessage:
            context.fireErrorCaught(
                Libp2pError(.connectionClosed, "The connection ended in the middle of a Noise message."))
        case .established, .ended:
            break
        }
    }

    /// Drops the keys and fails every promise that is still held.
    private func end(_ error: any Error) {
        var promises = waiting.compactMap(\.promise)
        waiting = []
        if case .established(let session) = state {
            promises += session.promises
            session.promises = []
        }
        state = .ended
        for promise in promises { promise.fail(error) }
    }

    private func fail(_ error: Libp2pError, _ context: ChannelHandlerContext) {
        if hasEnded { return }
        end(error)
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }

    // MARK: Inbound

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        switch state {
        case .established(let session): open(bytes, session, context)
        case .idle, .handshaking: advance(bytes, context)
        case .ended: break
        }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        // Without automatic reads, whoever sits above asks for more only after it got something.
        if !hasForwarded, !hasEnded { context.read() }
        hasForwarded = false
        context.fireChannelReadComplete()
    }

    private func open(_ bytes: ByteBuffer, _ session: Session, _ context: ChannelHandlerContext) {
        var plaintext = session.plaintext.take(
            capacity: session.opener.plaintextBound(receiving: bytes.readableBytes))
        var failure: Libp2pError?
        do throws(Libp2pError) {
            try session.opener.open(bytes, into: &plaintext)
        } catch {
            failure = error
        }
        session.plaintext.keep(plaintext)
        if plaintext.readableBytes > 0 {
            hasForwarded = true
            context.fireChannelRead(wrapInboundOut(plaintext))
        }
        if let failure { fail(failure, context) }
    }

    /// Reads as many handshake messages as `bytes` complete.
    private func advance(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        if case .idle = state { begin(context) }
        guard case .handshaking(let handshake) = state else { return }
        var bytes = bytes
        handshake.received.writeBuffer(&bytes)
        do throws(Libp2pError) {
            while case .handshaking = state, let action = try nextAction(handshake) {
                switch action {
                case .send(let message):
                    send(message, context)
                case .sendAndFinish(let message, let session):
                    send(message, context)
                    establish(session, rest: handshake.received, context)
                case .finish(let session):
                    establish(session, rest: handshake.received, context)
                }
            }
        } catch {
            fail(error, context)
        }
    }

    /// What the next whole handshake message asks for; nil if none has come yet.
    private func nextAction(_ handshake: Handshake) throws(Libp2pError) -> NoiseHandshake.Action? {
        let start = handshake.received.readerIndex
        guard let length = handshake.received.getInteger(at: start, as: UInt16.self).map(Int.init) else { return nil }
        guard length <= limits.handshakeMessageBytes else { throw .noiseHandshakeTooLong(length, limits) }
        guard handshake.received.readableBytes >= NoiseLimits.headerBytes + length else { return nil }
        handshake.received.moveReaderIndex(forwardBy: NoiseLimits.headerBytes)
        let message = [UInt8](handshake.received.readableBytesView.prefix(length))
        handshake.received.moveReaderIndex(forwardBy: length)
        return try message.withUnsafeBufferPointer { message throws(Libp2pError) in
            try handshake.machine.receive(UnsafeRawBufferPointer(message))
        }
    }

    private func establish(_ result: NoiseHandshake.Session, rest: ByteBuffer, _ context: ChannelHandlerContext) {
        guard case .handshaking = state else { return }
        let session = Session(result, limits: limits, allocator: context.channel.allocator)
        state = .established(session)
        let waiting = self.waiting
        self.waiting = []
        for write in waiting { seal(write.data, write.promise, session, context) }
        if flushWhenEstablished { flush(context: context) }
        guard case .established = state else { return }

        hasForwarded = true
        context.fireUserInboundEventTriggered(
            HandshakeCompleted(peer: result.peer, publicKey: result.publicKey, muxer: result.muxer))
        if rest.readableBytes > 0, case .established(let session) = state { open(rest, session, context) }
    }

    // MARK: Outbound

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let data = unwrapOutboundIn(data)
        switch state {
        case .established(let session): seal(data, promise, session, context)
        case .idle, .handshaking: waiting.append((data, promise))
        case .ended: promise?.fail(ChannelError.ioOnClosedChannel)
        }
    }

    package func flush(context: ChannelHandlerContext) {
        switch state {
        case .established(let session):
            do {
                try passOn(session, context)
                context.flush()
            } catch {
                fail(error, context)
            }
        case .idle, .handshaking: flushWhenEstablished = true
        case .ended: context.flush()
        }
    }

    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode != .input {
            // What was written and not flushed is the channel's to fail, as it would be without this handler.
            if case .established(let session) = state { try? passOn(session, context) }
            let waiting = self.waiting
            self.waiting = []
            for write in waiting { write.promise?.fail(ChannelError.ioOnClosedChannel) }
        }
        if mode == .all { end(ChannelError.ioOnClosedChannel) }
        context.close(mode: mode, promise: promise)
    }

    private func seal(
        _ data: ByteBuffer, _ promise: EventLoopPromise<Void>?, _ session: Session, _ context: ChannelHandlerContext
    ) {
        // One that is sealed in part when this fails is failed with the rest.
        var data = data
        var promise = promise
        do {
            repeat {
                try session.sealer.append(&data)
                if data.readableBytes == 0, let written = promise {
                    session.promises.append(written)
                    promise = nil
                }
                if session.sealer.isFull { try passOn(session, context) }
            } while data.readableBytes > 0
        } catch {
            fail(error, context)
            promise?.fail(error)
        }
    }

    /// Gives what was sealed so far to the channel, without a flush.
    private func passOn(_ session: Session, _ context: ChannelHandlerContext) throws(Libp2pError) {
        let piece = try session.sealer.finishPiece()
        if piece == nil, session.promises.isEmpty { return }
        let promises = session.promises
        session.promises = []
        context.write(wrapOutboundOut(piece ?? ByteBuffer()), promise: Self.joined(promises, context.eventLoop))
        if let piece { session.sealer.recycle(piece) }
    }

    /// One promise for all, which completes them in order.
    private static func joined(
        _ promises: [EventLoopPromise<Void>], _ eventLoop: any EventLoop
    ) -> EventLoopPromise<Void>? {
        guard promises.count > 1 else { return promises.first }
        let joined = eventLoop.makePromise(of: Void.self)
        joined.futureResult.whenComplete { result in
            for promise in promises { promise.completeWith(result) }
        }
        return joined
    }

    private func send(_ message: [UInt8], _ context: ChannelHandlerContext) {
        var buffer = context.channel.allocator.buffer(capacity: NoiseLimits.headerBytes + message.count)
        buffer.writeInteger(UInt16(message.count))
        buffer.writeBytes(message)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }
}

@available(*, unavailable)
extension NoiseHandler: Sendable {}
