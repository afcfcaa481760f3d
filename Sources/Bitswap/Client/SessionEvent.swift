public import Multiformats
public import PeerIdentity

/// What happens to the wants of a session. More may be added, so a `switch` over it needs a default.
public enum SessionEvent: Sendable, Hashable {
    /// The block was in the own store, or was put there meanwhile.
    case foundLocally(CID)
    /// The block is not in the own store: peers may be asked.
    case opened(CID)
    /// A peer was sent the want: for the block, or whether it has it.
    case asked(CID, PeerID, WantType)
    /// A peer said HAVE or DONT_HAVE.
    case answered(CID, PeerID, has: Bool)
    /// A block came, of so many bytes.
    case received(CID, PeerID, bytes: Int)
    /// A peer let the time pass in which it was to give the block; others are asked beside it.
    case stalled(CID, PeerID)
    /// A peer sent what nobody had asked it for while it was to give this block.
    case refused(CID, PeerID)
    /// So many peers were asked again, or for the first time, as nobody is known to have the block.
    case broadcast(CID, peers: Int)
    /// The content router was asked who has the block.
    case askedRouter(CID)
    /// The content router named a peer.
    case found(PeerID)
    /// The want ended without a block.
    case failed(CID, ExchangeError.Code)
}
