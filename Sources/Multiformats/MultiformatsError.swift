/// What is wrong with a piece of multiformats data, or why it cannot be worked with.
///
/// `code` is for programs, `message` for people: it says what was wrong and, where that helps, what to do.
public struct MultiformatsError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kind of an error. More kinds may come, so a switch over them needs a `default`.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private let name: String

        private init(_ name: String) { self.name = name }

        public var description: String { name }

        /// The input ends before the value does.
        public static let truncated = Code("truncated")
        /// Bytes follow where the value should have been the whole input.
        public static let trailingBytes = Code("trailingBytes")
        /// A varint is longer than 9 bytes or not in its shortest form.
        public static let invalidVarint = Code("invalidVarint")
        /// A character, or an arrangement of characters, that the text form does not allow.
        public static let invalidText = Code("invalidText")
        /// The first character of a text names no multibase that is known here.
        public static let unknownBase = Code("unknownBase")
        /// A named limit of ``MultiformatsLimits`` was passed.
        public static let limitExceeded = Code("limitExceeded")
        /// A hash function that is carried but cannot be computed here.
        public static let unsupportedHash = Code("unsupportedHash")
        /// A digest whose length does not fit its hash function.
        public static let invalidDigestLength = Code("invalidDigestLength")
        /// A CID version that does not exist yet, or does not exist in this place.
        public static let invalidVersion = Code("invalidVersion")
        /// A CID that contradicts itself, such as a version 0 with a codec other than dag-pb.
        public static let invalidCID = Code("invalidCID")
        /// A multiaddr protocol that is not known here.
        public static let unknownProtocol = Code("unknownProtocol")
        /// A multiaddr whose protocol is known but whose value is not valid for it.
        public static let invalidAddress = Code("invalidAddress")
    }

    public let code: Code
    public let message: String

    public init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}

/// Foreign text as it may stand in a message: quoted, without control characters, and not too long.
func quoted(_ text: some StringProtocol) -> String {
    quoted(utf8: text.utf8)
}

func quoted(utf8 bytes: some Collection<UInt8>) -> String {
    let limit = 80
    var shown = "\""
    let head = String(decoding: bytes.prefix(limit), as: UTF8.self)
    for scalar in head.unicodeScalars {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
            shown += "\\u{\(String(scalar.value, radix: 16))}"
        default:
            shown.unicodeScalars.append(scalar)
        }
    }
    return shown + (bytes.count > limit ? "…\"" : "\"")
}

func hexadecimal(_ value: UInt64) -> String {
    "0x" + String(value, radix: 16)
}
