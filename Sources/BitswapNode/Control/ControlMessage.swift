package import Bitswap
package import Multiformats
package import PeerIdentity

/// What a process asks of the node that serves from a repository, and what the node answers: one JSON object a line, each
/// with the version of the protocol and a number that pairs an answer with its request. Answers come in any order.
package enum ControlProtocol {
    package static let version = 1
}

/// The part of a request that every version has.
struct ControlRequestHead: Codable {
    var version: Int
    var id: UInt64
}

struct ControlRequestLine: Codable {
    var version: Int
    var id: UInt64
    var request: ControlRequest
}

struct ControlAnswerLine: Codable {
    var version: Int
    var id: UInt64
    var answer: ControlAnswer
}

package enum ControlRequest: Codable, Sendable, Hashable {
    /// Who the node is and how it fares.
    case status
    /// The connections it has.
    case peers
    /// Dial an address.
    case connect(address: Multiaddr)
    /// Bring a block into the repository's store. The bytes are read from there, not sent over the socket.
    /// `milliseconds` bounds the wait; without it there is no bound.
    case get(cid: CID, milliseconds: Int64?)
    /// These blocks were put into the store by another process: whoever waits for them is to get them.
    case offer(cids: [CID])
}

package enum ControlAnswer: Codable, Sendable {
    case status(NodeStatus)
    case peers([PeerStatus])
    case connected(peer: PeerID)
    case fetched(FetchStatus)
    case done
    case failed(ControlFailure)
}

package struct NodeStatus: Codable, Sendable, Hashable {
    package var peer: PeerID
    /// Where others reach it, with `/p2p/` at the end.
    package var addresses: [Multiaddr]
    package var agent: String
    package var process: Int32
    package var uptimeSeconds: Int64
    package var blocks: Int
    /// The sum of the blocks' sizes.
    package var blockBytes: Int
    /// What they take on the disk.
    package var storageBytes: Int
    /// Peers connected.
    package var peers: Int
    /// Blocks that the node waits for.
    package var wants: Int
    package var exchange: ExchangeStatistics
}

/// A connection with a peer.
package struct PeerStatus: Codable, Sendable, Hashable {
    package var peer: PeerID
    package var address: Multiaddr
    /// Whether the node dialled the peer, and not the other way round.
    package var isOutbound: Bool
    /// The program at the other end, once it has told.
    package var agent: String?
    package var connectedSeconds: Int64
}

package struct FetchStatus: Codable, Sendable, Hashable {
    package var size: Int
    /// Nil: it was in the store already.
    package var peer: PeerID?
    package var milliseconds: Double
}

/// Why a node did not do what it was asked over its control socket.
package struct ControlFailure: Error, Codable, Sendable, Hashable, CustomStringConvertible {
    /// What went wrong. A client that does not know a kind takes it for ``failed``.
    package struct Kind: RawRepresentable, Codable, Sendable, Hashable {
        package let rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        package static let failed = Kind(rawValue: "failed")
        /// A line that is no request, or one of another version of the protocol.
        package static let badRequest = Kind(rawValue: "badRequest")
        /// No peer gave the block in time.
        package static let timedOut = Kind(rawValue: "timedOut")
        /// A peer could not be dialled.
        package static let cannotConnect = Kind(rawValue: "cannotConnect")
        /// Too many connections to the control socket.
        package static let tooBusy = Kind(rawValue: "tooBusy")
    }

    package var kind: Kind
    package var message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    package var description: String { message }
}
