package import PeerIdentity

/// One direction of an established Noise session: a key and the number of the next message.
///
/// [Noise](https://noiseprotocol.org/noise.html), section 5.1. The order of calls is the order of messages on the wire.
package struct NoiseCipherState {
    private let key: ChaCha20Poly1305
    /// The number of the next message. The last one, 2^64 - 1, is never used.
    package private(set) var nonce: UInt64

    package init(key: ChaCha20Poly1305, nonce: UInt64 = 0) {
        self.key = key
        self.nonce = nonce
    }

    private static var none: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    /// Seals `plaintext` into `output`, in place or apart, as ``ChaCha20Poly1305/seal(_:nonce:additionalData:into:)`` does.
    @inline(__always)
    package mutating func seal(
        _ plaintext: UnsafeRawBufferPointer, additionalData: UnsafeRawBufferPointer? = nil,
        into output: UnsafeMutableRawBufferPointer
    ) throws(Libp2pError) {
        guard nonce != .max else { throw .noiseExhausted }
        do {
            try key.seal(plaintext, nonce: nonce, additionalData: additionalData ?? Self.none, into: output)
        } catch {
            throw Libp2pError(.internal, "A Noise message could not be sealed.", underlying: error)
        }
        nonce &+= 1
    }

    /// Opens `sealed` into `output`, in place or apart, as ``ChaCha20Poly1305/open(_:nonce:additionalData:into:)`` does.
    /// A message that does not open leaves the nonce where it is; the session is over all the same.
    @inline(__always)
    package mutating func open(
        _ sealed: UnsafeRawBufferPointer, additionalData: UnsafeRawBufferPointer? = nil,
        into output: UnsafeMutableRawBufferPointer
    ) throws(Libp2pError) {
        guard nonce != .max else { throw .noiseExhausted }
        do {
            try key.open(sealed, nonce: nonce, additionalData: additionalData ?? Self.none, into: output)
        } catch {
            throw Libp2pError(
                .protocolViolation, "Message \(nonce) of the Noise session does not open.", underlying: error)
        }
        nonce &+= 1
    }
}

extension Libp2pError {
    /// Noise section 5.1 and libp2p-noise: after 2^64 - 1 messages in a direction the connection ends.
    static var noiseExhausted: Libp2pError {
        Libp2pError(.connectionClosed, "The Noise session has used up its message numbers. Connect again.")
    }
}
