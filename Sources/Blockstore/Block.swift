public import Multiformats
public import NIOCore

/// Bytes and the CID that names them. A block that exists has the hash its CID says: either it was checked, or the
/// CID was made from the bytes.
public struct Block: Sendable, Hashable {
    public let cid: CID
    /// The readable bytes are the block.
    public let bytes: ByteBuffer

    /// A block from somewhere that may be wrong: hashes the bytes.
    ///
    /// - Throws: `hashMismatch`, or `unsupportedHash` when the CID's hash function is not known here.
    public init(verifying bytes: ByteBuffer, cid: CID) throws(BlockstoreError) {
        guard try Block.matches(cid.multihash, bytes.readableBytesView) else {
            throw BlockstoreError(
                code: .hashMismatch,
                message: "The \(bytes.readableBytes) bytes given for \(cid) have another hash: ask another source.")
        }
        self.init(unchecked: bytes, cid: cid)
    }

    /// A new block: its CID is made from its bytes.
    ///
    /// - Throws: `unsupportedHash` when the hash function is not known here.
    public init(_ bytes: ByteBuffer, codec: CID.Codec = .raw, hash: Multihash.Code = .sha2_256) throws(BlockstoreError)
    {
        let result = bytes.withUnsafeReadableBytes { raw -> Result<Multihash, MultiformatsError> in
            do throws(MultiformatsError) {
                return .success(try Multihash.hash(raw, with: hash))
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let multihash):
            self.init(unchecked: bytes, cid: CID(codec: codec, multihash: multihash))
        case .failure(let error):
            throw BlockstoreError(
                code: .unsupportedHash, message: "The block cannot be hashed: \(error)", underlying: error)
        }
    }

    /// A block whose bytes are known to have this CID's hash, because they were just checked or were stored so.
    package init(unchecked bytes: ByteBuffer, cid: CID) {
        self.cid = cid
        self.bytes = bytes
    }

    private static func matches(_ multihash: Multihash, _ bytes: ByteBufferView) throws(BlockstoreError) -> Bool {
        let result = bytes.withUnsafeBytes { raw in multihash.check(raw) }
        return try result.get()
    }
}

extension Multihash {
    /// Whether the bytes have this hash.
    func check(_ bytes: UnsafeRawBufferPointer) -> Result<Bool, BlockstoreError> {
        do throws(MultiformatsError) {
            return .success(try matches(bytes))
        } catch {
            return .failure(
                BlockstoreError(
                    code: .unsupportedHash, message: "The block cannot be checked: \(error)", underlying: error))
        }
    }
}
