package import Bitswap
package import Libp2p
package import Multiformats
package import PeerIdentity
package import Routing

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
    /// The blocks that the node waits for, or those that a connected peer wants of it.
    case wantlist(peer: PeerID?)
    /// What a connected peer and the node have given each other.
    case ledger(peer: PeerID)
    /// Nobody waits any more for the answer to the request of this number on this connection. Answered by `done`, whether
    /// there is such a request or not.
    case cancel(id: UInt64)
}

package enum ControlAnswer: Codable, Sendable {
    case status(NodeStatus)
    case peers([PeerStatus])
    case connected(peer: PeerID)
    case fetched(FetchStatus)
    case wantlist(WantlistStatus)
    case ledger(LedgerStatus)
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
    package var swarm: SwarmStatistics
    /// Nil when mDNS is not used.
    package var mdns: MDNSStatistics?
}

package struct WantlistStatus: Codable, Sendable, Hashable {
    /// How many wants there are.
    package var count: Int
    /// What the node wants: as much of it as fits into an answer. Empty when a peer was asked about.
    package var own: [CID] = []
    /// What the peer wants: as much of it as fits into an answer, the highest priority first.
    package var peers: [PeerWant] = []
}

/// A connection with a peer.
package struct PeerStatus: Codable, Sendable, Hashable {
    package var peer: PeerID
    package var address: Multiaddr
    /// Whether the node dialled the peer, and not the other way round.
    package var isOutbound: Bool
    /// What the connection is secured with, by the name of the ``SecurityProtocol``.
    package var security: String
    /// The program at the other end, once it has told.
    package var agent: String?
    package var connectedSeconds: Int64
    /// How it was found first: `mdns`, `list`, `bootstrap`, `remembered`, `named`, or the name of another
    /// ``DiscoveryMethod``. Nil for one that a single dial reached or that has come by itself.
    package var foundBy: String?
    /// How long ago that was.
    package var foundSeconds: Int64?
    /// What the peer and the node have given each other; nil when the peer is just coming or going.
    package var ledger: LedgerStatus?
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
        /// There is no connection with the peer in question.
        package static let notConnected = Kind(rawValue: "notConnected")
        /// The request was cancelled over its connection.
        package static let cancelled = Kind(rawValue: "cancelled")
        /// Too many connections to the control socket.
        package static let tooBusy = Kind(rawValue: "tooBusy")
    }

    package var kind: Kind
    package var message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    static let cancelled = ControlFailure(.cancelled, "the request was cancelled")

    package var description: String { message }
}
