internal import CSodium

/// libsodium, started once for the process.
enum Sodium {
    private static let status: Int32 = sodium_init()

    /// Starts libsodium; every path into it comes through here first.
    static func start() throws(IdentityError) {
        guard status >= 0 else {
            throw IdentityError(
                .cryptoUnavailable,
                "libsodium could not start: the system gave it no random numbers. Check that /dev/urandom can be read.")
        }
    }

    static func refused(_ call: StaticString) -> IdentityError {
        IdentityError(.cryptoUnavailable, "libsodium refused \(call), which should not fail.")
    }
}

/// Random bytes from the operating system, for keys and whatever an attacker must not guess.
package enum SecureRandom {
    /// Fills `buffer` with random bytes.
    package static func fill(_ buffer: UnsafeMutableRawBufferPointer) throws(IdentityError) {
        try Sodium.start()
        guard let base = buffer.baseAddress, buffer.count > 0 else { return }
        randombytes_buf(base, buffer.count)
    }

    /// `count` random bytes.
    package static func bytes(_ count: Int) throws(IdentityError) -> [UInt8] {
        try Sodium.start()
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            if let base = buffer.baseAddress { randombytes_buf(base, count) }
            initialized = count
        }
    }

    /// A random number below `bound`, without bias; 0 for a bound of 0.
    package static func number(below bound: UInt32) throws(IdentityError) -> UInt32 {
        try Sodium.start()
        return randombytes_uniform(bound)
    }
}
