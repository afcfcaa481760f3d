internal import CWire

extension PublicKey {
    /// Reads a `PublicKey` message of `keys.proto`. Throws as ``init(kind:bytes:)`` does.
    public init(decoding protobuf: UnsafeRawBufferPointer) throws(IdentityError) {
        var key = cwire_key()
        let status = cwire_key_decode(
            protobuf.bindMemory(to: UInt8.self).baseAddress, protobuf.count, IdentityLimits.publicKeyBytes, &key)
        guard status == CWIRE_OK else {
            throw IdentityError(
                .invalidPublicKey, "These \(protobuf.count) bytes are no public key: \(WireText.of(status)).")
        }
        guard let kind = Kind(key.type) else {
            throw IdentityError(.unsupportedKey, "A public key of the unknown type \(key.type.rawValue).")
        }
        try self.init(kind: kind, bytes: [UInt8](UnsafeRawBufferPointer(start: key.data.data, count: key.data.length)))
    }

    /// The key as a `PublicKey` message of `keys.proto`, in the one form that peer IDs are made from.
    public var protobufBytes: [UInt8] {
        let size = cwire_key_size(kind.wireType, bytes.count)
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
            initialized = cwire_key_write(kind.wireType, bytes, bytes.count, buffer.baseAddress, size)
        }
    }
}

extension PublicKey.Kind {
    init?(_ type: cwire_key_type) {
        switch type {
        case CWIRE_KEY_RSA: self = .rsa
        case CWIRE_KEY_ED25519: self = .ed25519
        case CWIRE_KEY_SECP256K1: self = .secp256k1
        case CWIRE_KEY_ECDSA: self = .ecdsa
        default: return nil
        }
    }

    var wireType: cwire_key_type {
        switch self {
        case .rsa: CWIRE_KEY_RSA
        case .ed25519: CWIRE_KEY_ED25519
        case .secp256k1: CWIRE_KEY_SECP256K1
        case .ecdsa: CWIRE_KEY_ECDSA
        }
    }
}

/// What CWire says of a status.
enum WireText {
    static func of(_ status: cwire_status) -> String { String(cString: cwire_status_text(status)) }
}
