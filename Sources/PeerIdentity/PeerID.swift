public import Multiformats

/// The name of a peer: the multihash of its public key.
///
/// A key of at most 42 bytes in protobuf form, such as an Ed25519 key, is held whole (identity multihash); a longer one
/// by its SHA-256. [Peer ids and keys](https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md).
public struct PeerID: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let multihash: Multihash

    /// A peer ID from its multihash: sha2-256, or identity of at most 42 bytes.
    ///
    /// Throws ``IdentityError/Code/invalidPeerID`` for any other multihash.
    public init(multihash: Multihash) throws(IdentityError) {
        switch multihash.code {
        case .sha2_256 where multihash.digestLength == 32: break
        case .identity where (1...IdentityLimits.inlinedKeyBytes).contains(multihash.digestLength): break
        case .sha2_256, .identity:
            throw IdentityError(
                .invalidPeerID,
                "A peer ID is a SHA-256 of 32 bytes or a key of at most \(IdentityLimits.inlinedKeyBytes) bytes; "
                    + "this multihash holds \(multihash.digestLength) bytes.")
        default:
            throw IdentityError(
                .invalidPeerID,
                "A peer ID is a sha2-256 or identity multihash, not one with code \(multihash.code.rawValue).")
        }
        self.multihash = multihash
    }

    /// The peer ID of whoever holds the private half of `publicKey`.
    public init(publicKey: PublicKey) {
        let encoded = publicKey.protobufBytes
        let hash: Multihash.Code = encoded.count <= IdentityLimits.inlinedKeyBytes ? .identity : .sha2_256
        do {
            self.multihash = try encoded.withRawBytes { encoded throws(MultiformatsError) in
                try Multihash.hash(encoded, with: hash)
            }
        } catch {
            // Both hashes take bytes of any kind, and identity is within its limit.
            preconditionFailure("A public key could not be hashed: \(error)")
        }
    }

    /// Reads a peer ID from the bytes of its multihash. Throws ``IdentityError/Code/invalidPeerID``.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(IdentityError) {
        let multihash: Multihash
        do {
            multihash = try Multihash(decoding: bytes)
        } catch {
            throw IdentityError(
                .invalidPeerID, "These \(bytes.count) bytes are no peer ID: \(error.message)", underlying: error)
        }
        try self.init(multihash: multihash)
    }

    /// Reads a peer ID from the bytes of its multihash. Throws ``IdentityError/Code/invalidPeerID``.
    public init(bytes: [UInt8]) throws(IdentityError) {
        self = try bytes.withRawBytes { bytes throws(IdentityError) in try PeerID(decoding: bytes) }
    }

    /// Reads either text form: the bare base58btc multihash (`12D3Koo…`, `Qm…`) or a CIDv1 of the codec `libp2p-key` in
    /// any multibase (`bafz…`, `k51…`).
    ///
    /// Throws ``IdentityError/Code/invalidPeerID``.
    public init(_ text: some StringProtocol) throws(IdentityError) {
        guard text.utf8.count <= IdentityLimits.peerIDTextBytes else {
            throw IdentityError(.invalidPeerID, "A text of \(text.utf8.count) bytes is too long for a peer ID.")
        }
        do {
            if text.hasPrefix("1") || text.hasPrefix("Qm") {
                let bytes = try Multibase.base58btc.decodeUnprefixed(text)
                self = try PeerID(bytes: bytes)
            } else {
                let cid = try CID(text)
                guard cid.version == .v1, cid.codec == .libp2pKey else {
                    throw IdentityError(.invalidPeerID, "it is a CID, but none of the codec libp2p-key")
                }
                self = try PeerID(multihash: cid.multihash)
            }
        } catch {
            throw IdentityError(
                .invalidPeerID,
                "“\(text)” is no peer ID, which looks like 12D3Koo…, Qm… or k51…: \(error)", underlying: error)
        }
    }

    /// The base58btc form: `12D3Koo…`, `Qm…`.
    public var description: String {
        Multibase.base58btc.encodeUnprefixed(bytes)
    }

    /// The CIDv1 form, of codec `libp2p-key`. Its text form is base32.
    public var cid: CID { CID(codec: .libp2pKey, multihash: multihash) }

    /// The bytes of the multihash, as they go over the wire.
    public var bytes: [UInt8] { multihash.bytes }

    /// The public key, if the peer ID holds it whole and it is a good one; nil for a hash.
    public var publicKey: PublicKey? {
        guard multihash.code == .identity else { return nil }
        // Behind the code and the length, one byte each for up to 42 bytes.
        return try? PublicKey(decoding: Array(multihash.bytes.dropFirst(2)))
    }

    public static func < (left: PeerID, right: PeerID) -> Bool { left.multihash < right.multihash }
}

extension PeerID: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        do {
            self = try PeerID(text)
        } catch {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: error.message)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
