import Crypto
import CryptoExtras
import NIOCore
import NIOEmbedded
import NIOSSL
import PeerIdentity
import SwiftASN1
import TestSupport
import Testing

@testable import Libp2p

@Suite("TLS: the handshake", .timeLimit(.minutes(5)))
struct TLSHandshakeTests {
    private let one: KeyPair
    private let two: KeyPair

    init() throws {
        one = try TLSTesting.identity(1)
        two = try TLSTesting.identity(2)
    }

    private func completed(_ identity: KeyPair, _ muxer: ProtocolID?) -> [HandshakeCompleted] {
        [HandshakeCompleted(peer: identity.peerID, publicKey: identity.publicKey, muxer: muxer)]
    }

    @Test("Tells both sides of each other, and of the muxer, before any bytes")
    func success() throws {
        let pair = TLSPair(
            try TLSEnd(.outbound, identity: 1, expecting: two.peerID), try TLSEnd(.inbound, identity: 2))
        let early = pair.server.channel.eventLoop.makePromise(of: Void.self)
        try pair.server.activate()
        pair.server.channel.write(ByteBuffer(string: "early "), promise: early)
        pair.server.channel.writeAndFlush(ByteBuffer(string: "words"), promise: nil)
        try pair.client.activate()
        try pair.exchange()
        #expect(pair.client.recorder.completed == completed(two, .yamux))
        #expect(pair.server.recorder.completed == completed(one, .yamux))
        #expect(pair.client.recorder.bytes == Array("early words".utf8))
        #expect(pair.client.recorder.log.first == "completed")
        try early.futureResult.wait()
    }

    @Test("Without a muxer offered by one side it is negotiated later", arguments: [true, false])
    func withoutMuxer(clientOffers: Bool) throws {
        let pair = TLSPair(
            try TLSEnd(.outbound, identity: 1, muxers: clientOffers ? [.yamux] : []),
            try TLSEnd(.inbound, identity: 2, muxers: clientOffers ? [] : [.yamux]))
        try pair.shakeHands()
        #expect(pair.client.recorder.completed == completed(two, nil))
        #expect(pair.server.recorder.completed == completed(one, nil))
    }

    @Test("A peer that is not ours, in both roles")
    func foreign() throws {
        let certificate = try HandmadeCertificate(identity: two)
        let asServer = TLSPair(
            try TLSEnd(.outbound, identity: 1, expecting: two.peerID),
            try .foreign(.inbound, certificates: [certificate]))
        try asServer.shakeHands()
        #expect(asServer.client.recorder.completed == completed(two, nil))
        let asClient = TLSPair(
            try .foreign(.outbound, certificates: [certificate]), try TLSEnd(.inbound, identity: 1))
        try asClient.shakeHands()
        #expect(asClient.server.recorder.completed == completed(two, nil))
    }

    @Test("Keys of every kind that others sign their handshakes with, in both roles")
    func kindsOfKeys() throws {
        for key in [
            CertificateKey.p384(P384.Signing.PrivateKey()), .ed25519(Curve25519.Signing.PrivateKey()),
            .rsa(try _RSA.Signing.PrivateKey(keySize: .bits2048)),
        ] {
            let certificate = try HandmadeCertificate(identity: two, key: key)
            for direction in [Connection.Direction.inbound, .outbound] {
                // BoringSSL signs with Ed25519 only when told to.
                let peer = try TLSEnd.foreign(direction, certificates: [certificate]) {
                    if case .ed25519 = key { $0.signingSignatureAlgorithms = [.ed25519] }
                }
                let ours = try TLSEnd(direction == .inbound ? .outbound : .inbound, identity: 1)
                try (direction == .inbound ? TLSPair(ours, peer) : TLSPair(peer, ours)).shakeHands()
                #expect(ours.recorder.completed == completed(two, nil), "\(key.algorithm) \(direction)")
            }
        }
    }

    @Test(
        "AES in Galois/counter mode is agreed on where the processor knows AES: it costs a fifth of the other one",
        .enabled(if: Processor.knowsAES))
    func cipher() throws {
        let pair = TLSPair(try TLSEnd(.outbound, identity: 1), try TLSEnd(.inbound, identity: 2))
        try pair.server.activate()
        try pair.client.activate()
        try pair.server.receive(pair.client.sent())
        // TLS_AES_128_GCM_SHA256
        #expect(try TLSEnd.cipherSuite(pair.server.sent()) == 0x1301)
    }

    @Test(
        "A handshake of as many bytes as are allowed, and one of a byte more",
        arguments: [
            Connection.Direction.inbound, .outbound,
        ])
    func handshakeLength(direction: Connection.Direction) throws {
        // Signatures of Ed25519 always have the same length.
        let key = CertificateKey.ed25519(Curve25519.Signing.PrivateKey())
        let certificate = try HandmadeCertificate(identity: two, key: key)
        /// Our end after the handshake, and the bytes that the peer sent for it.
        func shakeHands(allowing handshakeBytes: Int?) throws -> (TLSEnd, Int) {
            var limits = TLSLimits()
            if let handshakeBytes { limits.handshakeBytes = handshakeBytes }
            let ours = try TLSEnd(direction, identity: 1, limits: limits)
            let peer = try TLSEnd.foreign(direction == .inbound ? .outbound : .inbound, certificates: [certificate]) {
                $0.signingSignatureAlgorithms = [.ed25519]
            }
            try ours.activate()
            try peer.activate()
            var count = 0
            for _ in 0..<3 {
                let answer = try ours.sent()
                if !answer.isEmpty { try peer.receive(answer) }
                guard ours.recorder.completed.isEmpty else { break }
                let bytes = try peer.sent()
                count += bytes.count
                try ours.receive(bytes)
            }
            return (ours, count)
        }
        let (_, length) = try shakeHands(allowing: nil)
        let (allowed, _) = try shakeHands(allowing: length)
        #expect(allowed.recorder.errors.isEmpty)
        #expect(allowed.recorder.completed == completed(two, nil))
        let (refused, _) = try shakeHands(allowing: length - 1)
        #expect(refused.recorder.errors.map(\.code) == [.limitReached])
        #expect(refused.recorder.errors.first?.limit == .tls(.handshakeBytes))
        #expect(refused.recorder.completed.isEmpty && !refused.channel.isActive)
    }

    @Test("What follows the handshake is no part of it, though it comes in the same read")
    func dataBehindHandshake() throws {
        var limits = TLSLimits()
        limits.handshakeBytes = 4096
        let client = try TLSEnd(.outbound, identity: 1)
        let server = try TLSEnd(.inbound, identity: 2, limits: limits)
        try server.activate()
        try client.activate()
        try server.receive(client.sent())
        try client.receive(server.sent())
        var random = SplitMix64(seed: 3)
        let bytes = random.bytes(300_000)
        client.channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
        try server.receive(client.sent())
        #expect(server.recorder.errors.isEmpty)
        // Not #expect of the bytes themselves: it would take its time to show how they differ.
        #expect(server.recorder.pieces.count > 1)
        let areSame = server.recorder.bytes == bytes
        #expect(areSame)
    }

    @Test("A handshake message that says it is too long is not waited for")
    func messageTooLong() throws {
        let ours = try TLSEnd(.inbound, identity: 1)
        try ours.activate()
        // A record with the head of a ClientHello of 16,777,215 bytes.
        try ours.receive([22, 3, 1, 0, 8, 1, 0xFF, 0xFF, 0xFF, 3, 3, 0, 0])
        #expect(ours.recorder.errors.map(\.code) == [.handshakeFailed])
        #expect(!ours.channel.isActive)
    }

    @Test("Certificates past the limit of the handshake are refused before they are whole")
    func certificatesTooLong() throws {
        var certificate = try HandmadeCertificate(identity: two)
        certificate.extensions.append(
            .init(identifier: [1, 2, 3], value: [UInt8](repeating: 0, count: TLSLimits().handshakeBytes)))
        try expectRefusal(of: [certificate], "more than 32768 bytes", .limitReached)
    }

    @Test("Survives every way of cutting", arguments: [1, 2, 3, 7, 31, 100, 1000])
    func cutting(pieceLength: Int) throws {
        let pair = TLSPair(try TLSEnd(.outbound, identity: 1), try TLSEnd(.inbound, identity: 2))
        try pair.shakeHands(pieceLength: pieceLength)
        pair.client.channel.writeAndFlush(ByteBuffer(string: "hello"), promise: nil)
        try pair.exchange(pieceLength: pieceLength)
        #expect(pair.server.recorder.bytes == Array("hello".utf8))
        #expect(pair.server.recorder.log == ["completed"] + (pair.server.recorder.pieces.map { _ in "bytes" }))
    }

    @Test("Another peer than expected ends it, at both ends")
    func wrongPeer() throws {
        let expected = try TLSTesting.identity(9).peerID
        let pair = TLSPair(try TLSEnd(.outbound, identity: 1, expecting: expected), try TLSEnd(.inbound, identity: 2))
        try pair.shakeHands()
        #expect(pair.client.recorder.errors.map(\.code) == [.wrongPeer])
        #expect(pair.client.recorder.errors.first?.message.contains("\(expected)") == true)
        #expect(pair.client.recorder.completed.isEmpty && !pair.client.channel.isActive)
        // The other side never learned who we are.
        #expect(pair.server.recorder.completed.isEmpty)
        #expect(pair.server.recorder.errors.map(\.code) == [.handshakeFailed])
        #expect(!pair.server.channel.isActive)
    }

    /// Expects that our end refuses a certificate that a peer shows, as server and as client.
    private func expectRefusal(
        of certificates: [HandmadeCertificate], _ words: String, _ code: Libp2pError.Code = .handshakeFailed,
        now: Int64 = TLSTesting.now, at location: SourceLocation = #_sourceLocation
    ) throws {
        for direction in [Connection.Direction.inbound, .outbound] {
            let ours = try TLSEnd(direction == .inbound ? .outbound : .inbound, identity: 1, now: now)
            let peer = try TLSEnd.foreign(direction, certificates: certificates)
            let pair = direction == .inbound ? TLSPair(ours, peer) : TLSPair(peer, ours)
            try pair.shakeHands()
            #expect(ours.recorder.errors.map(\.code) == [code], sourceLocation: location)
            let message = ours.recorder.errors.first?.message ?? ""
            #expect(message.contains(words), "\(message)", sourceLocation: location)
            #expect(ours.recorder.completed.isEmpty && !ours.channel.isActive, sourceLocation: location)
        }
    }

    @Test("A certificate of the wrong key is refused")
    func wrongKey() throws {
        var certificate = try HandmadeCertificate(identity: two)
        certificate.extensions[0].value = try certificate.signedKey(of: two, keyInfo: HandmadeCertificate().keyInfo)
        try expectRefusal(of: [certificate], "does not prove it")
    }

    @Test("A certificate with a wrong signature of its own is refused")
    func wrongSignature() throws {
        var certificate = try HandmadeCertificate(identity: two)
        certificate.signer = HandmadeCertificate().key
        try expectRefusal(of: [certificate], "not signed by its own key")
    }

    @Test("A certificate that an identity vouches for with a wrong signature is refused")
    func wrongIdentitySignature() throws {
        var certificate = try HandmadeCertificate(identity: two)
        certificate.extensions[0].value = try HandmadeCertificate.signedKey(
            publicKey: two.publicKey.protobufBytes,
            signature: one.sign(Array("libp2p-tls-handshake:".utf8) + certificate.keyInfo))
        try expectRefusal(of: [certificate], "does not prove it")
    }

    @Test("A certificate with an unknown extension that is critical is refused")
    func unknownCritical() throws {
        var certificate = try HandmadeCertificate(identity: two)
        certificate.extensions.append(.init(identifier: [1, 2, 3], isCritical: true, value: []))
        try expectRefusal(of: [certificate], "critical extension that is not known here: 1.2.3")
    }

    @Test("A certificate that has expired is refused")
    func expired() throws {
        try expectRefusal(of: [HandmadeCertificate(identity: two)], "has expired", now: 1_800_000_000)
    }

    @Test("A certificate that is not valid yet is refused")
    func notYetValid() throws {
        try expectRefusal(of: [HandmadeCertificate(identity: two)], "not valid yet", now: 1_600_000_000)
    }

    @Test("A certificate with the extension twice is refused")
    func twoExtensions() throws {
        var certificate = try HandmadeCertificate(identity: two)
        certificate.extensions.append(certificate.extensions[0])
        try expectRefusal(of: [certificate], "duplicate extension")
    }

    @Test("A certificate without the extension is refused")
    func noExtension() throws {
        try expectRefusal(of: [HandmadeCertificate()], "lacks the extension")
    }

    @Test("Two certificates are refused, though the first is good")
    func twoCertificates() throws {
        let certificate = try HandmadeCertificate(identity: two)
        try expectRefusal(of: [certificate, HandmadeCertificate(identity: two)], "sent 2 certificates")
    }

    @Test("A certificate past the limit of its length is refused, and is a hit of the limit")
    func tooLong() throws {
        var certificate = try HandmadeCertificate(identity: two)
        certificate.extensions.append(
            .init(identifier: [1, 2, 3], value: [UInt8](repeating: 0, count: TLSLimits().certificateBytes)))
        try expectRefusal(of: [certificate], "at most 8192", .limitReached)
    }

    @Test("A client without a certificate is refused")
    func anonymousClient() throws {
        let pair = TLSPair(try .foreign(.outbound, certificates: []), try TLSEnd(.inbound, identity: 1))
        try pair.shakeHands()
        #expect(pair.server.recorder.errors.map(\.code) == [.handshakeFailed])
        #expect(pair.server.recorder.completed.isEmpty && !pair.server.channel.isActive)
    }

    @Test("TLS 1.2 is not spoken", arguments: [Connection.Direction.inbound, .outbound])
    func oldVersion(direction: Connection.Direction) throws {
        let peer = try TLSEnd.foreign(direction, certificates: [HandmadeCertificate(identity: two)]) {
            $0.maximumTLSVersion = .tlsv12
        }
        let ours = try TLSEnd(direction == .inbound ? .outbound : .inbound, identity: 1)
        try (direction == .inbound ? TLSPair(ours, peer) : TLSPair(peer, ours)).shakeHands()
        #expect(ours.recorder.errors.map(\.code) == [.handshakeFailed])
        #expect(ours.recorder.completed.isEmpty && !ours.channel.isActive)
    }

    @Test(
        "A peer that speaks TLS for something else is refused", arguments: [[], ["h2"], ["/mplex/6.7.0", "http/1.1"]])
    func otherApplication(names: [String]) throws {
        for direction in [Connection.Direction.inbound, .outbound] {
            let peer = try TLSEnd.foreign(direction, certificates: [HandmadeCertificate(identity: two)]) {
                $0.applicationProtocols = names
            }
            let ours = try TLSEnd(direction == .inbound ? .outbound : .inbound, identity: 1)
            try (direction == .inbound ? TLSPair(ours, peer) : TLSPair(peer, ours)).shakeHands()
            #expect(ours.recorder.errors.map(\.code) == [.protocolNotSupported])
            #expect(ours.recorder.completed.isEmpty)
            ours.channel.embeddedEventLoop.advanceTime(by: .seconds(1))
            #expect(!ours.channel.isActive)
        }
    }

    @Test("The first choice of the client that both speak is taken")
    func clientsChoice() throws {
        let peer = try TLSEnd.foreign(.outbound, certificates: [HandmadeCertificate(identity: two)]) {
            $0.applicationProtocols = ["/mplex/6.7.0", "/yamux/1.0.0", "libp2p"]
        }
        let ours = try TLSEnd(.inbound, identity: 1)
        try TLSPair(peer, ours).shakeHands()
        #expect(ours.recorder.completed == completed(two, .yamux))
    }

    @Test("A client sends no server name, and never falls back")
    func clientHello() throws {
        let names = Recorder<String?>()
        let peer = try TLSEnd.foreign(.inbound, certificates: [HandmadeCertificate(identity: two)]) {
            $0.sslContextCallback = { values, promise in
                names.append(values.serverHostname)
                promise.succeed(.noChanges)
            }
        }
        let ours = try TLSEnd(.outbound, identity: 1)
        try TLSPair(ours, peer).shakeHands()
        #expect(names.elements == [nil])
        #expect(ours.recorder.completed == completed(two, nil))
    }

    @Test("A client learns with the first read that it was refused")
    func refusedClient() throws {
        let ours = try TLSEnd(.outbound, identity: 1)
        let peer = try TLSEnd(.inbound, identity: 2, now: -1_000_000_000)
        try TLSPair(ours, peer).shakeHands()
        #expect(peer.recorder.errors.map(\.code) == [.handshakeFailed] && peer.recorder.completed.isEmpty)
        #expect(ours.recorder.log == ["completed", "error", "inactive"])
        #expect(ours.recorder.errors.first?.message.contains("may have refused our identity") == true)
    }

    @Test("An end in the handshake is an error, and one from this side is none")
    func ends() throws {
        let client = try TLSEnd(.outbound, identity: 1)
        try client.activate()
        let promise = client.channel.eventLoop.makePromise(of: Void.self)
        client.channel.writeAndFlush(ByteBuffer(string: "never"), promise: promise)
        client.channel.pipeline.fireChannelInactive()
        #expect(client.recorder.errors.map(\.code) == [.handshakeFailed])
        #expect(client.recorder.errors.first?.message.contains("may have refused our identity") == true)
        #expect(throws: (any Error).self) { try promise.futureResult.wait() }

        let other = try TLSEnd(.outbound, identity: 1)
        try other.activate()
        let unsent = other.channel.eventLoop.makePromise(of: Void.self)
        other.channel.writeAndFlush(ByteBuffer(string: "never"), promise: unsent)
        try other.channel.close().wait()
        #expect(other.recorder.errors.isEmpty && other.recorder.isInactive)
        #expect(throws: (any Error).self) { try unsent.futureResult.wait() }
    }

    @Test("Closing while the event is handled is safe")
    func closingEarly() throws {
        let pair = TLSPair(try TLSEnd(.outbound, identity: 1), try TLSEnd(.inbound, identity: 2))
        pair.server.recorder.onCompleted = { $0.close(promise: nil) }
        try pair.server.activate()
        try pair.client.activate()
        try pair.server.receive(pair.client.sent())
        try pair.client.receive(pair.server.sent())
        pair.client.channel.writeAndFlush(ByteBuffer(string: "too late"), promise: nil)
        try pair.server.receive(pair.client.sent())
        pair.server.channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(pair.server.recorder.completed.count == 1)
        #expect(pair.server.recorder.bytes.isEmpty && pair.server.recorder.errors.isEmpty)
        #expect(!pair.server.channel.isActive)
    }

    @Test("Garbage ends it")
    func garbage() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        for _ in 0..<200 {
            let end = try TLSEnd(random.next() % 2 == 0 ? .inbound : .outbound, identity: 1)
            try end.activate()
            for _ in 0..<4 { try end.receive(random.bytes(Int.random(in: 0...200, using: &random))) }
            #expect(end.recorder.completed.isEmpty && end.recorder.errors.count <= 1, "seed \(seed)")
            #expect(end.channel.isActive == end.recorder.errors.isEmpty, "seed \(seed)")
        }
    }

    @Test("No byte of the handshake may change")
    func changedBytes() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        for _ in 0..<100 {
            let pair = TLSPair(try TLSEnd(.outbound, identity: 1), try TLSEnd(.inbound, identity: 2))
            try pair.server.activate()
            try pair.client.activate()
            let changedFlight = Int.random(in: 0..<3, using: &random)
            var changed = ""
            for flight in 0..<3 {
                let (from, to) = flight == 1 ? (pair.server, pair.client) : (pair.client, pair.server)
                var bytes = try from.sent()
                if flight == changedFlight, !bytes.isEmpty {
                    var index = Int.random(in: 0..<bytes.count, using: &random)
                    // Of the first record's version the second byte says nothing (RFC 8446, section 5.1).
                    if flight == 0, index == 2 { index = 0 }
                    changed = "flight \(flight), byte \(index)"
                    bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                }
                try to.receive(bytes)
            }
            try pair.exchange()
            // Whoever completes has the right peer; a client may have completed before its flight was changed.
            let completions = (pair.client.recorder.completed, pair.server.recorder.completed)
            #expect(completions.1.isEmpty, "seed \(seed), \(changed)")
            #expect(completions.0.isEmpty || completions.0 == completed(two, .yamux), "seed \(seed)")
        }
    }
}
