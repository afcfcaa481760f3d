/// A network address that spells out each of its protocols, such as `/ip4/127.0.0.1/tcp/4001/p2p/12D3…`.
///
/// Specification: https://github.com/multiformats/multiaddr
public struct Multiaddr: Hashable, Sendable {
    /// The protocols from the outside in; never empty, and each with a value that its protocol allows.
    public let components: [Component]

    /// - Throws: `invalidAddress` if there are none, or one has a value that its protocol does not allow;
    ///   `limitExceeded` for more than ``MultiformatsLimits/multiaddrLength`` bytes.
    public init(_ components: [Component]) throws(MultiformatsError) {
        guard !components.isEmpty else {
            throw MultiformatsError(code: .invalidAddress, message: "a multiaddr needs at least one protocol")
        }
        var length = 0
        for (index, component) in components.enumerated() {
            try component.validate()
            if case .unix = component, index + 1 < components.count {
                throw MultiformatsError(code: .invalidAddress, message: "nothing can follow the path of /unix")
            }
            length += component.byteCount
        }
        try Self.checkLength(length)
        self.components = components
    }

    /// For components that were checked one by one.
    private init(checked components: [Component]) { self.components = components }

    static func checkLength(_ length: Int) throws(MultiformatsError) {
        guard length <= MultiformatsLimits.multiaddrLength else {
            throw MultiformatsError(
                code: .limitExceeded,
                message: "a multiaddr of \(length) bytes; the limit is \(MultiformatsLimits.multiaddrLength)")
        }
    }

    /// The multihash of the peer ID this address ends in. An address that ends in a relay (`…/p2p/RELAY/p2p-circuit`)
    /// names no peer of its own.
    public var peerMultihash: Multihash? {
        guard case .p2p(let peer) = components.last else { return nil }
        return peer
    }

    /// Whether it is a `/dnsaddr`, a name under which addresses are found.
    package var isName: Bool { if case .dnsaddr = components.first { true } else { false } }

    /// This address with one more protocol at its end.
    /// - Throws: as ``init(_:)-([Component])``.
    public func appending(_ component: Component) throws(MultiformatsError) -> Multiaddr {
        try Multiaddr(components + [component])
    }

    /// This address for the given peer: with `/p2p/PEER` at its end, in place of another peer if there is one.
    /// - Throws: as ``init(_:)-([Component])``.
    public func appending(peer: Multihash) throws(MultiformatsError) -> Multiaddr {
        try Multiaddr((removingPeer()?.components ?? []) + [.p2p(peer)])
    }

    /// This address without the peer ID it ends in; nil if nothing else is left.
    public func removingPeer() -> Multiaddr? {
        guard peerMultihash != nil else { return self }
        return components.count == 1 ? nil : Multiaddr(checked: components.dropLast())
    }
}

extension Multiaddr: Codable {
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
