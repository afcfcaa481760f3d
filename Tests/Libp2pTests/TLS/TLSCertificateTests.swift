import Crypto
import CryptoExtras
import PeerIdentity
import SwiftASN1
import TestSupport
import Testing

@testable import Libp2p

@Suite("TLS: the certificate that shows who a peer is", .timeLimit(.minutes(5)))
struct TLSCertificateTests {
    private let identity: KeyPair
    private let good: HandmadeCertificate

    init() throws {
        identity = try TLSTesting.identity(1)
        good = try HandmadeCertificate(identity: identity)
    }

    private func verify(_ certificate: HandmadeCertificate, now: Int64 = TLSTesting.now) throws -> PublicKey {
        try TLSCertificate.verifiedIdentity(chain: [certificate.bytes], now: now)
    }

    /// Expects a refusal with these words in its message.
    private func expectRefusal(
        _ words: String, _ code: Libp2pError.Code = .handshakeFailed, at location: SourceLocation = #_sourceLocation,
        _ body: () throws -> PublicKey
    ) {
        let error = #expect(throws: Libp2pError.self, sourceLocation: location) { _ = try body() }
        #expect(error?.code == code, sourceLocation: location)
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")", sourceLocation: location)
    }

    // MARK: Good ones

    @Test("Our own is good, at all times, and each is another")
    func own() throws {
        let certificate = try TLSCertificate(identity: identity)
        for now in [200_000_000, TLSTesting.now, 60_000_000_000] {
            #expect(try TLSCertificate.verifiedIdentity(chain: [certificate.bytes], now: now) == identity.publicKey)
        }
        #expect(try TLSCertificate(identity: identity).bytes != certificate.bytes)
        #expect(certificate.bytes.count < 512)
    }

    @Test("One written by hand is good")
    func handmade() throws {
        #expect(try verify(good) == identity.publicKey)
    }

    @Test("Keys of every kind that others have their certificates signed by")
    func kindsOfKeys() throws {
        for key in [
            CertificateKey.p384(P384.Signing.PrivateKey()), .ed25519(Curve25519.Signing.PrivateKey()),
            .rsa(try _RSA.Signing.PrivateKey(keySize: .bits2048)),
        ] {
            #expect(try verify(HandmadeCertificate(identity: identity, key: key)) == identity.publicKey)
        }
    }

    @Test("An RSA identity, as Kubo's older ones are")
    func rsaIdentity() throws {
        let key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
        let identity = try PublicKey(kind: .rsa, bytes: [UInt8](key.publicKey.derRepresentation))
        var certificate = good
        func vouch(for statement: [UInt8]) throws {
            let signature = try CertificateKey.rsa(key).signature(for: statement)
            certificate.extensions[0].value = try HandmadeCertificate.signedKey(
                publicKey: identity.protobufBytes, signature: signature)
        }
        try vouch(for: Array("libp2p-tls-handshake:".utf8) + good.keyInfo)
        #expect(try verify(certificate) == identity)
        try vouch(for: Array("libp2p-tls-handshake:".utf8) + HandmadeCertificate().keyInfo)
        expectRefusal("does not prove it") { try verify(certificate) }
    }

    @Test("The extension may be critical, and unknown ones are passed over unless they are")
    func criticality() throws {
        var certificate = good
        certificate.extensions[0].isCritical = true
        certificate.extensions.append(.init(identifier: [1, 2, 3], value: [1, 2, 3]))
        #expect(try verify(certificate) == identity.publicKey)
    }

    @Test("The certificates of the specification")
    func vectors() throws {
        for (peer, hex) in [
            ("12D3KooWM6CgA9iBFZmcYAHA6A2qvbAxqfkmrYiRQuz3XEsk4Ksv", TLSVectors.ed25519),
            ("QmfXbAwNjJLXfesgztEHe8HwgVDCMMpZ9Eax1HYq6hn9uE", TLSVectors.ecdsa),
        ] {
            let key = try TLSCertificate.verifiedIdentity(chain: [TLSTesting.hex(hex)], now: TLSTesting.now)
            #expect("\(PeerID(publicKey: key))" == peer)
        }
        expectRefusal("does not prove it") {
            try TLSCertificate.verifiedIdentity(chain: [TLSTesting.hex(TLSVectors.invalid)], now: TLSTesting.now)
        }
    }

    @Test("The specification's one for secp256k1: as the build is")
    func secp256k1() throws {
        let chain = [TLSTesting.hex(TLSVectors.secp256k1)]
        #if Secp256k1
            let key = try TLSCertificate.verifiedIdentity(chain: chain, now: TLSTesting.now)
            #expect("\(PeerID(publicKey: key))" == "16Uiu2HAkutTMoTzDw1tCvSRtu6YoixJwS46S1ZFxW8hSx9fWHiPs")
        #else
            expectRefusal("secp256k1") { try TLSCertificate.verifiedIdentity(chain: chain, now: TLSTesting.now) }
        #endif
    }

    // MARK: Bad ones

    @Test("None, or more than one")
    func chainLength() throws {
        let bytes = try good.bytes
        expectRefusal("sent 0 certificates") {
            try TLSCertificate.verifiedIdentity(chain: [], now: TLSTesting.now)
        }
        expectRefusal("sent 2 certificates") {
            try TLSCertificate.verifiedIdentity(chain: [bytes, bytes], now: TLSTesting.now)
        }
    }

    @Test("Signed by another key than its own")
    func wrongSelfSignature() throws {
        var certificate = good
        certificate.signer = HandmadeCertificate().key
        expectRefusal("not signed by its own key") { try verify(certificate) }
    }

    @Test("A self-signature of other bytes, or none")
    func brokenSelfSignature() throws {
        let bytes = try good.bytes
        // The last bytes are the signature's.
        for change in [{ $0[$0.count - 1] ^= 1 }, { $0[$0.count - 20] ^= 0x80 }] as [(inout [UInt8]) -> Void] {
            var changed = bytes
            change(&changed)
            expectRefusal("") { try TLSCertificate.verifiedIdentity(chain: [changed], now: TLSTesting.now) }
        }
    }

    @Test("The identity vouches for another key")
    func wrongKey() throws {
        var certificate = good
        certificate.extensions[0].value = try good.signedKey(of: identity, keyInfo: HandmadeCertificate().keyInfo)
        expectRefusal("does not prove it") { try verify(certificate) }
    }

    @Test("A signature by another identity than the one named")
    func wrongSignature() throws {
        var certificate = good
        let signature = try TLSTesting.identity(2).sign(Array("libp2p-tls-handshake:".utf8) + good.keyInfo)
        certificate.extensions[0].value = try HandmadeCertificate.signedKey(
            publicKey: identity.publicKey.protobufBytes, signature: signature)
        expectRefusal("does not prove it") { try verify(certificate) }
    }

    @Test("A signature for another purpose")
    func wrongPurpose() throws {
        var certificate = good
        certificate.extensions[0].value = try good.signedKey(of: identity, prefix: "noise-libp2p-static-key:")
        expectRefusal("does not prove it") { try verify(certificate) }
    }

    @Test("Expired: good in its last second, not in the next")
    func expired() throws {
        let end: Int64 = 1_704_067_200
        #expect(try verify(good, now: end) == identity.publicKey)
        expectRefusal("has expired") { try verify(good, now: end + 1) }
        var certificate = good
        certificate.notAfter = (2051, 1)
        #expect(try verify(certificate, now: end + 1) == identity.publicKey)
        expectRefusal("has expired") { try verify(certificate, now: 2_556_144_001) }
    }

    @Test("Not valid yet: good from its first second on")
    func notYetValid() throws {
        let begin: Int64 = 1_672_531_200
        #expect(try verify(good, now: begin) == identity.publicKey)
        expectRefusal("not valid yet") { try verify(good, now: begin - 1) }
    }

    @Test("The extension of libp2p twice")
    func twoExtensions() throws {
        var certificate = good
        certificate.extensions.append(good.extensions[0])
        expectRefusal("duplicate extension") { try verify(certificate) }
    }

    @Test("Without the extension of libp2p, with others or none")
    func noExtension() throws {
        var certificate = good
        certificate.extensions = []
        expectRefusal("lacks the extension of libp2p") { try verify(certificate) }
        certificate.extensions = [.init(identifier: [1, 2, 3], value: good.extensions[0].value)]
        expectRefusal("lacks the extension of libp2p") { try verify(certificate) }
    }

    @Test("An unknown extension that is critical")
    func unknownCritical() throws {
        var certificate = good
        certificate.extensions.append(.init(identifier: [1, 2, 3], isCritical: true, value: []))
        expectRefusal("critical extension that is not known here: 1.2.3") { try verify(certificate) }
    }

    @Test("An extension of libp2p that is malformed")
    func malformedExtension() throws {
        let value = good.extensions[0].value
        for wrong in [[], [0x30, 0], Array(value.dropLast()), value + [0], Array(value.dropFirst(2))] {
            var certificate = good
            certificate.extensions[0].value = wrong
            expectRefusal("malformed") { try verify(certificate) }
        }
    }

    @Test("A key in the extension that is none, or of a kind that is not verified")
    func badKeys() throws {
        for key in [[], [8, 1, 18, 2, 1, 2], [8, 9, 18, 1, 1]] as [[UInt8]] {
            var certificate = good
            certificate.extensions[0].value = try HandmadeCertificate.signedKey(publicKey: key, signature: [1])
            expectRefusal("cannot be verified") { try verify(certificate) }
        }
    }

    @Test("The first or second version, and unique IDs")
    func oldFields() throws {
        for version in [nil, 1] {
            var certificate = good
            certificate.version = version
            expectRefusal("not of version 3") { try verify(certificate) }
        }
        var certificate = good
        // X509 expects tags around them, and takes what the standard says for malformed.
        certificate.uniqueID = .implicit
        expectRefusal("is malformed") { try verify(certificate) }
        certificate.uniqueID = .explicit
        expectRefusal("has a unique ID of its issuer or subject") { try verify(certificate) }
    }

    @Test("One byte past the limit of its length")
    func length() throws {
        let limit = TLSLimits().certificateBytes
        var certificate = good
        certificate.extensions.append(.init(identifier: [1, 2, 3], value: []))
        // The signature varies by a few bytes; so try until it fits.
        func bytes(of count: Int) throws -> [UInt8] {
            var size = count - 500
            while true {
                certificate.extensions[1].value = [UInt8](repeating: 0, count: size)
                let bytes = try certificate.bytes
                if bytes.count == count { return bytes }
                size += (count - bytes.count).signum()
            }
        }
        #expect(
            try TLSCertificate.verifiedIdentity(chain: [bytes(of: limit)], now: TLSTesting.now) == identity.publicKey)
        let error = #expect(throws: Libp2pError.self) {
            _ = try TLSCertificate.verifiedIdentity(chain: [bytes(of: limit + 1)], now: TLSTesting.now)
        }
        #expect(error?.code == .limitReached)
        #expect(error?.limit == .tls(.certificateBytes))
    }

    // MARK: Anything

    @Test("No bit of a good certificate may change, and no part may be missing")
    func everyBit() throws {
        let bytes = try good.bytes
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << bit
                #expect(throws: Libp2pError.self, "bit \(bit) of byte \(index)") {
                    try TLSCertificate.verifiedIdentity(chain: [changed], now: TLSTesting.now)
                }
            }
            #expect(throws: Libp2pError.self, "the first \(index) bytes") {
                try TLSCertificate.verifiedIdentity(chain: [Array(bytes.prefix(index))], now: TLSTesting.now)
            }
        }
    }

    @Test("Random changes never trap and never verify")
    func mutations() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        let seeds = try [
            good.bytes, TLSCertificate(identity: identity).bytes, TLSTesting.hex(TLSVectors.ecdsa),
            TLSTesting.hex(TLSVectors.invalid),
        ]
        for round in 0..<3_000 {
            let original = seeds[Int.random(in: 0..<seeds.count, using: &random)]
            var bytes = original
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<6, using: &random) {
                case 0: bytes[at] = UInt8.random(in: .min ... .max, using: &random)
                case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 2: bytes.insert(UInt8.random(in: .min ... .max, using: &random), at: at)
                case 3: bytes.remove(at: at)
                case 4:
                    let end = min(bytes.count, at + Int.random(in: 1...40, using: &random))
                    bytes.insert(
                        contentsOf: Array(bytes[at..<end]), at: Int.random(in: 0..<bytes.count, using: &random))
                default:
                    let end = min(bytes.count, at + Int.random(in: 1...40, using: &random))
                    bytes.removeSubrange(at..<end)
                }
                if bytes.isEmpty { bytes = [0] }
            }
            guard bytes != original else { continue }
            #expect(throws: Libp2pError.self, "seed \(seed), round \(round)") {
                try TLSCertificate.verifiedIdentity(chain: [bytes], now: TLSTesting.now)
            }
        }
        for _ in 0..<1_000 {
            let bytes = [0x30, 0x82] + random.bytes(Int.random(in: 0...600, using: &random))
            #expect(throws: Libp2pError.self, "seed \(seed)") {
                try TLSCertificate.verifiedIdentity(chain: [bytes], now: .random(in: .min ... .max, using: &random))
            }
        }
    }

    @Test("Signed changes: what its own key signs is judged field by field")
    func signedMutations() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        for _ in 0..<500 {
            var certificate = good
            var value = certificate.extensions[0].value
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                value[Int.random(in: 0..<value.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            }
            guard value != certificate.extensions[0].value else { continue }
            certificate.extensions[0].value = value
            #expect(throws: Libp2pError.self, "seed \(seed)") { try verify(certificate) }
        }
    }
}

/// From https://github.com/libp2p/specs/blob/master/tls/tls.md#test-vectors.
private enum TLSVectors {
    static let ed25519 = """
        308201ae30820156a0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13096c69627032702e696f310a\
        300806035504051301313020170d3735303130313133303030305a180f34303936303130313133303030305a302031123010060355040a\
        13096c69627032702e696f310a300806035504051301313059301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c\
        831ca85e27c73c263ba132721bb9d7a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651691606d8173e55bd37\
        e381569ea37c307a3078060a2b0601040183a25a0101046a3068042408011220a77f1d92fedb59dddaea5a1c4abd1ac2fbde7d7b879ed3\
        64501809923d7c11b90440d90d2769db992d5e6195dbb08e706b6651e024fda6cfb8846694a435519941cac215a8207792e42849cccc6c\
        d8136c6e4bde92a58c5e08cfd4206eb5fe0bf909300a06082a8648ce3d0403020346003043021f50f6b6c52711a881778718238f650c9f\
        b48943ae6ee6d28427dc6071ae55e702203625f116a7a454db9c56986c82a25682f7248ea1cb764d322ea983ed36a31b77
        """
    static let ecdsa = """
        308201f63082019da0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13096c69627032702e696f310a\
        300806035504051301313020170d3735303130313133303030305a180f34303936303130313133303030305a302031123010060355040a\
        13096c69627032702e696f310a300806035504051301313059301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c\
        831ca85e27c73c263ba132721bb9d7a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651691606d8173e55bd37\
        e381569ea381c23081bf3081bc060a2b0601040183a25a01010481ad3081aa045f0803125b3059301306072a8648ce3d020106082a8648\
        ce3d03010703420004bf30511f909414ebdd3242178fd290f093a551cf75c973155de0bb5a96fedf6cb5d52da7563e794b512f66e60c7f\
        55ba8a3acf3dd72a801980d205e8a1ad29f2044730450220064ea8124774caf8f50e57f436aa62350ce652418c019df5d98a3ac666c938\
        6a022100aa59d704a931b5f72fb9222cb6cc51f954d04a4e2e5450f8805fe8918f71eaae300a06082a8648ce3d04030203470030440220\
        799395b0b6c1e940a7e4484705f610ab51ed376f19ff9d7c16757cfbf61b8d4302206205c03fbb0f95205c779be86581d3e31c01871ad5\
        d1f3435bcf375cb0e5088a
        """
    static let secp256k1 = """
        308201ba3082015fa0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13096c69627032702e696f310a\
        300806035504051301313020170d3735303130313133303030305a180f34303936303130313133303030305a302031123010060355040a\
        13096c69627032702e696f310a300806035504051301313059301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c\
        831ca85e27c73c263ba132721bb9d7a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651691606d8173e55bd37\
        e381569ea38184308181307f060a2b0601040183a25a01010471306f0425080212210206dc6968726765b820f050263ececf7f71e49558\
        92776c0970542efd689d2382044630440220145e15a991961f0d08cd15425bb95ec93f6ffa03c5a385eedc34ecf464c7a8ab022026b310\
        9b8a3f40ef833169777eb2aa337cfb6282f188de0666d1bcec2a4690dd300a06082a8648ce3d0403020349003046022100e1a217eeef9e\
        c9204b3f774a08b70849646b6a1e6b8b27f93dc00ed58545d9fe022100b00dafa549d0f03547878338c7b15e7502888f6d45db387e5ae6\
        b5d46899cef0
        """
    static let invalid = """
        308201f73082019da0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13096c69627032702e696f310a\
        300806035504051301313020170d3735303130313133303030305a180f34303936303130313133303030305a302031123010060355040a\
        13096c69627032702e696f310a300806035504051301313059301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c\
        831ca85e27c73c263ba132721bb9d7a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651691606d8173e55bd37\
        e381569ea381c23081bf3081bc060a2b0601040183a25a01010481ad3081aa045f0803125b3059301306072a8648ce3d020106082a8648\
        ce3d03010703420004bf30511f909414ebdd3242178fd290f093a551cf75c973155de0bb5a96fedf6cb5d52da7563e794b512f66e60c7f\
        55ba8a3acf3dd72a801980d205e8a1ad29f204473045022100bb6e03577b7cc7a3cd1558df0da2b117dfdcc0399bc2504ebe7de6f65cad\
        e72802206de96e2a5be9b6202adba24ee0362e490641ac45c240db71fe955f2c5cf8df6e300a06082a8648ce3d04030203480030450221\
        00e847f267f43717358f850355bdcabbefb2cfbf8a3c043b203a14788a092fe8db022027c1d04a2d41fd6b57a7e8b3989e470325de4406\
        e52e084e34a3fd56eef0d0df
        """
}
