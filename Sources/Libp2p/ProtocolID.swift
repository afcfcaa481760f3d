/// The name of a protocol in multistream-select, as `/ipfs/bitswap/1.2.0`.
public struct ProtocolID: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The name.
    public let name: String

    public init(_ name: String) { self.name = name }

    public init(stringLiteral value: String) { self.name = value }

    public var description: String { name }
}
