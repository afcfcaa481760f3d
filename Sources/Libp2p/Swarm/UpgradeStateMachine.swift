import PeerIdentity

/// The steps from a TCP connection to a multiplexed one: agree on TLS or Noise, shake hands, agree on Yamux unless the
/// handshake did. Pure: no channel, no clock.
struct UpgradeStateMachine {
    enum Action {
        case addSecurity(SecurityProtocol)
        case addMuxerNegotiation
        /// The connection is ready for the muxer.
        case addMuxer(SecuredPeer)
        case fail(Libp2pError)
        case none
    }

    private enum State {
        case agreeingOnSecurity
        case shakingHands(SecurityProtocol)
        case agreeingOnMuxer(SecuredPeer)
        case done
    }

    private var state: State = .agreeingOnSecurity
    private let ownPeer: PeerID
    private let securityProtocols: [SecurityProtocol]

    init(ownPeer: PeerID, securityProtocols: [SecurityProtocol]) {
        self.ownPeer = ownPeer
        self.securityProtocols = securityProtocols
    }

    var isDone: Bool {
        if case .done = state { true } else { false }
    }

    /// The step under way, for error messages.
    var step: String {
        switch state {
        case .agreeingOnSecurity: "agreeing on a security protocol"
        case .shakingHands(let security): "the \(security) handshake"
        case .agreeingOnMuxer: "agreeing on a multiplexer"
        case .done: "the connection"
        }
    }

    mutating func negotiated(_ protocolID: ProtocolID) -> Action {
        switch state {
        case .agreeingOnSecurity:
            guard let security = securityProtocols.first(where: { $0.id == protocolID }) else { break }
            state = .shakingHands(security)
            return .addSecurity(security)
        case .agreeingOnMuxer(let peer) where protocolID == .yamux:
            state = .done
            return .addMuxer(peer)
        case .done:
            return .none
        case .shakingHands, .agreeingOnMuxer:
            break
        }
        return fail("the protocol \(protocolID) was negotiated out of turn")
    }

    /// - Parameter muxer: the multiplexer that both sides named within the handshake, if they did.
    mutating func shookHands(with peer: PeerID, _ publicKey: PublicKey, muxer: ProtocolID?) -> Action {
        guard case .shakingHands(let security) = state else { return fail("a handshake was completed out of turn") }
        guard peer != ownPeer else {
            state = .done
            return .fail(
                Libp2pError(
                    .selfDial, "the node at the other end is this node itself (\(peer)): dial another node's address"))
        }
        let secured = SecuredPeer(id: peer, publicKey: publicKey, security: security)
        switch muxer {
        case nil:
            state = .agreeingOnMuxer(secured)
            return .addMuxerNegotiation
        case .some(.yamux):
            state = .done
            return .addMuxer(secured)
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

/// Who is at the other end, and by what that was proven.
struct SecuredPeer: Hashable, Sendable {
    let id: PeerID
    let publicKey: PublicKey
    let security: SecurityProtocol
}

extension ProtocolID {
    /// TLS, the secured channel.
    static let tls: ProtocolID = "/tls/1.0.0"
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
