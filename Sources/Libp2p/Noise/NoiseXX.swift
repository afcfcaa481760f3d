package import PeerIdentity

/// Which side of a handshake this is.
package enum NoiseRole: Sendable, Hashable {
    case initiator, responder
}

/// The handshake `Noise_XX_25519_ChaChaPoly_SHA256` of the Noise framework, with any payloads: three messages that the
/// two sides write and read in turn, the initiator first.
///
///     -> e
///     <- e, ee, s, es
///     -> s, se
///
/// Knows nothing of libp2p. After a call that threw, the handshake is over.
package struct NoiseXX {
    /// The keys of one side. Each handshake needs an ephemeral pair of its own.
    package struct Keys: Sendable {
        package let staticKey: X25519KeyPair
        package let ephemeralKey: X25519KeyPair

        package init(staticKey: X25519KeyPair, ephemeralKey: X25519KeyPair) {
            self.staticKey = staticKey
            self.ephemeralKey = ephemeralKey
        }

        /// New random pairs.
        package static func generate() throws(IdentityError) -> Keys {
            Keys(staticKey: try .generate(), ephemeralKey: try .generate())
        }
    }

    package let role: NoiseRole
    /// The other side's static key, once it was read.
    package private(set) var remoteStaticKey: [UInt8]?
    /// Messages written and read so far: 0 to 3.
    package private(set) var messageCount = 0

    private let keys: Keys
    private var remoteEphemeralKey: [UInt8] = []
    private var symmetric = NoiseSymmetricState(protocolName: "Noise_XX_25519_ChaChaPoly_SHA256")

    package init(role: NoiseRole, keys: Keys, prologue: [UInt8] = []) {
        self.role = role
        self.keys = keys
        symmetric.mixHash(prologue)
    }

    /// Whether the next message is this side's to write.
    package var isWriting: Bool { messageCount < 3 && messageCount.isMultiple(of: 2) == (role == .initiator) }

    package var isFinished: Bool { messageCount == 3 }

    /// A hash of all that was said, the same on both sides once the handshake is finished.
    package var handshakeHash: [UInt8] { symmetric.hash }

    /// Bytes that the next message has besides its payload.
    private var overhead: Int {
        let key = X25519KeyPair.keyLength
        let tag = ChaCha20Poly1305.tagLength
        return switch messageCount {
        case 0: key
        case 1: key + key + tag + tag
        default: key + tag + tag
        }
    }

    /// The next message, with `payload` inside: readable by anyone in the first message, sealed in the others.
    package mutating func write(payload: [UInt8]) throws(Libp2pError) -> [UInt8] {
        guard isWriting else { throw Libp2pError(.internal, "It is not our turn in the Noise handshake.") }
        guard payload.count <= NoiseLimits.messageBytes - overhead else {
            throw Libp2pError(
                .internal, "A payload of \(payload.count) bytes is too long for a message of the Noise handshake.")
        }
        var message: [UInt8] = []
        message.reserveCapacity(overhead + payload.count)
        if messageCount < 2 {
            message += keys.ephemeralKey.publicKey
            symmetric.mixHash(message)
        }
        if messageCount == 1 {
            try mixKey(keys.ephemeralKey, remoteEphemeralKey)
        }
        if messageCount > 0 {
            try symmetric.encryptAndHash(keys.staticKey.publicKey, into: &message)
            try mixKey(keys.staticKey, remoteEphemeralKey)
        }
        try symmetric.encryptAndHash(payload, into: &message)
        messageCount += 1
        return message
    }

    /// Reads the next message and returns its payload.
    package mutating func read(_ message: UnsafeRawBufferPointer) throws(Libp2pError) -> [UInt8] {
        guard !isWriting, !isFinished else {
            throw Libp2pError(.internal, "It is not the peer's turn in the Noise handshake.")
        }
        guard message.count >= overhead, message.count <= NoiseLimits.messageBytes else {
            throw Libp2pError(
                .handshakeFailed,
                "Message \(messageCount + 1) of the peer's Noise handshake has \(message.count) bytes; "
                    + "it has at least \(overhead).")
        }
        var rest = message
        func take(_ count: Int) -> UnsafeRawBufferPointer {
            defer { rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count)) }
            return UnsafeRawBufferPointer(rebasing: rest.prefix(count))
        }
        if messageCount < 2 {
            let key = take(X25519KeyPair.keyLength)
            remoteEphemeralKey = [UInt8](key)
            symmetric.mixHash(key)
        }
        if messageCount == 1 {
            try mixKey(keys.ephemeralKey, remoteEphemeralKey)
        }
        if messageCount > 0 {
            let key = try opened(take(X25519KeyPair.keyLength + ChaCha20Poly1305.tagLength))
            remoteStaticKey = key
            try mixKey(keys.ephemeralKey, key)
        }
        let payload = try opened(rest)
        messageCount += 1
        return payload
    }

    /// The two directions of the session. Only once, after all three messages.
    package mutating func split() throws(Libp2pError) -> (send: NoiseCipherState, receive: NoiseCipherState) {
        guard isFinished else { throw Libp2pError(.internal, "The Noise handshake is not finished.") }
        do {
            let (first, second) = try symmetric.split()
            return role == .initiator ? (first, second) : (second, first)
        } catch {
            throw Libp2pError(.internal, "The keys of a Noise session could not be made.", underlying: error)
        }
    }

    private mutating func opened(_ sealed: UnsafeRawBufferPointer) throws(Libp2pError) -> [UInt8] {
        do {
            return try symmetric.decryptAndHash(sealed)
        } catch {
            throw Libp2pError(
                .handshakeFailed,
                "Message \(messageCount + 1) of the peer's Noise handshake does not open: it was altered on its way, "
                    + "or the peer speaks something else.",
                underlying: error.underlying)
        }
    }

    /// `MixKey(DH(ours, theirs))`.
    private mutating func mixKey(_ ours: X25519KeyPair, _ theirs: [UInt8]) throws(Libp2pError) {
        do {
            try theirs.withUnsafeBufferPointer { theirs throws(IdentityError) in
                try ours.withSharedSecret(with: UnsafeRawBufferPointer(theirs)) { secret throws(IdentityError) in
                    try symmetric.mixKey(secret)
                }
            }
        } catch {
            throw Libp2pError(.handshakeFailed, "The peer's Noise key is unusable.", underlying: error)
        }
    }
}
