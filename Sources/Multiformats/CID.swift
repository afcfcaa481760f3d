/// A content identifier: what kind of data, and its hash.
///
/// A CID with a digest of up to 32 bytes takes no allocation to make, compare, hash or encode. Values are ordered as
/// their encoded bytes are.
///
/// Specification: https://github.com/multiformats/cid
public struct CID: Sendable {
    public enum Version: UInt8, Hashable, Sendable {
        /// A bare sha2-256 multihash; the codec is dag-pb without being written.
        case v0 = 0
        case v1 = 1
    }

    public let version: Version
    /// How the bytes of the block are to be read.
    public let codec: Codec
    public let multihash: Multihash

    /// - Throws: `invalidCID` if version 0 is asked for with anything but dag-pb and a sha2-256 digest of 32 bytes.
    public init(version: Version, codec: Codec, multihash: Multihash) throws(MultiformatsError) {
        if version == .v0 {
            try Self.checkVersion0(codec: codec, hashCode: multihash.code, digestLength: multihash.digestLength)
        }
        self.init(unchecked: version, codec: codec, multihash: multihash)
    }

    /// A CID of version 1.
    public init(codec: Codec, multihash: Multihash) {
        self.init(unchecked: .v1, codec: codec, multihash: multihash)
    }

    init(unchecked version: Version, codec: Codec, multihash: Multihash) {
        self.version = version
        self.codec = codec
        self.multihash = multihash
    }

    /// Reads a CID in binary form that is the whole of `bytes`.
    /// - Throws: `truncated`, `trailingBytes`, `invalidVarint`, `invalidVersion`, `limitExceeded`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(MultiformatsError) {
        let (cid, length) = try Self.decodePrefix(of: bytes)
        guard length == bytes.count else {
            throw MultiformatsError(
                code: .trailingBytes,
                message: "the CID is followed by \(bytes.count - length) bytes that do not belong to it")
        }
        self = cid
    }

    /// Reads a CID in binary form that is the whole of `bytes`.
    /// - Throws: `truncated`, `trailingBytes`, `invalidVarint`, `invalidVersion`, `limitExceeded`.
    public init(bytes: some Sequence<UInt8>) throws(MultiformatsError) {
        self = try withContiguousBytes(bytes) { (bytes) throws(MultiformatsError) in try CID(decoding: bytes) }
    }

    /// Reads the CID in binary form at the start of `bytes`, whatever follows it.
    /// - Throws: `truncated`, `invalidVarint`, `invalidVersion`, `limitExceeded`.
    public static func decodePrefix(
        of bytes: UnsafeRawBufferPointer
    ) throws(MultiformatsError) -> (cid: CID, length: Int) {
        if bytes.count >= commonLength, bytes[0] == 1, bytes[1] < 0x80, bytes[2] < 0x80, bytes[3] == 32 {
            let digest = UnsafeRawBufferPointer(rebasing: bytes[4..<commonLength])
            let multihash = Multihash(unchecked: .init(unchecked: UInt64(bytes[2])), digest: digest)
            return (CID(unchecked: .v1, codec: Codec(unchecked: UInt64(bytes[1])), multihash: multihash), commonLength)
        }
        var reader = ByteReader(bytes)
        let cid = try CID(from: &reader)
        return (cid, reader.offset)
    }

    /// Bytes in nearly all CIDs of version 1, which are read without a loop: one for each code, 32 for the digest.
    private static let commonLength = 36

    init(from reader: inout ByteReader) throws(MultiformatsError) {
        let bytes = reader.rest
        if bytes.count >= 2, bytes[0] == 0x12, bytes[1] == 0x20 {
            self.init(unchecked: .v0, codec: .dagPB, multihash: try Multihash(from: &reader))
            return
        }
        let version = try reader.varint()
        guard version == 1 else {
            throw MultiformatsError(
                code: .invalidVersion,
                message: version == 0
                    ? "a CID of version 0 must be a sha2-256 multihash alone" : "CID version \(version) does not exist")
        }
        let codec = Codec(unchecked: try reader.varint())
        self.init(unchecked: .v1, codec: codec, multihash: try Multihash(from: &reader))
    }

    static func checkVersion0(
        codec: Codec, hashCode: Multihash.Code, digestLength: Int
    ) throws(MultiformatsError) {
        guard codec == .dagPB, hashCode == .sha2_256, digestLength == 32 else {
            throw MultiformatsError(
                code: .invalidCID,
                message: "a CID of version 0 has dag-pb and a sha2-256 digest of 32 bytes, not \(codec) and "
                    + "a \(hashCode) digest of \(digestLength) bytes; use version 1")
        }
    }

    /// The binary form.
    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            count = write(to: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// Bytes in the binary form.
    public var byteCount: Int {
        switch version {
        case .v0: multihash.byteCount
        case .v1: 1 + UVarint.encodedLength(codec.rawValue) + multihash.byteCount
        }
    }

    /// Gives `body` the binary form; it is valid until `body` returns. Does not allocate for digests of up to 32 bytes.
    @inlinable
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        if multihash.digestLength > Multihash.inlineLength {
            return try bytes.withUnsafeBufferPointer { (buffer) throws(E) -> R in
                try body(UnsafeRawBufferPointer(buffer))
            }
        }
        var storage: Multihash.InlineStorage = (0, 0, 0, 0, 0, 0, 0, 0)
        return try Swift.withUnsafeMutableBytes(of: &storage) { (buffer) throws(E) -> R in
            let length = write(to: buffer)
            return try body(UnsafeRawBufferPointer(start: buffer.baseAddress, count: length))
        }
    }

    /// Writes the binary form and returns its length. The caller has made sure that it fits.
    @usableFromInline
    func write(to buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard version == .v1 else { return multihash.write(to: buffer, at: 0) }
        buffer[0] = 1
        return multihash.write(to: buffer, at: UVarint.write(codec.rawValue, to: buffer, at: 1))
    }
}

extension CID: Hashable {
    @inlinable
    public static func == (left: CID, right: CID) -> Bool {
        left.multihash == right.multihash && left.codec == right.codec && left.version == right.version
    }

    @inlinable
    public func hash(into hasher: inout Hasher) {
        multihash.hash(into: &hasher)
        // One word for both: the version is one bit and codes stay below 2^63.
        hasher.combine(codec.rawValue << 1 | UInt64(version.rawValue))
    }
}

extension CID: Comparable {
    public static func < (left: CID, right: CID) -> Bool {
        if left.version == right.version, left.codec == right.codec { return left.multihash < right.multihash }
        return left.withUnsafeBytes { left in right.withUnsafeBytes { left.lexicographicallyPrecedes($0) } }
    }
}
