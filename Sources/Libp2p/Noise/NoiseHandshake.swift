package import PeerIdentity

/// The handshake of libp2p-noise as a pure state machine: messages in, messages out, and in the end a session with a peer
/// whose identity is proven.
///
/// [libp2p-noise](https://github.com/libp2p/specs/blob/master/noise/README.md) with
/// [inlined muxer negotiation](https://github.com/libp2p/specs/blob/master/connections/inlined-muxer-negotiation.md).
/// Keys come in from outside, so that a run can be repeated. Messages are without their length in front. After a call
/// that threw, every other throws.
package struct NoiseHandshake {
    /// A finished handshake.
    package struct Session {
        package let peer: PeerID
        package let publicKey: PublicKey
        /// The muxer both sides agreed on; nil if one of them offered none, and it is still to be negotiated.
        package let muxer: ProtocolID?
        package var send: NoiseCipherState
        package var receive: NoiseCipherState
    }

    /// What is to be done after a message was read.
    package enum Action {
        /// Send this message and wait for the next.
        case send([UInt8])
        /// Send this message; the session begins right behind it.
        case sendAndFinish([UInt8], Session)
        /// The session begins right behind the message that was read.
        case finish(Session)
    }

    private enum State {
        /// The initiator has not begun.
        case initial(NoiseXX)
        /// The responder waits for the first message.
        case awaitingFirst(NoiseXX)
        /// The initiator waits for the second message.
        case awaitingSecond(NoiseXX)
        /// The responder waits for the third message.
        case awaitingThird(NoiseXX)
        case finished
        case failed
    }

    private var state: State
    private let identity: KeyPair
    private let staticKey: [UInt8]
    private let expectedPeer: PeerID?
    private let muxers: [ProtocolID]
    private let limits: NoiseLimits

    /// - Parameters:
    ///   - expectedPeer: The only peer the handshake may succeed with; nil for any.
    ///   - muxers: The stream muxers to offer, best first; empty for no offer.
    package init(
        role: NoiseRole, identity: KeyPair, keys: NoiseXX.Keys, expectedPeer: PeerID? = nil,
        muxers: [ProtocolID] = [], limits: NoiseLimits = NoiseLimits()
    ) {
        let noise = NoiseXX(role: role, keys: keys)
        self.state = role == .initiator ? .initial(noise) : .awaitingFirst(noise)
        self.identity = identity
        self.staticKey = keys.staticKey.publicKey
        self.expectedPeer = expectedPeer
        self.muxers = muxers
        self.limits = limits
    }

    /// Begins: the initiator's first message, or nil for a responder, who waits for it.
    package mutating func start() throws(Libp2pError) -> [UInt8]? {
        let current = state
        state = .failed
        switch consume current {
        case .initial(var noise):
            let message = try noise.write(payload: [])
            state = .awaitingSecond(noise)
            return message
        case .awaitingFirst(let noise):
            state = .awaitingFirst(noise)
            return nil
        case .awaitingSecond, .awaitingThird, .finished, .failed:
            throw Libp2pError(.internal, "The Noise handshake has begun already.")
        }
    }

    /// Reads the peer's next message.
    package mutating func receive(_ message: UnsafeRawBufferPointer) throws(Libp2pError) -> Action {
        let current = state
        state = .failed
        guard message.count <= limits.handshakeMessageBytes else { throw .noiseHandshakeTooLong(message.count, limits) }
        // Consumed, so that the keys in it are wiped in place and not in a copy.
        switch consume current {
        case .awaitingFirst(var noise):
            // Sent before there is any key: whatever is in it, nobody vouches for it.
            _ = try noise.read(message)
            let reply = try noise.write(payload: ownPayload())
            state = .awaitingThird(noise)
            return .send(reply)

        case .awaitingSecond(var noise):
            let (publicKey, offered) = try verify(noise.read(message), noise.remoteStaticKey)
            let muxer = try Self.chosenMuxer(initiator: muxers, responder: offered)
            let reply = try noise.write(payload: ownPayload())
            let session = try Self.session(&noise, publicKey, muxer)
            state = .finished
            return .sendAndFinish(reply, session)

        case .awaitingThird(var noise):
            let (publicKey, offered) = try verify(noise.read(message), noise.remoteStaticKey)
            let muxer = try Self.chosenMuxer(initiator: offered, responder: muxers)
            let session = try Self.session(&noise, publicKey, muxer)
            state = .finished
            return .finish(session)

        case .initial, .finished, .failed:
            throw Libp2pError(.internal, "The Noise handshake expects no message now.")
        }
    }

    /// The first of the initiator's muxers that the responder has too; nil if either side made no offer.
    ///
    /// Two offers without a muxer in common fail the handshake, as the specification demands.
    static func chosenMuxer(
        initiator: [ProtocolID], responder: [ProtocolID]
    ) throws(Libp2pError) -> ProtocolID? {
        guard !initiator.isEmpty, !responder.isEmpty else { return nil }
        guard let muxer = initiator.first(where: { responder.contains($0) }) else {
            func list(_ muxers: [ProtocolID]) -> String { muxers.prefix(8).map(\.name).joined(separator: ", ") }
            throw Libp2pError(
                .protocolNotSupported,
                "The two sides have no stream muxer in common: \(list(initiator)) on one, \(list(responder)) on the other."
            )
        }
        return muxer
    }

    private func ownPayload() throws(Libp2pError) -> [UInt8] {
        try NoisePayload(identity: identity, staticKey: staticKey, muxers: muxers).encoded()
    }

    /// Who sent `payload`, proven and expected, and the muxers on offer.
    private func verify(
        _ payload: [UInt8], _ remoteStaticKey: [UInt8]?
    ) throws(Libp2pError) -> (publicKey: PublicKey, muxers: [ProtocolID]) {
        let payload = try NoisePayload(decoding: payload, limits: limits)
        let publicKey = try payload.verifiedIdentity(staticKey: remoteStaticKey ?? [])
        let peer = PeerID(publicKey: publicKey)
        if let expectedPeer, expectedPeer != peer {
            throw .wrongPeer(peer, expected: expectedPeer)
        }
        return (publicKey, payload.muxers)
    }

    private static func session(
        _ noise: inout NoiseXX, _ publicKey: PublicKey, _ muxer: ProtocolID?
    ) throws(Libp2pError) -> Session {
        let (send, receive) = try noise.split()
        return Session(
            peer: PeerID(publicKey: publicKey), publicKey: publicKey, muxer: muxer, send: send, receive: receive)
    }
}

extension Libp2pError {
    static func wrongPeer(_ peer: PeerID, expected: PeerID) -> Libp2pError {
        Libp2pError(.wrongPeer, "Expected the peer \(expected), but the one who answered is \(peer).")
    }

    static func noiseHandshakeTooLong(_ length: Int, _ limits: NoiseLimits) -> Libp2pError {
        Libp2pError(
            .limitReached,
            "The peer announced a Noise handshake message of \(length) bytes; at most \(limits.handshakeMessageBytes) "
                + "are read. It may not speak Noise.", limit: .noise(.handshakeMessageBytes))
    }
}
