import NIOCore
import NIOEmbedded
import NIOSSL
import PeerIdentity
import SwiftASN1
import TestSupport
import Testing

@testable import Libp2p

@Suite("TLS: the handshake", .timeLimit(.minutes(1)))
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

    @Test("A certificate that has expired is refused, and one that is not valid yet")
    func dates() throws {
        let certificate = try HandmadeCertificate(identity: two)
        try expectRefusal(of: [certificate], "has expired", now: 1_800_000_000)
        try expectRefusal(of: [certificate], "not valid yet", now: 1_600_000_000)
    }

    @Test("A certificate with the extension twice is refused")
    func twoExtensions() throws {
        var certificate = try HandmadeCertificate(identity: two)
        certificate.extensions.append(certificate.extensions[0])
        // BoringSSL may see it first.
        try expectRefusal(of: [certificate], "")
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
            for flight in 0..<3 {
                let (from, to) = flight == 1 ? (pair.server, pair.client) : (pair.client, pair.server)
                var bytes = try from.sent()
                if flight == changedFlight, !bytes.isEmpty {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] ^=
                        1 << UInt8.random(in: 0..<8, using: &random)
                }
                try to.receive(bytes)
            }
            try pair.exchange()
            // Whoever completes has the right peer; a client may have completed before its flight was changed.
            let completions = (pair.client.recorder.completed, pair.server.recorder.completed)
            #expect(completions.1.isEmpty, "seed \(seed)")
            #expect(completions.0.isEmpty || completions.0 == completed(two, .yamux), "seed \(seed)")
        }
    }
}

@Suite("TLS: an established connection", .timeLimit(.minutes(1)))
struct TLSSessionTests {
    @Test("Bytes go both ways, and a promise is kept when its bytes are written")
    func bothWays() throws {
        let pair = try TLSPair.established()
        let promise = pair.client.channel.eventLoop.makePromise(of: Void.self)
        pair.client.channel.write(ByteBuffer(string: "there"), promise: promise)
        #expect(try pair.client.sent().isEmpty)
        pair.client.channel.flush()
        try promise.futureResult.wait()
        try pair.exchange()
        pair.server.channel.writeAndFlush(ByteBuffer(string: "and back"), promise: nil)
        try pair.exchange()
        #expect(pair.server.recorder.bytes == Array("there".utf8))
        #expect(pair.client.recorder.bytes == Array("and back".utf8))
    }

    @Test("Large writes fill their records, and leave in pieces")
    func records() throws {
        let pair = try TLSPair.established()
        var random = SplitMix64(seed: 1)
        let bytes = random.bytes(1 << 20)
        pair.client.channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
        let pieces = try pair.client.sentPieces()
        let lengths = TLSEnd.recordLengths(pieces.flatMap { [UInt8]($0.readableBytesView) })
        #expect(lengths == [Int](repeating: 16_384 + 17, count: 64))
        for piece in pieces { try pair.server.receive([UInt8](piece.readableBytesView)) }
        #expect(pair.server.recorder.bytes == bytes)
    }

    @Test("Many writes without a flush leave in pieces of a bounded size, and are received in such")
    func flushes() throws {
        var limits = TLSLimits()
        limits.pieceBytes = 64 << 10
        let pair = try TLSPair.established(limits: limits)
        var random = SplitMix64(seed: 2)
        let bytes = random.bytes(1 << 20)
        for start in stride(from: 0, to: bytes.count, by: 4096) {
            pair.client.channel.write(ByteBuffer(bytes: bytes[start..<start + 4096]), promise: nil)
        }
        let pieces = try pair.client.sentPieces()
        #expect(pieces.count == 16)
        try pair.server.receive(pieces.flatMap { [UInt8]($0.readableBytesView) })
        #expect(pair.server.recorder.bytes == bytes)
        #expect(pair.server.recorder.pieces.allSatisfy { $0.readableBytes <= 80 << 10 })
    }

    @Test("An end that the peer announces is clean; one that it does not may be a cut")
    func truncation() throws {
        let pair = try TLSPair.established()
        pair.client.channel.writeAndFlush(ByteBuffer(string: "all"), promise: nil)
        pair.client.channel.close(promise: nil)
        try pair.exchange()
        pair.client.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(!pair.client.channel.isActive && pair.client.recorder.errors.isEmpty)
        #expect(pair.server.recorder.bytes == Array("all".utf8))
        #expect(!pair.server.channel.isActive && pair.server.recorder.errors.isEmpty)

        let cut = try TLSPair.established()
        cut.client.channel.writeAndFlush(ByteBuffer(string: "all"), promise: nil)
        try cut.exchange()
        cut.server.channel.pipeline.fireChannelInactive()
        #expect(cut.server.recorder.errors.map(\.code) == [.connectionClosed])
        #expect(cut.server.recorder.isInactive)
    }

    @Test("Nobody waits for the other side's farewell")
    func closing() throws {
        let pair = try TLSPair.established()
        let closed = pair.client.channel.close()
        pair.client.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        try closed.wait()
        #expect(!pair.client.channel.isActive && pair.client.recorder.errors.isEmpty)
        // What comes after is dropped.
        pair.server.channel.writeAndFlush(ByteBuffer(string: "late"), promise: nil)
        try pair.client.receive(pair.server.sent())
        #expect(pair.client.recorder.bytes.isEmpty && pair.client.recorder.errors.isEmpty)
    }

    @Test("Writes that wait when the connection ends fail")
    func waitingWrites() throws {
        let pair = try TLSPair.established()
        let promise = pair.client.channel.eventLoop.makePromise(of: Void.self)
        pair.client.channel.write(ByteBuffer(string: "unflushed"), promise: promise)
        pair.client.channel.close(promise: nil)
        pair.client.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(throws: (any Error).self) { try promise.futureResult.wait() }
        #expect(throws: (any Error).self) { try pair.client.channel.writeAndFlush(ByteBuffer(string: "x")).wait() }
    }

    @Test("No byte may change, and nothing after is read")
    func changedBytes() throws {
        for index in stride(from: 0, to: 25, by: 1) {
            let pair = try TLSPair.established()
            func sealed(_ text: String) throws -> [UInt8] {
                pair.client.channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
                return try pair.client.sent()
            }
            let good = try sealed("good")
            var changed = try sealed("bad")
            // What makes a record longer makes it wait for bytes that never come.
            changed[index % changed.count] ^= 0x20
            let after = try sealed("after")
            // What is opened in one read with a record that does not open may be lost with it.
            try pair.server.receive(good)
            try pair.server.receive(changed + after)
            try pair.server.receive(after)
            #expect(pair.server.recorder.bytes == Array("good".utf8), "byte \(index)")
            if !pair.server.channel.isActive {
                #expect(pair.server.recorder.errors.map(\.code) == [.protocolViolation], "byte \(index)")
            }
        }
    }

    @Test("Garbage ends it")
    func garbage() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        for _ in 0..<30 {
            let end = try TLSPair.established().server
            try end.receive(random.bytes(Int.random(in: 0...2000, using: &random)))
            #expect(end.recorder.bytes.isEmpty, "seed \(seed)")
            #expect(end.channel.isActive == end.recorder.errors.isEmpty, "seed \(seed)")
        }
    }
}
