import Multiformats
import PeerIdentity

/// The addresses of a peer, numbered, to be signed by it.
/// [RFC 0003](https://github.com/libp2p/specs/blob/master/RFC/0003-routing-records.md), with the domain and the type
/// that go-libp2p, rust-libp2p and js-libp2p use.
struct PeerRecord: Hashable {
    static let domain = "libp2p-peer-record"
    static let payloadType: [UInt8] = [0x03, 0x01]

    var peer: PeerID
    /// Later records have higher numbers.
    var number: UInt64
    /// Multiaddrs, not checked.
    var addresses: [[UInt8]]

    /// Reads a signed record.
    ///
    /// - Throws: if the envelope, its signature or the record is wrong, or if it is not `peer`'s own.
    init(opening envelope: [UInt8], of peer: PeerID) throws {
        let envelope = try SignedEnvelope.open(envelope, domain: Self.domain)
        guard envelope.payloadType == Self.payloadType, envelope.signer == peer else {
            throw Libp2pError(.protocolViolation, "The peer record is not one of \(peer).")
        }
        try self.init(decoding: envelope.payload)
        guard self.peer == peer else {
            throw Libp2pError(.protocolViolation, "The peer record speaks of another peer than \(peer).")
        }
    }

    init(peer: PeerID, number: UInt64, addresses: [[UInt8]]) {
        self.peer = peer
        self.number = number
        self.addresses = addresses
    }

    func signed(with identity: KeyPair) throws -> [UInt8] {
        try SignedEnvelope.seal(try encoded(), type: Self.payloadType, domain: Self.domain, with: identity).bytes
    }
}
