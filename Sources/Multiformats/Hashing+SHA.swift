import CSHA256

/// SHA2-256 by a kernel of our own, on processors that have instructions for it.
enum SHA256Kernel {
    /// Whether it may be called.
    static let isAvailable = csha256_is_available()
    /// Whether it beats what else there is.
    static let isFast = csha256_is_fast()
    private static let digestSize = Int(CSHA256_DIGEST_SIZE)

    static func hash(_ data: UnsafeRawBufferPointer) -> Multihash {
        withUnsafeTemporaryAllocation(byteCount: digestSize, alignment: 1) { digest in
            csha256_hash(data.bytes, data.count, digest.baseAddress?.assumingMemoryBound(to: UInt8.self))
            return Multihash(unchecked: .sha2_256, digest: UnsafeRawBufferPointer(digest))
        }
    }

    static func hash(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) -> (Multihash, Multihash) {
        withUnsafeTemporaryAllocation(byteCount: 2 * digestSize, alignment: 1) { digests in
            csha256_hash_two(
                first.bytes, first.count, second.bytes, second.count,
                digests.baseAddress?.assumingMemoryBound(to: UInt8.self))
            func multihash(_ range: Range<Int>) -> Multihash {
                Multihash(unchecked: .sha2_256, digest: UnsafeRawBufferPointer(rebasing: digests[range]))
            }
            return (multihash(0..<digestSize), multihash(digestSize..<2 * digestSize))
        }
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var bytes: UnsafePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}
