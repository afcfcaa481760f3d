import Blockstore
import Multiformats
import NIOCore

/// Blocks of one size, made from their numbers: no two are alike, and none can be compressed.
struct BenchBlocks {
    let size: Int

    static let smallestSize = 16

    func block(_ number: Int) throws -> Block {
        var buffer = ByteBufferAllocator().buffer(capacity: size)
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { room in
            let bytes = UnsafeMutableRawBufferPointer(rebasing: room[..<size])
            // The number itself, so that the blocks differ whatever the generator does.
            bytes.storeBytes(of: UInt64(truncatingIfNeeded: number), as: UInt64.self)
            var state = (UInt64(truncatingIfNeeded: number) &+ 1) &* 0x9E37_79B9_7F4A_7C15
            for offset in stride(from: 8, through: size - 8, by: 8) {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                bytes.storeBytes(of: state, toByteOffset: offset, as: UInt64.self)
            }
            for offset in (size & ~7)..<size { bytes[offset] = UInt8(truncatingIfNeeded: state >> 32) }
            return size
        }
        return try Block(buffer)
    }

    func blocks(_ numbers: Range<Int>) throws -> [Block] { try numbers.map(block) }

    /// How many are put at a time.
    var batchCount: Int { max(1, min(4096, (4 << 20) / size)) }

    /// Stores the blocks of these numbers; `each` gets every CID.
    func put(_ numbers: Range<Int>, into store: LMDBBlockstore, each: (CID) throws -> Void) async throws {
        var next = numbers.lowerBound
        while next < numbers.upperBound {
            try Task.checkCancellation()
            let batch = try blocks(next..<min(numbers.upperBound, next + batchCount))
            try await store.put(batch)
            for block in batch { try each(block.cid) }
            next += batch.count
        }
    }
}
