import Blockstore
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import Multiformats

/// The bytes of the blocks of all nodes of a simulation, each once: fifty nodes with the same file take the memory of one.
final class BlockPool: Sendable {
    private let blocks = NIOLockedValueBox<[Multihash: ByteBuffer]>([:])

    /// Bytes equal to those of the block, not part of a larger buffer.
    func shared(_ block: Block) -> ByteBuffer {
        blocks.withLockedValue { blocks in
            if let known = blocks[block.cid.multihash], known == block.bytes { return known }
            let copy = ByteBuffer(bytes: block.bytes.readableBytesView)
            if blocks[block.cid.multihash] == nil { blocks[block.cid.multihash] = copy }
            return copy
        }
    }
}
