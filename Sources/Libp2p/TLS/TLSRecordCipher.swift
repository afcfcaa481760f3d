import Crypto

/// The cipher that TLS protects its records with where the processor knows AES, by itself: what it costs is the least that a
/// connection with TLS can.
package struct TLSRecordCipher {
    /// The plaintext of the longest record (RFC 8446, 5.1).
    package static let longestPlaintext = 16 << 10

    package struct Sealed {
        fileprivate let box: AES.GCM.SealedBox
    }

    private let key = SymmetricKey(size: .bits128)
    private let nonce = AES.GCM.Nonce()

    package init() {}

    package func seal(_ plaintext: UnsafeRawBufferPointer) throws -> Sealed {
        Sealed(box: try AES.GCM.seal(plaintext, using: key, nonce: nonce))
    }

    /// Returns the number of bytes that were sealed.
    package func open(_ sealed: Sealed) throws -> Int { try AES.GCM.open(sealed.box, using: key).count }
}
