/// Text forms of bytes that say in their first character which alphabet they use.
///
/// Decoding is strict: no white space, no missing or superfluous padding, no bits left over. Letters of base16, base32
/// and base36 are read in either case, as the specification's test vectors ask.
///
/// Specification: https://github.com/multiformats/multibase
public enum Multibase: Hashable, Sendable, CaseIterable {
    case base16, base16Upper
    case base32, base32Upper, base32Pad, base32PadUpper
    case base32Hex, base32HexUpper, base32HexPad, base32HexPadUpper
    case base36, base36Upper
    case base58btc
    case base64, base64Pad, base64URL, base64URLPad

    /// The character that stands in front of the text.
    public var prefix: Unicode.Scalar { Unicode.Scalar(prefixByte) }

    /// The name in the multibase table.
    public var name: String {
        switch self {
        case .base16: "base16"
        case .base16Upper: "base16upper"
        case .base32: "base32"
        case .base32Upper: "base32upper"
        case .base32Pad: "base32pad"
        case .base32PadUpper: "base32padupper"
        case .base32Hex: "base32hex"
        case .base32HexUpper: "base32hexupper"
        case .base32HexPad: "base32hexpad"
        case .base32HexPadUpper: "base32hexpadupper"
        case .base36: "base36"
        case .base36Upper: "base36upper"
        case .base58btc: "base58btc"
        case .base64: "base64"
        case .base64Pad: "base64pad"
        case .base64URL: "base64url"
        case .base64URLPad: "base64urlpad"
        }
    }

    /// The base of a name in the multibase table, such as `base58btc`; nil for one not known here.
    public init?(name: some StringProtocol) {
        guard let base = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = base
    }

    /// The text of `bytes`, with the prefix. Takes time in the square of the length for base36 and base58btc.
    public func encode(_ bytes: UnsafeRawBufferPointer) -> String {
        text(of: bytes, prefixed: true)
    }

    /// The text of `bytes`, with the prefix. Takes time in the square of the length for base36 and base58btc.
    public func encode(_ bytes: some Sequence<UInt8>) -> String {
        Array(bytes).withUnsafeBytes { text(of: $0, prefixed: true) }
    }

    /// The text of `bytes` without the prefix, for places where the base goes without saying.
    public func encodeUnprefixed(_ bytes: UnsafeRawBufferPointer) -> String {
        text(of: bytes, prefixed: false)
    }

    /// The text of `bytes` without the prefix, for places where the base goes without saying.
    public func encodeUnprefixed(_ bytes: some Sequence<UInt8>) -> String {
        Array(bytes).withUnsafeBytes { text(of: $0, prefixed: false) }
    }

    /// The bytes of a text and the base that its first character names.
    /// - Throws: `truncated` for an empty text, `unknownBase`, and as ``decodeUnprefixed(_:)``.
    public static func decode(
        _ text: some StringProtocol
    ) throws(MultiformatsError) -> (base: Multibase, bytes: [UInt8]) {
        try decode(utf8: Array(text.utf8)[...])
    }

    /// The bytes of a text without prefix.
    /// - Throws: `invalidText`; `limitExceeded` in base36 and base58btc.
    public func decodeUnprefixed(_ text: some StringProtocol) throws(MultiformatsError) -> [UInt8] {
        try decodeUnprefixed(utf8: Array(text.utf8)[...])
    }

    static func decode(utf8 text: ArraySlice<UInt8>) throws(MultiformatsError) -> (base: Multibase, bytes: [UInt8]) {
        guard let first = text.first else {
            throw MultiformatsError(code: .truncated, message: "an empty text is no multibase")
        }
        guard let base = Multibase(prefixByte: first) else {
            throw MultiformatsError(
                code: .unknownBase, message: "\(quoted(utf8: text)) does not start with the prefix of a known multibase"
            )
        }
        return (base, try base.decodeUnprefixed(utf8: text.dropFirst()))
    }

    func decodeUnprefixed(utf8 text: ArraySlice<UInt8>) throws(MultiformatsError) -> [UInt8] {
        switch scheme {
        case .bits(let scheme): try scheme.decode(text, name: name)
        case .positional(let scheme): try scheme.decode(text, name: name)
        }
    }

    private func text(of bytes: UnsafeRawBufferPointer, prefixed: Bool) -> String {
        let prefix = prefixed ? prefixByte : nil
        return switch scheme {
        case .bits(let scheme): scheme.encode(bytes, prefix: prefix)
        case .positional(let scheme): scheme.encode(bytes, prefix: prefix)
        }
    }

    private enum Scheme {
        case bits(BitScheme)
        case positional(PositionalScheme)
    }

    private var scheme: Scheme {
        switch self {
        case .base16: .bits(.base16)
        case .base16Upper: .bits(.base16Upper)
        case .base32: .bits(.base32)
        case .base32Upper: .bits(.base32Upper)
        case .base32Pad: .bits(.base32Pad)
        case .base32PadUpper: .bits(.base32PadUpper)
        case .base32Hex: .bits(.base32Hex)
        case .base32HexUpper: .bits(.base32HexUpper)
        case .base32HexPad: .bits(.base32HexPad)
        case .base32HexPadUpper: .bits(.base32HexPadUpper)
        case .base36: .positional(.base36)
        case .base36Upper: .positional(.base36Upper)
        case .base58btc: .positional(.base58btc)
        case .base64: .bits(.base64)
        case .base64Pad: .bits(.base64Pad)
        case .base64URL: .bits(.base64URL)
        case .base64URLPad: .bits(.base64URLPad)
        }
    }

    private var prefixByte: UInt8 {
        switch self {
        case .base16: UInt8(ascii: "f")
        case .base16Upper: UInt8(ascii: "F")
        case .base32: UInt8(ascii: "b")
        case .base32Upper: UInt8(ascii: "B")
        case .base32Pad: UInt8(ascii: "c")
        case .base32PadUpper: UInt8(ascii: "C")
        case .base32Hex: UInt8(ascii: "v")
        case .base32HexUpper: UInt8(ascii: "V")
        case .base32HexPad: UInt8(ascii: "t")
        case .base32HexPadUpper: UInt8(ascii: "T")
        case .base36: UInt8(ascii: "k")
        case .base36Upper: UInt8(ascii: "K")
        case .base58btc: UInt8(ascii: "z")
        case .base64: UInt8(ascii: "m")
        case .base64Pad: UInt8(ascii: "M")
        case .base64URL: UInt8(ascii: "u")
        case .base64URLPad: UInt8(ascii: "U")
        }
    }

    private init?(prefixByte: UInt8) {
        guard let base = Self.allCases.first(where: { $0.prefixByte == prefixByte }) else { return nil }
        self = base
    }
}
