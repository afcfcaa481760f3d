import CSodium

extension Multihash {
    /// libsodium picks the fastest code for this processor when it is initialised; doing so twice is harmless.
    private static let sodiumIsReady = sodium_init() >= 0

    static func blake2b256(_ data: UnsafeRawBufferPointer) throws(MultiformatsError) -> Multihash {
        var digest = [UInt8](repeating: 0, count: 32)
        let done =
            sodiumIsReady
            && crypto_generichash(&digest, digest.count, data.baseAddress, UInt64(data.count), nil, 0) == 0
        guard done else {
            throw MultiformatsError(
                code: .unsupportedHash, message: "libsodium could not be initialised for blake2b-256")
        }
        return digest.withUnsafeBytes { Multihash(unchecked: .blake2b256, digest: $0) }
    }
}
