import Crypto
import CryptoExtras
import Foundation
@testable import Libp2p
import NIOCore
import NIOEmbedded
import NIOSSL
import PeerIdentity
import SwiftASN1
import Testing

/// What the tests of TLS share.
enum TLSTesting {
    /// Some day in 2023.
    static let now: Int64 = 1_700_000_000

    static func identity(_ number: UInt8) throws -> KeyPair {
        try KeyPair(seed: [UInt8](repeating: number, count: 32))
    }

    static func hex(_ text: String) -> [UInt8] {
        let digits = text.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}

enum Processor {
    /// Whether it has instructions for AES. Those of Apple do; Linux tells.
    static let knowsAES: Bool = {
        #if os(Linux)
            guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8) else { return false }
            let flags = text.split(separator: "\n").first { $0.hasPrefix("flags") || $0.hasPrefix("Features") }
            return flags?.split(separator: " ").contains("aes") == true
        #else
            return true
        #endif
    }()
}

/// A key that a certificate may have.
enum CertificateKey {
    case p256(P256.Signing.PrivateKey)
    case p384(P384.Signing.PrivateKey)
    case ed25519(Curve25519.Signing.PrivateKey)
    case rsa(_RSA.Signing.PrivateKey)

    /// The `SubjectPublicKeyInfo`, DER.
    var info: [UInt8] {
        switch self {
        case .p256(let key): [UInt8](key.publicKey.derRepresentation)
        case .p384(let key): [UInt8](key.publicKey.derRepresentation)
        case .ed25519(let key): TLSTesting.hex("302a300506032b6570032100") + key.publicKey.rawRepresentation
        case .rsa(let key): [UInt8](key.publicKey.derRepresentation)
        }
    }

    /// The private key, DER.
    var secret: [UInt8] {
        switch self {
        case .p256(let key): [UInt8](key.derRepresentation)
        case .p384(let key): [UInt8](key.derRepresentation)
        case .ed25519(let key): TLSTesting.hex("302e020100300506032b657004220420") + key.rawRepresentation
        case .rsa(let key): [UInt8](key.derRepresentation)
        }
    }

    var algorithm: ASN1ObjectIdentifier {
        switch self {
        case .p256: [1, 2, 840, 10045, 4, 3, 2]
        case .p384: [1, 2, 840, 10045, 4, 3, 3]
        case .ed25519: [1, 3, 101, 112]
        case .rsa: [1, 2, 840, 113549, 1, 1, 11]
        }
    }

    var algorithmHasNull: Bool { if case .rsa = self { true } else { false } }

    func signature(for bytes: [UInt8]) throws -> [UInt8] {
        switch self {
        case .p256(let key): [UInt8](try key.signature(for: bytes).derRepresentation)
        case .p384(let key): [UInt8](try key.signature(for: bytes).derRepresentation)
        case .ed25519(let key): [UInt8](try key.signature(for: bytes))
        case .rsa(let key):
            [UInt8](try key.signature(for: SHA256.hash(data: bytes), padding: .insecurePKCS1v1_5).rawRepresentation)
        }
    }
}

/// A certificate written by hand, field by field, so that each can be wrong.
struct HandmadeCertificate {
    struct Extension {
        var identifier: ASN1ObjectIdentifier
        var isCritical = false
        var value: [UInt8]
    }

    enum UniqueID {
        /// As the standard has it.
        case implicit
        /// As X509 reads it.
        case explicit
    }

    static let libp2p: ASN1ObjectIdentifier = [1, 3, 6, 1, 4, 1, 53594, 1, 1]

    /// Nil: the first version, which has no such field.
    var version: Int? = 2
    var notBefore = (year: 2023, month: 1)
    var notAfter = (year: 2024, month: 1)
    /// Of the issuer.
    var uniqueID: UniqueID?
    var extensions: [Extension] = []
    let key: CertificateKey
    /// Who signs; itself unless another is put here.
    var signer: CertificateKey

    init(key: CertificateKey = .p256(P256.Signing.PrivateKey())) {
        self.key = key
        signer = key
    }

    /// One that is good, in the name of `identity`.
    init(identity: KeyPair, key: CertificateKey = .p256(P256.Signing.PrivateKey())) throws {
        self.init(key: key)
        extensions = [Extension(identifier: Self.libp2p, value: try signedKey(of: identity))]
    }

    var keyInfo: [UInt8] { key.info }
    var privateKey: [UInt8] { key.secret }

    /// The value of libp2p's extension.
    func signedKey(
        of identity: KeyPair, prefix: String = "libp2p-tls-handshake:", keyInfo: [UInt8]? = nil
    ) throws -> [UInt8] {
        try Self.signedKey(
            publicKey: identity.publicKey.protobufBytes,
            signature: identity.sign(Array(prefix.utf8) + (keyInfo ?? self.keyInfo)))
    }

    static func signedKey(publicKey: [UInt8], signature: [UInt8]) throws -> [UInt8] {
        try encoded { coder in
            try coder.appendConstructedNode(identifier: .sequence) { coder in
                try coder.serialize(ASN1OctetString(contentBytes: publicKey[...]))
                try coder.serialize(ASN1OctetString(contentBytes: signature[...]))
            }
        }
    }

    var bytes: [UInt8] {
        get throws {
            let toBeSigned = try Self.encoded(writeToBeSigned)
            let signature = try signer.signature(for: toBeSigned)
            return try Self.encoded { coder in
                try coder.appendConstructedNode(identifier: .sequence) { coder in
                    coder.serializeRawBytes(toBeSigned)
                    try writeAlgorithm(&coder)
                    try coder.serialize(ASN1BitString(bytes: signature[...]))
                }
            }
        }
    }

    private func writeToBeSigned(_ coder: inout DER.Serializer) throws {
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            if let version {
                try coder.serialize(explicitlyTaggedWithTagNumber: 0, tagClass: .contextSpecific) {
                    try $0.serialize(version)
                }
            }
            try coder.serialize(4711)
            try writeAlgorithm(&coder)
            try writeName(&coder)
            try coder.appendConstructedNode(identifier: .sequence) { coder in
                for (year, month) in [notBefore, notAfter] {
                    if year < 2050 {
                        try coder.serialize(
                            UTCTime(year: year, month: month, day: 1, hours: 0, minutes: 0, seconds: 0))
                    } else {
                        try coder.serialize(
                            GeneralizedTime(
                                year: year, month: month, day: 1, hours: 0, minutes: 0, seconds: 0, fractionalSeconds: 0
                            ))
                    }
                }
            }
            try writeName(&coder)
            coder.serializeRawBytes(keyInfo)
            switch uniqueID {
            case .implicit:
                coder.appendPrimitiveNode(identifier: ASN1Identifier(tagWithNumber: 1, tagClass: .contextSpecific)) {
                    $0 += [0, 7]
                }
            case .explicit:
                try coder.serialize(explicitlyTaggedWithTagNumber: 1, tagClass: .contextSpecific) {
                    try $0.serialize(ASN1BitString(bytes: [7]))
                }
            case nil: break
            }
            if !extensions.isEmpty {
                try coder.serialize(explicitlyTaggedWithTagNumber: 3, tagClass: .contextSpecific) { coder in
                    try coder.appendConstructedNode(identifier: .sequence) { coder in
                        for item in extensions { try write(item, &coder) }
                    }
                }
            }
        }
    }

    private func write(_ item: Extension, _ coder: inout DER.Serializer) throws {
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            try coder.serialize(item.identifier)
            if item.isCritical { try coder.serialize(true) }
            try coder.serialize(ASN1OctetString(contentBytes: item.value[...]))
        }
    }

    /// O=test
    private func writeName(_ coder: inout DER.Serializer) throws {
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            try coder.appendConstructedNode(identifier: .set) { coder in
                try coder.appendConstructedNode(identifier: .sequence) { coder in
                    try coder.serialize([2, 5, 4, 10] as ASN1ObjectIdentifier)
                    try coder.serialize(ASN1UTF8String("test"))
                }
            }
        }
    }

    private func writeAlgorithm(_ coder: inout DER.Serializer) throws {
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            try coder.serialize(signer.algorithm)
            if signer.algorithmHasNull { try coder.serialize(ASN1Null()) }
        }
    }

    private static func encoded(_ write: (inout DER.Serializer) throws -> Void) throws -> [UInt8] {
        var serializer = DER.Serializer()
        try write(&serializer)
        return serializer.serializedBytes
    }
}

/// One end of a connection in memory.
final class TLSEnd {
    let channel = EmbeddedChannel()
    let recorder = NoiseRecorder()

    init(_ handlers: [any ChannelHandler]) throws {
        try channel.pipeline.syncOperations.addHandlers(handlers + [recorder])
    }

    convenience init(
        _ direction: Connection.Direction, identity: UInt8, expecting peer: PeerID? = nil,
        muxers: [ProtocolID] = ["/yamux/1.0.0"], limits: TLSLimits = TLSLimits(), now: Int64 = TLSTesting.now
    ) throws {
        let credentials = try TLSCredentials(identity: TLSTesting.identity(identity), muxers: muxers)
        try self.init([
            TLSHandler(credentials: credentials, direction: direction, expectedPeer: peer, limits: limits, now: { now })
        ])
    }

    /// A peer that is not ours: BoringSSL as somebody else might set it up.
    static func foreign(
        _ direction: Connection.Direction, certificates: [HandmadeCertificate],
        _ change: (inout TLSConfiguration) -> Void = { _ in }
    ) throws -> TLSEnd {
        let chain = try certificates.map {
            NIOSSLCertificateSource.certificate(try NIOSSLCertificate(bytes: $0.bytes, format: .der))
        }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateChain = chain
        if let key = certificates.first?.privateKey {
            configuration.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: key, format: .der))
        }
        configuration.certificateVerification = .noHostnameVerification
        configuration.trustRoots = .certificates([])
        configuration.applicationProtocols = ["libp2p"]
        change(&configuration)
        let context = try NIOSSLContext(configuration: configuration)
        let accept: NIOSSLCustomVerificationCallback = { $1.succeed(.certificateVerified) }
        return switch direction {
        case .outbound:
            try TLSEnd([
                NIOSSLClientHandler(context: context, serverHostname: nil, customVerificationCallback: accept)
            ])
        case .inbound: try TLSEnd([NIOSSLServerHandler(context: context, customVerificationCallback: accept)])
        }
    }

    func activate() throws {
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    /// What it has put on the wire since the last call, one piece for each socket write.
    func sentPieces() throws -> [ByteBuffer] {
        channel.embeddedEventLoop.run()
        var pieces: [ByteBuffer] = []
        while let piece = try channel.readOutbound(as: ByteBuffer.self) {
            if piece.readableBytes > 0 { pieces.append(piece) }
        }
        return pieces
    }

    func sent() throws -> [UInt8] { try sentPieces().flatMap { [UInt8]($0.readableBytesView) } }

    func receive(_ bytes: [UInt8]) throws {
        guard channel.isActive else { return }
        // Errors are the recorder's.
        _ = try? channel.writeInbound(ByteBuffer(bytes: bytes))
        channel.embeddedEventLoop.run()
    }

    /// The cipher suite that a server's first record, its hello, names.
    static func cipherSuite(_ bytes: [UInt8]) throws -> UInt16 {
        // Headers of record and message, version, random, session ID with its length.
        let start = 5 + 4 + 2 + 32
        try #require(bytes.count > start && bytes[0] == 22 && bytes[5] == 2)
        let at = start + 1 + Int(bytes[start])
        try #require(bytes.count > at + 1)
        return UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1])
    }

    /// The lengths of the TLS records in `bytes`, as they are sealed.
    static func recordLengths(_ bytes: [UInt8]) -> [Int] {
        var lengths: [Int] = []
        var rest = bytes[...]
        while rest.count >= 5 {
            let length = Int(rest[rest.startIndex + 3]) << 8 | Int(rest[rest.startIndex + 4])
            lengths.append(length)
            rest = rest.dropFirst(5 + length)
        }
        return lengths
    }
}

/// Two ends, glued.
struct TLSPair {
    let client: TLSEnd
    let server: TLSEnd

    init(_ client: TLSEnd, _ server: TLSEnd) {
        self.client = client
        self.server = server
    }

    /// Two ends that expect each other, after a successful handshake.
    static func established(limits: TLSLimits = TLSLimits()) throws -> TLSPair {
        let pair = TLSPair(
            try TLSEnd(.outbound, identity: 1, expecting: TLSTesting.identity(2).peerID, limits: limits),
            try TLSEnd(.inbound, identity: 2, limits: limits))
        try pair.shakeHands()
        try #require(pair.client.recorder.completed.count == 1)
        try #require(pair.server.recorder.completed.count == 1)
        return pair
    }

    func shakeHands(pieceLength: Int = .max) throws {
        try server.activate()
        try client.activate()
        try exchange(pieceLength: pieceLength)
    }

    /// Carries bytes both ways until both are quiet, cut into pieces of `pieceLength`.
    func exchange(pieceLength: Int = .max) throws {
        var isQuiet = false
        while !isQuiet {
            isQuiet = true
            for (sender, receiver) in [(client, server), (server, client)] {
                var rest = try sender.sent()[...]
                while !rest.isEmpty {
                    isQuiet = false
                    try receiver.receive(Array(rest.prefix(pieceLength)))
                    rest = rest.dropFirst(pieceLength)
                }
            }
        }
    }
}
