import Multiformats
import NIOCore

/// One Bitswap message as it came in: what it says, with the blocks still slices of the frame they came in.
///
/// See ipfs/specs, bitswap-protocol.md, "Wire format". Entries and presences whose CID we cannot read are left out and
/// counted: one peer's newer CIDs must not cost it the rest of its message.
struct Message {
    struct Entry: Hashable {
        var cid: CID
        var priority: Int32 = 1
        var kind: Kind

        enum Kind: Hashable {
            case want(WantType, sendDontHave: Bool)
            case cancel
        }
    }

    struct ReceivedBlock {
        /// Nil in the 1.0.0 form, which has no prefix: such a block is hashed with SHA2-256.
        var prefix: CID.Prefix?
        var data: ByteBuffer
    }

    struct Presence: Hashable {
        var cid: CID
        var has: Bool
    }

    /// The entries replace all that the peer wanted before.
    var isFull = false
    var entries: [Entry] = []
    var blocks: [ReceivedBlock] = []
    var presences: [Presence] = []
    /// Bytes that the sender still has queued for us.
    var pendingBytes: Int = 0
    /// Bytes of the message as it came, without its length prefix.
    var byteCount = 0
    /// CIDs of entries and presences that were passed over because they could not be read.
    var unreadable = 0
    /// Blocks that were passed over because their prefix could not be read.
    var unreadableBlocks = 0
}

/// Whether a peer wants the block or only to know who has it.
public enum WantType: String, Sendable, Hashable, Codable {
    case block
    case have
}
