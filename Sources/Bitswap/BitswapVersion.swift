public import Libp2p

/// The versions of the Bitswap protocol that the exchange speaks, oldest first.
///
/// They differ in what a message can say: from 1.1.0 on a block carries the prefix of its CID, from 1.2.0 on a peer may
/// ask for and answer HAVE and DONT_HAVE (ipfs/specs, bitswap-protocol.md).
public enum BitswapVersion: Sendable, Hashable, Comparable, CaseIterable, CustomStringConvertible {
    /// `/ipfs/bitswap`, from before versions had numbers; on the wire it is 1.0.0.
    case unversioned
    case v1_0_0
    case v1_1_0
    case v1_2_0

    /// The identifier by which streams of this version are negotiated.
    public var protocolID: ProtocolID {
        switch self {
        case .unversioned: "/ipfs/bitswap"
        case .v1_0_0: "/ipfs/bitswap/1.0.0"
        case .v1_1_0: "/ipfs/bitswap/1.1.0"
        case .v1_2_0: "/ipfs/bitswap/1.2.0"
        }
    }

    /// The identifier by which streams of this version are negotiated in a network with this prefix.
    public func protocolID(prefix: ProtocolPrefix?) -> ProtocolID {
        prefix.map { ProtocolID($0.text + protocolID.name) } ?? protocolID
    }

    /// The version that a protocol identifier stands for, or nil when it is not one of Bitswap's in a network with this
    /// prefix.
    public init?(_ protocolID: ProtocolID, prefix: ProtocolPrefix? = nil) {
        let version = Self.allCases.first { $0.protocolID(prefix: prefix) == protocolID }
        guard let version else { return nil }
        self = version
    }

    /// Newest first: the order in which we propose them.
    static let preferred: [BitswapVersion] = allCases.reversed()

    /// Whether blocks carry the prefix of their CID.
    var hasPrefixes: Bool { self >= .v1_1_0 }
    /// Whether WANT-HAVE, HAVE, DONT_HAVE and pendingBytes exist.
    var hasPresences: Bool { self >= .v1_2_0 }

    public var description: String { protocolID.description }
}
