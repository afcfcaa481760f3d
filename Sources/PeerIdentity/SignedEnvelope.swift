/// A payload with its signer's key and signature, bound to what it is for.
///
/// [RFC 0002](https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md) of libp2p. The domain is part of
/// what is signed and not of the envelope: whoever opens it says which one it must be.
public struct SignedEnvelope: Hashable, Sendable {
    public let publicKey: PublicKey
    /// Tells what the payload is: a multicodec, or a text that starts with `/`.
    public let payloadType: [UInt8]
    public let payload: [UInt8]
    public let signature: [UInt8]

    /// The peer that signed.
    public var signer: PeerID { PeerID(publicKey: publicKey) }

    init(publicKey: PublicKey, payloadType: [UInt8], payload: [UInt8], signature: [UInt8]) {
        self.publicKey = publicKey
        self.payloadType = payloadType
        self.payload = payload
        self.signature = signature
    }

    /// Signs `payload` for the purpose `domain`. Throws ``IdentityError/Code/cryptoUnavailable``.
    public static func seal(
        _ payload: [UInt8], type payloadType: [UInt8], domain: String, with keyPair: KeyPair
    ) throws(IdentityError) -> SignedEnvelope {
        let signature = try keyPair.sign(signedBytes(domain: domain, payloadType: payloadType, payload: payload))
        return SignedEnvelope(
            publicKey: keyPair.publicKey, payloadType: payloadType, payload: payload, signature: signature)
    }

    /// Reads an envelope and checks that its key signed its contents for the purpose `domain`.
    ///
    /// Whether ``signer`` may say what the payload says, and whether ``payloadType`` is the expected one, is the caller's
    /// to check. Throws ``IdentityError/Code/invalidEnvelope`` for other bytes or more than 64 KiB of them,
    /// ``IdentityError/Code/invalidSignature``, and what ``PublicKey/init(decoding:)-([UInt8])`` and
    /// ``PublicKey/isValid(signature:for:)-(UnsafeRawBufferPointer,_)`` throw.
    public static func open(_ bytes: [UInt8], domain: String) throws(IdentityError) -> SignedEnvelope {
        try bytes.withRawBytes { bytes throws(IdentityError) in try open(bytes, domain: domain) }
    }

    /// Reads an envelope and checks it, as ``open(_:domain:)-([UInt8],_)`` does.
    public static func open(_ bytes: UnsafeRawBufferPointer, domain: String) throws(IdentityError) -> SignedEnvelope {
        let envelope = try SignedEnvelope(unverified: bytes)
        let signed = signedBytes(domain: domain, payloadType: envelope.payloadType, payload: envelope.payload)
        guard try envelope.publicKey.isValid(signature: envelope.signature, for: signed) else {
            throw IdentityError(
                .invalidSignature,
                "The signature of an envelope of \(envelope.signer) does not fit its contents and the domain “\(domain)”."
            )
        }
        return envelope
    }
}
