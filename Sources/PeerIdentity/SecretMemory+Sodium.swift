internal import CSodium

/// Memory for a secret: locked into RAM where the system allows it, between guard pages, read-only once filled, and
/// wiped when freed.
///
/// Each takes some pages of address space, so this is for long-lived keys and handshakes, not for every message.
// Sendable because the memory is read-only once it is filled.
final class SecretMemory: @unchecked Sendable {
    // Sendable: written only by the initializer, read-only pages after it.
    private let base: UnsafeMutableRawPointer
    let count: Int

    /// Allocates `count` bytes, lets `fill` write them, then makes them read-only.
    init(
        count: Int, fill: (UnsafeMutableRawBufferPointer) throws(IdentityError) -> Void
    ) throws(IdentityError) {
        try Sodium.start()
        guard let base = sodium_malloc(count) else {
            throw IdentityError(.cryptoUnavailable, "No memory for a secret of \(count) bytes.")
        }
        self.base = base
        self.count = count
        // From here on deinit frees and wipes, also when one of these throws.
        try fill(UnsafeMutableRawBufferPointer(start: base, count: count))
        guard sodium_mprotect_readonly(base) == 0 else { throw Sodium.refused("sodium_mprotect_readonly") }
    }

    deinit { sodium_free(base) }

    /// The secret, for the length of the call.
    func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// Overwrites bytes that held a secret outside of such memory.
    static func wipe(_ bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { buffer in
            if let base = buffer.baseAddress { sodium_memzero(base, buffer.count) }
        }
    }
}
