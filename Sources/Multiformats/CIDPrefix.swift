extension CID {
    /// A CID without its digest: what Bitswap sends with a block, so that the receiver rebuilds the CID from the bytes.
    public struct Prefix: Hashable, Sendable {
        public let version: Version
        public let codec: Codec
        public let hashCode: Multihash.Code
        /// Bytes in the digest, which may be cut short.
        public let digestLength: Int

        /// - Throws: `invalidCID` for a version 0 that is not dag-pb with a sha2-256 digest of 32 bytes,
        ///   `limitExceeded` for a digest above ``MultiformatsLimits/digestLength``.
        public init(
            version: Version, codec: Codec, hashCode: Multihash.Code, digestLength: Int
        ) throws(MultiformatsError) {
            guard 0...MultiformatsLimits.digestLength ~= digestLength else {
                throw MultiformatsError(
                    code: .limitExceeded,
                    message: "a digest of \(digestLength) bytes; the limit is \(MultiformatsLimits.digestLength)")
            }
            if version == .v0 {
                try checkVersion0(codec: codec, hashCode: hashCode, digestLength: digestLength)
            }
            self.version = version
            self.codec = codec
            self.hashCode = hashCode
            self.digestLength = digestLength
        }

        init(of cid: CID) {
            version = cid.version
            codec = cid.codec
            hashCode = cid.multihash.code
            digestLength = cid.multihash.digestLength
        }

        /// Reads a prefix that is the whole of `bytes`.
        /// - Throws: `truncated`, `trailingBytes`, `invalidVarint`, `invalidVersion`, and as
        ///   ``init(version:codec:hashCode:digestLength:)``.
        public init(decoding bytes: UnsafeRawBufferPointer) throws(MultiformatsError) {
            var reader = ByteReader(bytes)
            let number = try reader.varint()
            guard let version = Version(rawValue: UInt8(truncatingIfNeeded: number)), number <= 1 else {
                throw MultiformatsError(code: .invalidVersion, message: "CID version \(number) does not exist")
            }
            let codec = Codec(unchecked: try reader.varint())
            let hashCode = Multihash.Code(unchecked: try reader.varint())
            let length = try reader.length(limit: MultiformatsLimits.digestLength, of: "a digest")
            try reader.finish("the CID prefix")
            try self.init(version: version, codec: codec, hashCode: hashCode, digestLength: length)
        }

        /// Reads a prefix that is the whole of `bytes`.
        /// - Throws: `truncated`, `trailingBytes`, `invalidVarint`, `invalidVersion`, and as
        ///   ``init(version:codec:hashCode:digestLength:)``.
        public init(bytes: some Sequence<UInt8>) throws(MultiformatsError) {
            self = try withContiguousBytes(bytes) { (bytes) throws(MultiformatsError) in try Prefix(decoding: bytes) }
        }

        /// The encoded form: four varints.
        public var bytes: [UInt8] {
            withUnsafeBytes { Array($0) }
        }

        /// Bytes in the encoded form.
        public var byteCount: Int {
            1 + UVarint.encodedLength(codec.rawValue) + UVarint.encodedLength(hashCode.rawValue)
                + UVarint.encodedLength(UInt64(digestLength))
        }

        /// Gives `body` the encoded form; it is valid until `body` returns. Does not allocate.
        @inlinable
        public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
            var storage: (UInt64, UInt64, UInt64) = (0, 0, 0)
            return try Swift.withUnsafeMutableBytes(of: &storage) { (buffer) throws(E) -> R in
                let length = write(to: buffer)
                return try body(UnsafeRawBufferPointer(start: buffer.baseAddress, count: length))
            }
        }

        @usableFromInline
        func write(to buffer: UnsafeMutableRawBufferPointer) -> Int {
            buffer[0] = version.rawValue
            var offset = UVarint.write(codec.rawValue, to: buffer, at: 1)
            offset = UVarint.write(hashCode.rawValue, to: buffer, at: offset)
            return UVarint.write(UInt64(digestLength), to: buffer, at: offset)
        }

        /// The CID of a block under this prefix. Hashes the block.
        /// - Throws: `unsupportedHash`, `invalidDigestLength` for a digest too short to prove anything or of a length
        ///   that the function does not make, `limitExceeded` for an identity that is too long.
        public func cid(of block: UnsafeRawBufferPointer) throws(MultiformatsError) -> CID {
            let multihash = try Multihash.hash(block, with: hashCode, digestLength: digestLength)
            return CID(unchecked: version, codec: codec, multihash: multihash)
        }
    }

    /// This CID without its digest.
    public var prefix: Prefix { Prefix(of: self) }
}
