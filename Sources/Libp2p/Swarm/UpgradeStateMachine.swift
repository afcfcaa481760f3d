import PeerIdentity

/// The steps from a TCP connection to a multiplexed one: agree on Noise, shake hands, agree on Yamux unless the
/// handshake did. Pure: no channel, no clock.
struct UpgradeStateMachine {
    enum Action {
        case addNoise
        case addMuxerNegotiation
        /// The connection is ready for the muxer.
        case addMuxer(PeerID, PublicKey)
        case fail(Libp2pError)
        case none
    }

    private enum State {
        case agreeingOnSecurity
        case shakingHands
        case agreeingOnMuxer(PeerID, PublicKey)
        case done
    }

    private var state: State = .agreeingOnSecurity
    private let ownPeer: PeerID

    init(ownPeer: PeerID) {
        self.ownPeer = ownPeer
    }

    var isDone: Bool {
        if case .done = state { true } else { false }
    }

    /// The step under way, for error messages.
    var step: String {
        switch state {
        case .agreeingOnSecurity: "agreeing on a security protocol"
        case .shakingHands: "the Noise handshake"
        case .agreeingOnMuxer: "agreeing on a multiplexer"
        case .done: "the connection"
        }
    }

    mutating func negotiated(_ protocolID: ProtocolID) -> Action {
        switch state {
        case .agreeingOnSecurity where protocolID == .noise:
            state = .shakingHands
            return .addNoise
        case .agreeingOnMuxer(let peer, let key) where protocolID == .yamux:
            state = .done
            return .addMuxer(peer, key)
        case .done:
            return .none
        case .agreeingOnSecurity, .shakingHands, .agreeingOnMuxer:
            return fail("the protocol \(protocolID) was negotiated out of turn")
        }
    }

    /// - Parameter muxer: the multiplexer that both sides named within the handshake, if they did.
    mutating func shookHands(with peer: PeerID, _ publicKey: PublicKey, muxer: ProtocolID?) -> Action {
        guard case .shakingHands = state else { return fail("a handshake was completed out of turn") }
        guard peer != ownPeer else {
            state = .done
            return .fail(
                Libp2pError(
                    .selfDial, "the node at the other end is this node itself (\(peer)): dial another node's address"))
        }
        switch muxer {
        case nil:
            state = .agreeingOnMuxer(peer, publicKey)
            return .addMuxerNegotiation
        case .some(.yamux):
            state = .done
            return .addMuxer(peer, publicKey)
        case .some(let other):
            return fail("the multiplexer \(other) was agreed on, which this node does not speak")
        }
    }

    /// An error from below, a time limit or a closed connection. Only the first one counts.
    mutating func failed(_ error: Libp2pError) -> Action {
        if case .done = state { return .none }
        state = .done
        return .fail(error)
    }

    private mutating func fail(_ message: String) -> Action {
        state = .done
        return .fail(Libp2pError(.protocolViolation, message))
    }
}

extension ProtocolID {
    /// Noise, the secured channel.
    static let noise: ProtocolID = "/noise"
    /// Yamux, the multiplexer.
    static let yamux: ProtocolID = "/yamux/1.0.0"
    /// Identify: the peer that is asked tells about itself.
    public static let identify: ProtocolID = "/ipfs/id/1.0.0"
    /// Identify push: a peer tells about itself unasked, when something has changed.
    public static let identifyPush: ProtocolID = "/ipfs/id/push/1.0.0"
    /// Ping: 32 bytes and back.
    public static let ping: ProtocolID = "/ipfs/ping/1.0.0"
}
