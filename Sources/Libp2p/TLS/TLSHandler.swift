package import NIOCore
import NIOSSL
import NIOTLS
package import PeerIdentity

/// Secures a connection with libp2p TLS 1.3: brings BoringSSL into the pipeline below itself, judges the peer's
/// certificate, and says what happens as the other security protocols do.
///
/// Below it are the bytes of the socket, above it plaintext, both as `ByteBuffer` and cut anyhow. Success is told by the
/// event ``HandshakeCompleted``, before any plaintext. Failure is told by `errorCaught` with a ``Libp2pError``, once, after
/// which the channel is closed. An end of the connection that the peer did not announce within TLS is an error, since
/// somebody else may have cut it. Writes wait for the handshake to succeed; sealed bytes go to the socket with `flush`, or
/// earlier when there are many. How long the handshake may take is the business of whoever added the handler.
///
/// In TLS 1.3 a client has finished before the server has seen its certificate. A server that refuses it is noticed with
/// the first bytes that are read.
package final class TLSHandler: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private enum State {
        case handshaking
        case established
        /// Failed, or the channel is closed: what still comes in is dropped.
        case ended
    }

    private let credentials: TLSCredentials
    private let direction: Connection.Direction
    private let verification: PeerVerification
    private let limits: TLSLimits
    /// What the socket reads comes here first.
    private let splitter: TLSReadSplitter
    /// BoringSSL, above the splitter.
    private var tls: NIOSSLHandler?
    private var plaintext: BufferPool?
    private var state = State.handshaking
    private var bytesSinceFlush = 0

    /// - Parameters:
    ///   - direction: The side that dialled is the client.
    ///   - expectedPeer: The only peer the handshake may succeed with; nil for any.
    ///   - now: Seconds since 1970, which the dates of a certificate are compared with.
    package init(
        credentials: TLSCredentials, direction: Connection.Direction, expectedPeer: PeerID? = nil,
        limits: TLSLimits = TLSLimits(), now: @escaping () -> Int64
    ) {
        self.credentials = credentials
        self.direction = direction
        self.limits = limits
        verification = PeerVerification(expectedPeer: expectedPeer, limits: limits, now: now)
        splitter = TLSReadSplitter(limits)
    }

    // MARK: Beginning and end

    package func handlerAdded(context: ChannelHandlerContext) {
        do {
            let pipeline = context.pipeline.syncOperations
            let tls = try credentials.makeHandler(
                direction, verify: verification.isGood, verified: splitter.waitForTurn)
            self.tls = tls
            plaintext = BufferPool(maximumCount: 4, allocator: context.channel.allocator)
            try pipeline.addHandler(splitter, position: .before(self))
            // Begins the handshake.
            try pipeline.addHandler(tls, position: .before(self))
        } catch {
            fail(Libp2pError(.internal, "TLS could not be set up.", underlying: error), context)
        }
    }

    package func channelInactive(context: ChannelHandlerContext) {
        state = .ended
        context.fireChannelInactive()
    }

    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode == .all { state = .ended }
        context.close(mode: mode, promise: promise)
    }

    private func fail(_ error: Libp2pError, _ context: ChannelHandlerContext) {
        guard state != .ended else { return }
        state = .ended
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }

    // MARK: What BoringSSL says

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event as? TLSUserEvent {
        case .handshakeCompleted(let applicationProtocol): completed(applicationProtocol, context)
        case .shutdownCompleted: break
        case nil: context.fireUserInboundEventTriggered(event)
        }
    }

    private func completed(_ applicationProtocol: String?, _ context: ChannelHandlerContext) {
        guard state == .handshaking else { return }
        // A client that resumes a session shows no certificate: that of the session, which BoringSSL keeps in the ticket,
        // is judged anew.
        if verification.result == nil, let bytes = try? tls?.peerCertificate?.toDERBytes() {
            _ = verification.isGood([bytes])
        }
        let publicKey: PublicKey
        switch verification.result {
        case .success(let verified): publicKey = verified
        case .failure(let error): return fail(error, context)
        case nil:
            return fail(Libp2pError(.handshakeFailed, "The peer did not show who it is in the TLS handshake."), context)
        }
        guard let applicationProtocol else {
            return fail(
                Libp2pError(.protocolNotSupported, "The peer speaks TLS, but not libp2p: it agreed on no protocol."),
                context)
        }
        state = .established
        splitter.handshakeEnded()
        let muxer = applicationProtocol == TLSCredentials.libp2p ? nil : ProtocolID(applicationProtocol)
        context.fireUserInboundEventTriggered(
            HandshakeCompleted(peer: PeerID(publicKey: publicKey), publicKey: publicKey, muxer: muxer))
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Below, the channel is closed already or about to be.
        fail(describe(error), context)
    }

    private func describe(_ error: any Error) -> Libp2pError {
        guard error is NIOSSLError || error is BoringSSLError else { return Libp2pError(connection: error) }
        if state == .handshaking {
            if case .failure(let failure) = verification.result { return failure }
            if case NIOSSLError.handshakeFailed(.sslError([.eofDuringHandshake])) = error {
                return Libp2pError(
                    .handshakeFailed,
                    "The peer closed the connection during the TLS handshake. It may have refused our identity.")
            }
            return Libp2pError(.handshakeFailed, "The TLS handshake failed.", underlying: error)
        }
        if case NIOSSLError.uncleanShutdown = error {
            return Libp2pError(
                .connectionClosed, "The connection ended without the notice of TLS: the peer is gone, or it was cut.")
        }
        return Libp2pError(
            .protocolViolation,
            "The TLS connection ended with an error: a record that does not open, or an alert of the peer, which may have "
                + "refused our identity.", underlying: error)
    }

    // MARK: Bytes

    /// What was opened goes up in a buffer that fits it. BoringSSL's own is much larger than most of what comes in it, and
    /// as long as somebody holds a part of it, its handler takes fresh memory for the next: the copy costs a tenth of that.
    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard state == .established else { return }
        guard let copy = plaintext?.copy(of: unwrapInboundIn(data)) else { return }
        context.fireChannelRead(wrapInboundOut(copy))
    }

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        bytesSinceFlush += unwrapOutboundIn(data).readableBytes
        context.write(data, promise: promise)
        if bytesSinceFlush >= limits.pieceBytes { flush(context: context) }
    }

    package func flush(context: ChannelHandlerContext) {
        bytesSinceFlush = 0
        context.flush()
    }
}

@available(*, unavailable)
extension TLSHandler: Sendable {}

/// Judges the one chain of certificates that a peer sends, and remembers the judgement.
private final class PeerVerification {
    private let expectedPeer: PeerID?
    private let limits: TLSLimits
    private let now: () -> Int64
    private(set) var result: Result<PublicKey, Libp2pError>?

    init(expectedPeer: PeerID?, limits: TLSLimits, now: @escaping () -> Int64) {
        self.expectedPeer = expectedPeer
        self.limits = limits
        self.now = now
    }

    /// On the event loop: it takes a sixth of what BoringSSL does there for the handshake, and no longer than it would to
    /// wake another thread.
    func isGood(_ chain: [[UInt8]]) -> Bool {
        let result = Result { () throws(Libp2pError) in try identity(chain) }
        self.result = result
        if case .success = result { return true }
        return false
    }

    private func identity(_ chain: [[UInt8]]) throws(Libp2pError) -> PublicKey {
        let publicKey = try TLSCertificate.verifiedIdentity(chain: chain, now: now(), limits: limits)
        let peer = PeerID(publicKey: publicKey)
        if let expectedPeer, expectedPeer != peer { throw .wrongPeer(peer, expected: expectedPeer) }
        return publicKey
    }
}
