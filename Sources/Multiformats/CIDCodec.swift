extension CID {
    /// The multicodec code of what a block holds. Any code can be carried.
    public struct Codec: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: UInt64

        /// Nil for codes of 2^63 and more, which no varint can hold.
        public init?(rawValue: UInt64) {
            guard rawValue <= UVarint.maximumValue else { return nil }
            self.rawValue = rawValue
        }

        init(unchecked rawValue: UInt64) { self.rawValue = rawValue }

        public static let cbor = Codec(unchecked: 0x51)
        public static let raw = Codec(unchecked: 0x55)
        public static let dagPB = Codec(unchecked: 0x70)
        public static let dagCBOR = Codec(unchecked: 0x71)
        public static let libp2pKey = Codec(unchecked: 0x72)
        public static let gitRaw = Codec(unchecked: 0x78)
        public static let dagJOSE = Codec(unchecked: 0x85)
        public static let dagJSON = Codec(unchecked: 0x0129)
        public static let json = Codec(unchecked: 0x0200)
        public static let car = Codec(unchecked: 0x0202)

        /// The name in the multicodec table, or the number for a code without a name here.
        public var description: String {
            switch self {
            case .cbor: "cbor"
            case .raw: "raw"
            case .dagPB: "dag-pb"
            case .dagCBOR: "dag-cbor"
            case .libp2pKey: "libp2p-key"
            case .gitRaw: "git-raw"
            case .dagJOSE: "dag-jose"
            case .dagJSON: "dag-json"
            case .json: "json"
            case .car: "car"
            default: hexadecimal(rawValue)
            }
        }
    }
}
