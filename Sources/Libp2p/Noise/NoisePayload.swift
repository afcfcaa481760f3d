import PeerIdentity

/// What libp2p says inside the second and third message of the handshake: who one is, the proof, and extensions.
///
/// [libp2p-noise](https://github.com/libp2p/specs/blob/master/noise/README.md#the-libp2p-handshake-payload).
struct NoisePayload: Hashable {
    /// An encoded `PublicKey` message.
    var identityKey: [UInt8]
    /// The identity's signature of the Noise static key.
    var identitySignature: [UInt8]
    /// The stream muxers on offer, best first; empty if the peer offers none here.
    var muxers: [ProtocolID] = []

    /// What an identity signs to vouch for a static key.
    private static func statement(staticKey: [UInt8]) -> [UInt8] {
        Array("noise-libp2p-static-key:".utf8) + staticKey
    }

    init(identityKey: [UInt8], identitySignature: [UInt8], muxers: [ProtocolID]) {
        self.identityKey = identityKey
        self.identitySignature = identitySignature
        self.muxers = muxers
    }

    /// Our own payload.
    init(identity: KeyPair, staticKey: [UInt8], muxers: [ProtocolID]) throws(Libp2pError) {
        self.identityKey = identity.publicKey.protobufBytes
        do {
            self.identitySignature = try identity.sign(Self.statement(staticKey: staticKey))
        } catch {
            throw Libp2pError(.internal, "The Noise static key could not be signed.", underlying: error)
        }
        self.muxers = muxers
    }

    /// The identity that vouches for `staticKey`. Throws if it does not.
    func verifiedIdentity(staticKey: [UInt8]) throws(Libp2pError) -> PublicKey {
        let key: PublicKey
        let isValid: Bool
        do {
            key = try PublicKey(decoding: identityKey)
            isValid = try key.isValid(signature: identitySignature, for: Self.statement(staticKey: staticKey))
        } catch {
            throw Libp2pError(
                .handshakeFailed, "The peer's identity cannot be verified: \(error.message)", underlying: error)
        }
        guard isValid else {
            throw Libp2pError(
                .handshakeFailed,
                "The peer says it is \(PeerID(publicKey: key)), but its signature of the Noise key does not prove it.")
        }
        return key
    }
}
