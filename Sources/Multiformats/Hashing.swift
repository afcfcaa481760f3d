import Crypto

extension Multihash.Code {
    /// Whether ``Multihash/hash(_:with:)`` can compute it.
    public var isSupported: Bool {
        switch self {
        case .identity, .sha2_256, .sha2_512, .sha3_256, .blake2b256: true
        default: false
        }
    }
}

extension Multihash {
    /// The multihash of `data`.
    /// - Throws: `unsupportedHash`, or `limitExceeded` for an identity of more than
    ///   ``MultiformatsLimits/identityDigestLength`` bytes.
    public static func hash(_ data: UnsafeRawBufferPointer, with code: Code) throws(MultiformatsError) -> Multihash {
        switch code {
        case .sha2_256 where SHA256Kernel.isFast: return SHA256Kernel.hash(data)
        case .sha2_256:
            var function = SHA256()
            function.update(bufferPointer: data)
            return function.finalize().withUnsafeBytes { Multihash(unchecked: code, digest: $0) }
        case .sha2_512:
            var function = SHA512()
            function.update(bufferPointer: data)
            return function.finalize().withUnsafeBytes { Multihash(unchecked: code, digest: $0) }
        case .sha3_256:
            var function = SHA3_256()
            function.update(bufferPointer: data)
            return function.finalize().withUnsafeBytes { Multihash(unchecked: code, digest: $0) }
        case .blake2b256: return try blake2b256(data)
        case .identity:
            guard data.count <= MultiformatsLimits.identityDigestLength else {
                throw MultiformatsError(
                    code: .limitExceeded,
                    message: "an identity multihash of \(data.count) bytes; the limit is "
                        + "\(MultiformatsLimits.identityDigestLength): use a real hash function")
            }
            return Multihash(unchecked: .identity, digest: data)
        default:
            throw MultiformatsError(
                code: .unsupportedHash,
                message: "the hash function \(code) cannot be computed here; "
                    + "known are identity, sha2-256, sha2-512, sha3-256 and blake2b-256")
        }
    }

    /// The multihashes of two pieces of data at once. For SHA2-256, on processors with instructions for it, that takes
    /// little more than half of the time of one after the other.
    /// - Throws: as ``hash(_:with:)-(UnsafeRawBufferPointer,_)``, when either of them does.
    public static func hash(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, with code: Code
    ) throws(MultiformatsError) -> (Multihash, Multihash) {
        if code == .sha2_256, SHA256Kernel.isFast { return SHA256Kernel.hash(first, second) }
        return (try hash(first, with: code), try hash(second, with: code))
    }

    /// The multihash of `data`.
    /// - Throws: as ``hash(_:with:)-(UnsafeRawBufferPointer,_)``.
    public static func hash(_ data: some Sequence<UInt8>, with code: Code) throws(MultiformatsError) -> Multihash {
        try withContiguousBytes(data) { (data) throws(MultiformatsError) in try hash(data, with: code) }
    }

    /// Whether `data` has this digest. A digest that was cut short counts down to
    /// ``MultiformatsLimits/minimumVerifiableDigestLength`` bytes.
    /// - Throws: `unsupportedHash`, `invalidDigestLength` for a digest too short to prove anything or longer than its
    ///   function makes it, `limitExceeded` for an identity above ``MultiformatsLimits/identityDigestLength``.
    public func matches(_ data: UnsafeRawBufferPointer) throws(MultiformatsError) -> Bool {
        if code == .identity {
            guard digestLength <= MultiformatsLimits.identityDigestLength else {
                throw MultiformatsError(
                    code: .limitExceeded,
                    message: "an identity multihash of \(digestLength) bytes; the limit is "
                        + "\(MultiformatsLimits.identityDigestLength)")
            }
            return withUnsafeDigestBytes { $0.elementsEqual(data) }
        }
        return try Self.hash(data, with: code, digestLength: digestLength) == self
    }

    /// The multihash of `data`, cut to `digestLength` bytes. For an identity that must be the length of `data`.
    static func hash(
        _ data: UnsafeRawBufferPointer, with code: Code, digestLength: Int
    ) throws(MultiformatsError) -> Multihash {
        // Before any work: a peer must not make us hash for a digest that cannot count.
        if code != .identity, code.isSupported {
            guard digestLength >= MultiformatsLimits.minimumVerifiableDigestLength else {
                throw MultiformatsError(
                    code: .invalidDigestLength,
                    message: "a \(code) digest of \(digestLength) bytes is too short to prove anything; it needs "
                        + "\(MultiformatsLimits.minimumVerifiableDigestLength)")
            }
        }
        let full = try hash(data, with: code)
        if full.digestLength == digestLength { return full }
        guard code != .identity, digestLength < full.digestLength else {
            throw MultiformatsError(
                code: .invalidDigestLength,
                message: "a \(code) digest has \(full.digestLength) bytes here, not \(digestLength)")
        }
        return full.withUnsafeDigestBytes {
            Multihash(unchecked: code, digest: UnsafeRawBufferPointer(rebasing: $0[..<digestLength]))
        }
    }
}
