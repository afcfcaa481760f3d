extension Multihash {
    /// The multicodec code of a hash function. Any code can be carried; ``isSupported`` tells which can be computed.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: UInt64

        /// Nil for codes of 2^63 and more, which no varint can hold.
        public init?(rawValue: UInt64) {
            guard rawValue <= UVarint.maximumValue else { return nil }
            self.rawValue = rawValue
        }

        init(unchecked rawValue: UInt64) { self.rawValue = rawValue }

        public static let identity = Code(unchecked: 0x00)
        public static let sha1 = Code(unchecked: 0x11)
        public static let sha2_256 = Code(unchecked: 0x12)
        public static let sha2_512 = Code(unchecked: 0x13)
        public static let sha3_512 = Code(unchecked: 0x14)
        public static let sha3_384 = Code(unchecked: 0x15)
        public static let sha3_256 = Code(unchecked: 0x16)
        public static let sha3_224 = Code(unchecked: 0x17)
        public static let keccak256 = Code(unchecked: 0x1b)
        public static let blake3 = Code(unchecked: 0x1e)
        public static let sha2_384 = Code(unchecked: 0x20)
        public static let murmur3 = Code(unchecked: 0x22)
        public static let doubleSHA2_256 = Code(unchecked: 0x56)
        public static let blake2b256 = Code(unchecked: 0xb220)
        public static let blake2b512 = Code(unchecked: 0xb240)
        public static let blake2s256 = Code(unchecked: 0xb260)

        /// The name in the multicodec table, or the number for a code without a name here.
        public var description: String {
            switch self {
            case .identity: "identity"
            case .sha1: "sha1"
            case .sha2_256: "sha2-256"
            case .sha2_512: "sha2-512"
            case .sha3_512: "sha3-512"
            case .sha3_384: "sha3-384"
            case .sha3_256: "sha3-256"
            case .sha3_224: "sha3-224"
            case .keccak256: "keccak-256"
            case .blake3: "blake3"
            case .sha2_384: "sha2-384"
            case .murmur3: "murmur3-x64-64"
            case .doubleSHA2_256: "dbl-sha2-256"
            case .blake2b256: "blake2b-256"
            case .blake2b512: "blake2b-512"
            case .blake2s256: "blake2s-256"
            default: hexadecimal(rawValue)
            }
        }
    }
}
