/// What the names of the Bitswap protocol begin with in a private network: `/chain` makes `/chain/ipfs/bitswap/1.2.0`.
///
/// Nodes with different prefixes may be connected, but do not exchange blocks.
public struct ProtocolPrefix: Sendable, Hashable, CustomStringConvertible {
    /// The most bytes of a prefix: all names that have it must fit into the 2 KiB that peers take of an Identify message.
    public static let maximumBytes = 128

    /// The prefix, with its slash, such as `/chain`.
    public let text: String

    /// - Throws: `invalidProtocolPrefix` when the text does not begin with a slash, ends with one, has characters other than
    ///   visible ASCII, or more than ``maximumBytes`` of them.
    public init(_ text: String) throws(ExchangeError) {
        func invalid(_ why: String) -> ExchangeError {
            ExchangeError(.invalidProtocolPrefix, "\"\(text.prefix(80))\" is no protocol prefix such as /chain: \(why)")
        }
        guard text.utf8.first == UInt8(ascii: "/") else { throw invalid("it does not begin with a slash") }
        guard text.utf8.last != UInt8(ascii: "/") else { throw invalid("it ends with a slash") }
        guard text.utf8.count <= Self.maximumBytes else {
            throw invalid("it has \(text.utf8.count) bytes, \(Self.maximumBytes) are the most")
        }
        guard text.utf8.allSatisfy({ (UInt8(ascii: "!")...UInt8(ascii: "~")).contains($0) }) else {
            throw invalid("it has a space, a control character or one that is not ASCII")
        }
        self.text = text
    }

    public var description: String { text }
}
