import PeerIdentity

/// The running hash and keys of a Noise handshake: `SymmetricState` of the Noise framework, section 5.2, for
/// 25519, ChaChaPoly and SHA256.
struct NoiseSymmetricState {
    /// Everything both sides have said so far, hashed.
    private(set) var hash: [UInt8]
    private var chainingKey: [UInt8]
    private var cipher: NoiseCipherState?

    /// Starts with a protocol name of exactly 32 bytes, which is then the first hash as it is.
    init(protocolName: StaticString) {
        let name = protocolName.withUTF8Buffer { [UInt8]($0) }
        self.hash = name
        self.chainingKey = name
    }

    mutating func mixHash(_ bytes: UnsafeRawBufferPointer) {
        hash = hash.withUnsafeBytes { HandshakeDigest.sha256($0, bytes) }
    }

    mutating func mixHash(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { mixHash($0) }
    }

    mutating func mixKey(_ secret: UnsafeRawBufferPointer) throws(IdentityError) {
        var (first, second) = HandshakeDigest.derive(chainingKey: chainingKey, input: secret)
        defer { HandshakeDigest.wipe(&second) }
        swap(&chainingKey, &first)
        HandshakeDigest.wipe(&first)
        cipher = NoiseCipherState(key: try Self.key(second))
    }

    /// Appends the sealed form of `plaintext` (itself while there is no key yet) to `message`.
    mutating func encryptAndHash(_ plaintext: [UInt8], into message: inout [UInt8]) throws(Libp2pError) {
        var sealed = plaintext
        let hash = self.hash
        if cipher != nil {
            sealed.append(contentsOf: repeatElement(0, count: ChaCha20Poly1305.tagLength))
            try plaintext.withUnsafeBufferPointer { plaintext throws(Libp2pError) in
                try sealed.withUnsafeMutableBufferPointer { sealed throws(Libp2pError) in
                    try hash.withUnsafeBufferPointer { hash throws(Libp2pError) in
                        try cipher?.seal(
                            UnsafeRawBufferPointer(plaintext), additionalData: UnsafeRawBufferPointer(hash),
                            into: UnsafeMutableRawBufferPointer(sealed))
                    }
                }
            }
        }
        mixHash(sealed)
        message.append(contentsOf: sealed)
    }

    /// The plaintext of `sealed`, which is itself while there is no key yet.
    mutating func decryptAndHash(_ sealed: UnsafeRawBufferPointer) throws(Libp2pError) -> [UInt8] {
        var plaintext: [UInt8]
        let hash = self.hash
        if cipher != nil {
            plaintext = [UInt8](repeating: 0, count: max(0, sealed.count - ChaCha20Poly1305.tagLength))
            try plaintext.withUnsafeMutableBufferPointer { plaintext throws(Libp2pError) in
                try hash.withUnsafeBufferPointer { hash throws(Libp2pError) in
                    try cipher?.open(
                        sealed, additionalData: UnsafeRawBufferPointer(hash),
                        into: UnsafeMutableRawBufferPointer(plaintext))
                }
            }
        } else {
            plaintext = [UInt8](sealed)
        }
        mixHash(sealed)
        return plaintext
    }

    /// The keys of the session: the initiator's direction, then the responder's. Wipes what they came from.
    mutating func split() throws(IdentityError) -> (NoiseCipherState, NoiseCipherState) {
        var (first, second) = HandshakeDigest.derive(
            chainingKey: chainingKey, input: UnsafeRawBufferPointer(start: nil, count: 0))
        defer {
            HandshakeDigest.wipe(&first)
            HandshakeDigest.wipe(&second)
            HandshakeDigest.wipe(&chainingKey)
            cipher = nil
        }
        return (NoiseCipherState(key: try Self.key(first)), NoiseCipherState(key: try Self.key(second)))
    }

    private static func key(_ bytes: [UInt8]) throws(IdentityError) -> ChaCha20Poly1305 {
        try bytes.withUnsafeBufferPointer { bytes throws(IdentityError) in
            try ChaCha20Poly1305(key: UnsafeRawBufferPointer(bytes))
        }
    }
}
