package import PeerIdentity

/// Fired up the pipeline by a security protocol when its handshake has succeeded, before any plaintext.
package struct HandshakeCompleted: Sendable, Hashable {
    /// The peer at the other end, proven.
    package let peer: PeerID
    package let publicKey: PublicKey
    /// The muxer both sides agreed on in the handshake; nil if it is still to be negotiated.
    package let muxer: ProtocolID?

    package init(peer: PeerID, publicKey: PublicKey, muxer: ProtocolID?) {
        self.peer = peer
        self.publicKey = publicKey
        self.muxer = muxer
    }
}
