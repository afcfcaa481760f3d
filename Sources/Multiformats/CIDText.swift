extension CID {
    /// Characters in the text of a CID of version 0.
    private static let version0TextLength = 46

    /// Reads the text form: `Qm…` for version 0, any multibase for version 1.
    /// - Throws: `invalidText`, `unknownBase`, or as ``init(decoding:)``.
    public init(_ text: some StringProtocol) throws(MultiformatsError) {
        let characters = Array(text.utf8)
        do {
            try self.init(utf8: characters[...])
        } catch {
            throw MultiformatsError(
                code: error.code, message: "\(quoted(utf8: characters)) is not a CID: \(error.message)")
        }
    }

    private init(utf8 text: ArraySlice<UInt8>) throws(MultiformatsError) {
        if text.count == Self.version0TextLength, text.starts(with: "Qm".utf8) {
            let bytes = try Multibase.base58btc.decodeUnprefixed(utf8: text)
            let multihash = try Multihash(bytes: bytes)
            try self.init(version: .v0, codec: .dagPB, multihash: multihash)
            return
        }
        let (base, bytes) = try Multibase.decode(utf8: text)
        guard bytes.first != 0x12 else {
            throw MultiformatsError(
                code: .invalidVersion,
                message: "a CID of version 0 is written as Qm… without a multibase, not in \(base.name)")
        }
        try self.init(bytes: bytes)
    }

    /// The text form in a base of choice.
    /// - Throws: `invalidVersion` for a CID of version 0, which has only the form `Qm…` of ``description``.
    public func text(in base: Multibase) throws(MultiformatsError) -> String {
        guard version == .v1 else {
            throw MultiformatsError(
                code: .invalidVersion, message: "\(self) is of version 0, which cannot be written in \(base.name)")
        }
        return withUnsafeBytes { base.encode($0) }
    }

    /// This CID as version 1: another text, the same block.
    public var asVersion1: CID { CID(codec: codec, multihash: multihash) }
}

extension CID: CustomStringConvertible {
    /// The usual text form: `Qm…` for version 0, base32 for version 1.
    public var description: String {
        withUnsafeBytes {
            switch version {
            case .v0: Multibase.base58btc.encodeUnprefixed($0)
            case .v1: Multibase.base32.encode($0)
            }
        }
    }
}

extension CID: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        do {
            try self.init(text)
        } catch {
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: error.message, underlyingError: error))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
