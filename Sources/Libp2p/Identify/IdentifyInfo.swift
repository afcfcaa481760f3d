public import Multiformats
public import PeerIdentity

/// What a peer told about itself by [identify](https://github.com/libp2p/specs/blob/master/identify/README.md).
///
/// All of it is the peer's word alone, apart from its key, which is checked against its peer ID.
public struct IdentifyInfo: Hashable, Sendable {
    /// Name and version of its program. Control characters are replaced, length is at most 256 bytes.
    public var agentVersion: String?
    /// Its protocol family, as `ipfs/0.1.0`. The same rules as for the agent.
    public var protocolVersion: String?
    /// Its key.
    public var publicKey: PublicKey?
    /// Where it says it can be reached. Addresses of kinds that are unknown here are left out.
    public var listenAddresses: [Multiaddr] = []
    /// The address it sees us under.
    public var observedAddress: Multiaddr?
    /// The protocols it accepts streams for.
    public var protocols: [ProtocolID] = []
    /// The number of the record that signed the addresses; `nil` if nothing was signed.
    var recordNumber: UInt64?

    private static let longestText = 256

    init() {}

    /// Takes in a message of `peer`. What it leaves out stays as it was.
    ///
    /// - Throws: ``Libp2pError/Code/protocolViolation`` if the key in it is another peer's; nothing has changed then.
    mutating func update(with message: IdentifyMessage, from peer: PeerID) throws(Libp2pError) {
        if let bytes = message.publicKey {
            let key: PublicKey
            do {
                key = try PublicKey(decoding: bytes)
            } catch {
                throw Libp2pError(
                    .protocolViolation, "\(peer) identified itself with bytes that are no public key.",
                    underlying: error)
            }
            guard PeerID(publicKey: key) == peer else {
                throw Libp2pError(.protocolViolation, "\(peer) identified itself with the key of another peer.")
            }
            publicKey = key
        }
        if let bytes = message.agentVersion { agentVersion = Self.text(bytes) }
        if let bytes = message.protocolVersion { protocolVersion = Self.text(bytes) }
        if let bytes = message.observedAddress, let address = try? Multiaddr(bytes: bytes) { observedAddress = address }
        if !message.protocols.isEmpty {
            protocols = message.protocols.map { ProtocolID(String(decoding: $0, as: UTF8.self)) }
        }
        // A signed record beats what is not signed; one that is wrong or older counts as absent.
        if let bytes = message.signedPeerRecord, let record = try? PeerRecord(opening: bytes, of: peer) {
            guard recordNumber.map({ $0 <= record.number }) ?? true else { return }
            recordNumber = record.number
            listenAddresses = Self.addresses(record.addresses, of: peer)
        } else if !message.listenAddresses.isEmpty {
            listenAddresses = Self.addresses(message.listenAddresses, of: peer)
        }
    }

    /// Without the addresses of somebody else.
    private static func addresses(_ encoded: [[UInt8]], of peer: PeerID) -> [Multiaddr] {
        encoded.compactMap { bytes in
            guard let address = try? Multiaddr(bytes: bytes), [nil, peer.multihash].contains(address.peerMultihash)
            else { return nil }
            return address.removingPeer()
        }
    }

    private static func text(_ bytes: [UInt8]) -> String {
        var text = ""
        for scalar in String(decoding: bytes.prefix(longestText), as: UTF8.self).unicodeScalars {
            text.unicodeScalars.append(scalar.properties.generalCategory == .control ? "\u{FFFD}" : scalar)
        }
        return text
    }
}
