/// A digest that says which hash function made it.
///
/// Digests of up to 32 bytes, that is nearly all, lie within the value: making, comparing and hashing one takes no
/// allocation. Values are ordered as their encoded bytes are.
///
/// Specification: https://github.com/multiformats/multihash
public struct Multihash: Sendable {
    /// The hash function.
    public let code: Code
    /// Bytes in the digest.
    public let digestLength: Int

    /// The first 32 bytes of the digest as big-endian words, filled up with zeros.
    @usableFromInline let word0: UInt64
    @usableFromInline let word1: UInt64
    @usableFromInline let word2: UInt64
    @usableFromInline let word3: UInt64
    /// The whole digest if it has more than 32 bytes.
    @usableFromInline let spill: [UInt8]?

    /// Bytes of a digest that lie within the value.
    @usableFromInline static let inlineLength = 32
    /// Enough for any encoding with an inline digest: of a multihash, and of a CID.
    @usableFromInline typealias InlineStorage = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)

    /// Takes over a digest that was computed elsewhere.
    /// - Throws: `limitExceeded` for a digest above ``MultiformatsLimits/digestLength``.
    public init(code: Code, digest: UnsafeRawBufferPointer) throws(MultiformatsError) {
        guard digest.count <= MultiformatsLimits.digestLength else {
            throw MultiformatsError(
                code: .limitExceeded,
                message: "a digest of \(digest.count) bytes; the limit is \(MultiformatsLimits.digestLength)")
        }
        self.init(unchecked: code, digest: digest)
    }

    /// Takes over a digest that was computed elsewhere.
    /// - Throws: `limitExceeded` for a digest above ``MultiformatsLimits/digestLength``.
    public init(code: Code, digest: some Sequence<UInt8>) throws(MultiformatsError) {
        self = try withContiguousBytes(digest) { (digest) throws(MultiformatsError) in
            try Multihash(code: code, digest: digest)
        }
    }

    /// For digests whose length is known to be within the limit.
    init(unchecked code: Code, digest: UnsafeRawBufferPointer) {
        self.code = code
        self.digestLength = digest.count
        if digest.count >= Self.inlineLength {
            word0 = UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
            word1 = UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            word2 = UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
            word3 = UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
            spill = digest.count > Self.inlineLength ? Array(digest) : nil
        } else {
            var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
            Swift.withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: digest) }
            word0 = UInt64(bigEndian: words.0)
            word1 = UInt64(bigEndian: words.1)
            word2 = UInt64(bigEndian: words.2)
            word3 = UInt64(bigEndian: words.3)
            spill = nil
        }
    }

    /// Reads an encoded multihash that is the whole of `bytes`.
    /// - Throws: `truncated`, `trailingBytes`, `invalidVarint`, `limitExceeded`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(MultiformatsError) {
        var reader = ByteReader(bytes)
        self = try Multihash(from: &reader)
        try reader.finish("the multihash")
    }

    /// Reads an encoded multihash that is the whole of `bytes`.
    /// - Throws: `truncated`, `trailingBytes`, `invalidVarint`, `limitExceeded`.
    public init(bytes: some Sequence<UInt8>) throws(MultiformatsError) {
        self = try withContiguousBytes(bytes) { (bytes) throws(MultiformatsError) in
            try Multihash(decoding: bytes)
        }
    }

    /// Reads the encoded multihash at the start of `bytes`, whatever follows it.
    /// - Throws: `truncated`, `invalidVarint`, `limitExceeded`.
    public static func decodePrefix(
        of bytes: UnsafeRawBufferPointer
    ) throws(MultiformatsError) -> (multihash: Multihash, length: Int) {
        var reader = ByteReader(bytes)
        let multihash = try Multihash(from: &reader)
        return (multihash, reader.offset)
    }

    init(from reader: inout ByteReader) throws(MultiformatsError) {
        let code = Code(unchecked: try reader.varint())
        let length = try reader.length(limit: MultiformatsLimits.digestLength, of: "a digest")
        self.init(unchecked: code, digest: try reader.bytes(length, of: "a digest"))
    }

    /// The digest alone.
    public var digest: [UInt8] {
        withUnsafeDigestBytes { Array($0) }
    }

    /// The encoded form: code, length, digest.
    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            count = write(to: UnsafeMutableRawBufferPointer(buffer), at: 0)
        }
    }

    /// Bytes in the encoded form.
    public var byteCount: Int {
        UVarint.encodedLength(code.rawValue) + UVarint.encodedLength(UInt64(digestLength)) + digestLength
    }

    /// Gives `body` the encoded form; it is valid until `body` returns. Does not allocate for digests of up to 32 bytes.
    @inlinable
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        if digestLength > Self.inlineLength {
            return try bytes.withUnsafeBufferPointer { (buffer) throws(E) -> R in
                try body(UnsafeRawBufferPointer(buffer))
            }
        }
        var storage: InlineStorage = (0, 0, 0, 0, 0, 0, 0, 0)
        return try Swift.withUnsafeMutableBytes(of: &storage) { (buffer) throws(E) -> R in
            let length = write(to: buffer, at: 0)
            return try body(UnsafeRawBufferPointer(start: buffer.baseAddress, count: length))
        }
    }

    /// Gives `body` the digest alone; it is valid until `body` returns. Does not allocate.
    @inlinable
    public func withUnsafeDigestBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        if let spill {
            return try spill.withUnsafeBufferPointer { (buffer) throws(E) -> R in
                try body(UnsafeRawBufferPointer(buffer))
            }
        }
        var words = (word0.bigEndian, word1.bigEndian, word2.bigEndian, word3.bigEndian)
        return try Swift.withUnsafeMutableBytes(of: &words) { (buffer) throws(E) -> R in
            try body(UnsafeRawBufferPointer(start: buffer.baseAddress, count: digestLength))
        }
    }

    /// Writes the encoded form at `offset` and returns the offset behind it. The caller has made sure that it fits.
    @usableFromInline
    func write(to buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        var offset = UVarint.write(code.rawValue, to: buffer, at: offset)
        offset = UVarint.write(UInt64(digestLength), to: buffer, at: offset)
        if digestLength == Self.inlineLength {
            buffer.storeBytes(of: word0.bigEndian, toByteOffset: offset, as: UInt64.self)
            buffer.storeBytes(of: word1.bigEndian, toByteOffset: offset + 8, as: UInt64.self)
            buffer.storeBytes(of: word2.bigEndian, toByteOffset: offset + 16, as: UInt64.self)
            buffer.storeBytes(of: word3.bigEndian, toByteOffset: offset + 24, as: UInt64.self)
        } else {
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[offset...])
            withUnsafeDigestBytes { target.copyBytes(from: $0) }
        }
        return offset + digestLength
    }
}

extension Multihash: Hashable {
    @inlinable
    public static func == (left: Multihash, right: Multihash) -> Bool {
        left.word0 == right.word0 && left.word1 == right.word1 && left.word2 == right.word2
            && left.word3 == right.word3 && left.digestLength == right.digestLength && left.code == right.code
            && (left.digestLength <= inlineLength || left.spill == right.spill)
    }

    /// All of the digest goes in, multiplied with secrets of this process, so that the hasher has one word to take in place
    /// of six, and that nobody outside can choose digests that collide.
    public func hash(into hasher: inout Hasher) {
        let secrets = Self.secrets
        let first = (word0 ^ secrets.0).multipliedFullWidth(by: word1 ^ secrets.1)
        let second = (word2 ^ secrets.2).multipliedFullWidth(by: word3 ^ secrets.3)
        let mixed = first.high ^ first.low ^ (second.high &- second.low)
        hasher.combine(mixed &+ code.rawValue << 9 &+ UInt64(digestLength))
        if let spill { spill.withUnsafeBytes { hasher.combine(bytes: $0) } }
    }

    /// As secret as the hasher's own.
    private static let secrets = {
        func secret(_ number: UInt64) -> UInt64 { UInt64(bitPattern: Int64(number.hashValue)) }
        return (secret(0), secret(1), secret(2), secret(3))
    }()
}

extension Multihash: Comparable {
    public static func < (left: Multihash, right: Multihash) -> Bool {
        guard left.code == right.code, left.digestLength == right.digestLength, left.spill == nil else {
            return left.withUnsafeBytes { left in right.withUnsafeBytes { left.lexicographicallyPrecedes($0) } }
        }
        if left.word0 != right.word0 { return left.word0 < right.word0 }
        if left.word1 != right.word1 { return left.word1 < right.word1 }
        if left.word2 != right.word2 { return left.word2 < right.word2 }
        return left.word3 < right.word3
    }
}

extension Multihash: CustomStringConvertible {
    /// The encoded form in hexadecimal.
    public var description: String {
        withUnsafeBytes { Multibase.base16.encodeUnprefixed($0) }
    }
}
