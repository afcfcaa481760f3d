import ArgumentParser
import Bitswap
import Libp2p
import Logging
import Multiformats
import PeerIdentity

/// An argument that is checked while the command line is parsed. ArgumentParser's own message for a value that cannot be
/// read does not say why, so the reason is kept and thrown by ``value()``, which each command calls in `validate()`.
protocol CheckedArgument: ExpressibleByArgument {
    associatedtype Value
    var text: String { get }
    init(text: String)
    func parse() throws -> Value
}

extension CheckedArgument {
    init?(argument: String) { self.init(text: argument) }

    var defaultValueDescription: String { text }

    /// - Throws: `ValidationError`, which quotes the text and says what is wrong with it.
    func value() throws -> Value {
        do {
            return try parse()
        } catch let error as ValidationError {
            throw error
        } catch {
            throw ValidationError(reason(of: error))
        }
    }
}

struct CIDArgument: CheckedArgument {
    let text: String

    func parse() throws -> CID { try CID(text) }
}

/// An address to dial or to listen on: TCP is what the node speaks.
struct AddressArgument: CheckedArgument {
    let text: String

    func parse() throws -> Multiaddr {
        let address = try Multiaddr(text)
        let isTCP = address.components.contains { if case .tcp = $0 { true } else { false } }
        guard isTCP else {
            throw ValidationError(
                "\"\(text)\" is no address of a TCP socket, such as /ip4/192.0.2.1/tcp/4001 or "
                    + "/dns4/example.org/tcp/4001/p2p/12D3KooW…")
        }
        return address
    }
}

/// An address to dial again and again, or a name under which such addresses are found.
struct StandingAddressArgument: CheckedArgument {
    let text: String

    func parse() throws -> Multiaddr {
        let address = try Multiaddr(text)
        return address.isName ? address : try AddressArgument(text: text).parse()
    }
}

/// An address of a node that is known by its peer ID, or a name under which such addresses are found.
struct BootstrapArgument: CheckedArgument {
    let text: String

    func parse() throws -> Multiaddr {
        let address = try Multiaddr(text)
        if address.isName { return address }
        guard address.peerMultihash != nil else {
            throw ValidationError(
                "\"\(text)\" does not say whose address it is; write /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW… or "
                    + "/dnsaddr/example.org")
        }
        return address
    }
}

struct PeerArgument: CheckedArgument {
    let text: String

    func parse() throws -> PeerID { try PeerID(text) }
}

struct ProtocolPrefixArgument: CheckedArgument {
    let text: String

    func parse() throws -> ProtocolPrefix { try ProtocolPrefix(text) }
}

/// A length of time with its unit: `500ms`, `30s`, `1.5m`, `2h`.
struct DurationArgument: CheckedArgument {
    let text: String

    private static let units: [(String, milliseconds: Double)] = [
        ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000),
    ]
    private static let maximumMilliseconds = 366.0 * 24 * 3_600_000

    func parse() throws -> Duration {
        guard let (unit, scale) = Self.units.first(where: { text.hasSuffix($0.0) }),
            case let number = text.dropLast(unit.utf8.count), !number.isEmpty,
            number.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".") }),
            let count = Double(number)
        else {
            throw ValidationError("\"\(text)\" is not a length of time; write 500ms, 30s, 2m or 1h")
        }
        guard count * scale <= Self.maximumMilliseconds else {
            throw ValidationError("\"\(text)\" is too long a time; at most 366 days are allowed")
        }
        return .milliseconds(Int64(count * scale))
    }
}

/// A number of bytes, with or without a unit: `4096`, `512KiB` or `512k`, `10MB`, `1.5GiB`.
struct BytesArgument: CheckedArgument {
    let text: String

    private static let units: [(String, bytes: Double)] = [
        ("KiB", 1_024), ("MiB", 1_048_576), ("GiB", 1_073_741_824), ("TiB", 1_099_511_627_776), ("kB", 1e3),
        ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("B", 1),
        ("k", 1_024), ("K", 1_024), ("m", 1_048_576), ("M", 1_048_576), ("g", 1_073_741_824), ("G", 1_073_741_824),
        ("", 1),
    ]

    func parse() throws -> Int {
        guard let (unit, scale) = Self.units.first(where: { text.hasSuffix($0.0) }),
            case let number = text.dropLast(unit.utf8.count), !number.isEmpty,
            number.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".") }),
            let count = Double(number)
        else {
            throw ValidationError("\"\(text)\" is not a number of bytes; write 4096, 256k, 512KiB, 10MB or 1.5GiB")
        }
        guard count * scale <= 1e15 else {
            throw ValidationError("\"\(text)\" is more than any machine has; at most 1000TB are allowed")
        }
        return Int(count * scale)
    }
}

/// The codecs that `block put` knows by name.
enum CodecName: String, CaseIterable, ExpressibleByArgument {
    case raw
    case dagPB = "dag-pb"
    case dagCBOR = "dag-cbor"
    case dagJSON = "dag-json"

    var codec: CID.Codec {
        switch self {
        case .raw: .raw
        case .dagPB: .dagPB
        case .dagCBOR: .dagCBOR
        case .dagJSON: .dagJSON
        }
    }
}

/// The hash functions that `block put` knows by name.
enum HashName: String, CaseIterable, ExpressibleByArgument {
    case sha2_256 = "sha2-256"
    case sha2_512 = "sha2-512"
    case sha3_256 = "sha3-256"
    case blake2b256 = "blake2b-256"

    var code: Multihash.Code {
        switch self {
        case .sha2_256: .sha2_256
        case .sha2_512: .sha2_512
        case .sha3_256: .sha3_256
        case .blake2b256: .blake2b256
        }
    }
}

/// What connections may be secured with, by name.
enum SecurityName: String, CaseIterable, ExpressibleByArgument {
    case tls, noise

    var security: SecurityProtocol {
        switch self {
        case .tls: .tls
        case .noise: .noise
        }
    }
}

enum LogLevel: String, CaseIterable, ExpressibleByArgument {
    case trace, debug, info, notice, warning, error, critical

    var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .warning }
}
