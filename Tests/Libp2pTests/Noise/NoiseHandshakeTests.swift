import PeerIdentity
import TestSupport
import Testing

@testable import Libp2p

@Suite struct NoiseHandshakeTests {
    private func handshake(
        _ role: NoiseRole, expecting peer: PeerID? = nil, muxers: [ProtocolID] = []
    ) throws -> NoiseHandshake {
        let number: UInt8 = role == .initiator ? 1 : 2
        return NoiseHandshake(
            role: role, identity: try NoiseTesting.identity(number), keys: try NoiseTesting.keys(number),
            expectedPeer: peer, muxers: muxers)
    }

    /// Runs a handshake to its end; `change` may alter each message on its way.
    private func run(
        _ initiator: NoiseHandshake, _ responder: NoiseHandshake,
        change: (_ number: Int, _ message: [UInt8]) -> [UInt8] = { $1 }
    ) throws -> (initiator: NoiseHandshake.Session, responder: NoiseHandshake.Session) {
        var initiator = initiator
        var responder = responder
        #expect(try responder.start() == nil)
        let first = try #require(try initiator.start())
        guard case .send(let second) = try responder.receive(change(0, first)) else {
            throw Libp2pError(.internal, "the responder did not answer")
        }
        guard case .sendAndFinish(let third, let initiatorSession) = try initiator.receive(change(1, second)) else {
            throw Libp2pError(.internal, "the initiator did not finish")
        }
        guard case .finish(let responderSession) = try responder.receive(change(2, third)) else {
            throw Libp2pError(.internal, "the responder did not finish")
        }
        return (initiatorSession, responderSession)
    }

    @Test func bothSidesLearnWhoTheOtherIs() throws {
        let one = try NoiseTesting.identity(1)
        let two = try NoiseTesting.identity(2)
        var (initiator, responder) = try run(
            handshake(.initiator, expecting: two.peerID), handshake(.responder, expecting: one.peerID))
        #expect(initiator.peer == two.peerID && initiator.publicKey == two.publicKey)
        #expect(responder.peer == one.peerID && responder.publicKey == one.publicKey)
        #expect(initiator.muxer == nil && responder.muxer == nil)
        #expect(try responder.receive.open(initiator.send.seal([1, 2])) == [1, 2])
        #expect(try initiator.receive.open(responder.send.seal([3])) == [3])
    }

    @Test func anotherPeerThanExpectedIsNamed() throws {
        let expected = try NoiseTesting.identity(9).peerID
        for role in [NoiseRole.initiator, .responder] {
            let error = expectNoiseError(.wrongPeer) {
                _ = try run(
                    handshake(.initiator, expecting: role == .initiator ? expected : nil),
                    handshake(.responder, expecting: role == .responder ? expected : nil))
            }
            let actual = try NoiseTesting.identity(role == .initiator ? 2 : 1).peerID
            #expect(error?.message.contains(expected.description) == true)
            #expect(error?.message.contains(actual.description) == true)
        }
    }

    struct Muxers: Sendable {
        let initiator: [ProtocolID]
        let responder: [ProtocolID]
        let chosen: ProtocolID?
    }

    @Test(arguments: [
        Muxers(initiator: ["/yamux/1.0.0"], responder: ["/yamux/1.0.0"], chosen: "/yamux/1.0.0"),
        // The initiator's order decides.
        Muxers(
            initiator: ["/yamux/1.0.0", "/mplex/6.7.0"], responder: ["/mplex/6.7.0", "/yamux/1.0.0"],
            chosen: "/yamux/1.0.0"),
        Muxers(
            initiator: ["/other", "/mplex/6.7.0", "/yamux/1.0.0"], responder: ["/yamux/1.0.0", "/mplex/6.7.0"],
            chosen: "/mplex/6.7.0"),
        // Without an offer from both it is left to multistream-select.
        Muxers(initiator: ["/yamux/1.0.0"], responder: [], chosen: nil),
        Muxers(initiator: [], responder: ["/yamux/1.0.0"], chosen: nil),
        Muxers(initiator: [], responder: [], chosen: nil),
    ])
    func theMuxerIsTheFirstOfTheInitiatorThatBothHave(muxers: Muxers) throws {
        let (initiator, responder) = try run(
            handshake(.initiator, muxers: muxers.initiator), handshake(.responder, muxers: muxers.responder))
        #expect(initiator.muxer == muxers.chosen)
        #expect(responder.muxer == muxers.chosen)
    }

    @Test func offersWithoutACommonMuxerFail() throws {
        let error = expectNoiseError(.protocolNotSupported) {
            _ = try run(
                handshake(.initiator, muxers: ["/mplex/6.7.0"]), handshake(.responder, muxers: ["/yamux/1.0.0"]))
        }
        #expect(error?.message.contains("/mplex/6.7.0") == true && error?.message.contains("/yamux/1.0.0") == true)

        // The responder finds out too, from an initiator that did not look.
        var responder = try handshake(.responder, muxers: ["/yamux/1.0.0"])
        var noise = NoiseXX(role: .initiator, keys: try NoiseTesting.keys(1))
        guard case .send(let second) = try responder.receive(noise.write(payload: [])) else {
            Issue.record("no answer")
            return
        }
        _ = try noise.read(second)
        let third = try noise.write(
            payload: NoiseTesting.payload(
                identity: NoiseTesting.identity(1), staticKey: NoiseTesting.keys(1).staticKey.publicKey,
                muxers: ["/mplex/6.7.0"]))
        expectNoiseError(.protocolNotSupported) { _ = try responder.receive(third) }
    }

    /// What the responder of ours says to a third message with this payload, from an initiator with the static key 1.
    private func respond(to payload: [UInt8], muxers: [ProtocolID] = []) throws -> NoiseHandshake.Session {
        var responder = try handshake(.responder, muxers: muxers)
        var noise = NoiseXX(role: .initiator, keys: try NoiseTesting.keys(1))
        guard case .send(let second) = try responder.receive(noise.write(payload: [])) else {
            throw Libp2pError(.internal, "no answer")
        }
        _ = try noise.read(second)
        guard case .finish(let session) = try responder.receive(noise.write(payload: payload)) else {
            throw Libp2pError(.internal, "not finished")
        }
        return session
    }

    private var staticKey: [UInt8] {
        get throws { try NoiseTesting.keys(1).staticKey.publicKey }
    }

    @Test func thePayloadMustProveItsIdentity() throws {
        let one = try NoiseTesting.identity(1)
        let good = try NoiseTesting.payload(identity: one, staticKey: staticKey)
        #expect(try respond(to: good).peer == one.peerID)

        // A signature of another static key: a payload somebody copied.
        let copied = try NoiseTesting.payload(identity: one, staticKey: NoiseTesting.keys(3).staticKey.publicKey)
        let error = expectNoiseError(.handshakeFailed) { _ = try respond(to: copied) }
        #expect(error?.message.contains(one.peerID.description) == true)

        // A signature by another identity, one of other bytes, and none.
        let key = NoiseTesting.field(1, one.publicKey.protobufBytes)
        let statement = try Array("noise-libp2p-static-key:".utf8) + staticKey
        let other = try NoiseTesting.field(2, NoiseTesting.identity(3).sign(statement))
        let bare = try NoiseTesting.field(2, one.sign(staticKey))
        for payload in [key + other, key + bare, key + NoiseTesting.field(2, []), key, other, []] {
            expectNoiseError(.handshakeFailed) { _ = try respond(to: payload) }
        }
        // A key that is none, and no protobuf at all.
        expectNoiseError(.handshakeFailed) { _ = try respond(to: NoiseTesting.field(1, [8, 1]) + other) }
        expectNoiseError(.handshakeFailed) { _ = try respond(to: [0xff, 0xff, 0xff]) }
    }

    @Test func aSecp256k1IdentityNamesTheTrait() throws {
        let key = NoiseTesting.field(
            1, NoiseTesting.hex("08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"))
        let error = expectNoiseError(.handshakeFailed) {
            _ = try respond(to: key + NoiseTesting.field(2, [UInt8](repeating: 1, count: 70)))
        }
        #if !Secp256k1
            #expect(error?.message.contains("Secp256k1") == true)
        #else
            #expect(error != nil)
        #endif
    }

    @Test func extensionsAreUnderstoodOrIgnored() throws {
        let one = try NoiseTesting.identity(1)
        let payload = try NoiseTesting.payload(
            identity: one, staticKey: staticKey, muxers: ["/a", "/yamux/1.0.0"],
            certificateHashes: [[0x12, 0x20], [UInt8](repeating: 7, count: 34)])
        #expect(try respond(to: payload, muxers: ["/yamux/1.0.0"]).muxer == "/yamux/1.0.0")
        // A field of an extension to come, and a muxer that is no UTF-8.
        let unknown =
            try NoiseTesting.payload(identity: one, staticKey: staticKey)
            + NoiseTesting.field(
                4,
                NoiseTesting.field(9, [1, 2]) + NoiseTesting.field(2, [0xff, 0xfe])
                    + NoiseTesting.field(2, Array("/yamux/1.0.0".utf8)))
        #expect(try respond(to: unknown, muxers: ["/yamux/1.0.0"]).muxer == "/yamux/1.0.0")
        // Extensions that hold nothing are no offer.
        let empty = try NoiseTesting.payload(identity: one, staticKey: staticKey) + NoiseTesting.field(4, [])
        #expect(try respond(to: empty, muxers: ["/yamux/1.0.0"]).muxer == nil)
    }

    @Test func extensionsAreBounded() throws {
        let one = try NoiseTesting.identity(1)
        let limits = NoiseLimits()
        func payload(muxers: Int, hashes: Int) throws -> [UInt8] {
            try NoiseTesting.payload(
                identity: one, staticKey: staticKey,
                muxers: (0..<muxers).map { $0 == muxers - 1 ? "/yamux/1.0.0" : "/\($0)" },
                certificateHashes: [[UInt8]](repeating: [1], count: hashes))
        }
        let atLimit = try payload(muxers: limits.muxers, hashes: limits.certificateHashes)
        #expect(try respond(to: atLimit, muxers: ["/yamux/1.0.0"]).muxer == "/yamux/1.0.0")
        for (muxers, hashes, limit) in [
            (limits.muxers + 1, 0, NoiseLimit.muxers), (0, limits.certificateHashes + 1, .certificateHashes),
        ] {
            let error = expectNoiseError(.handshakeFailed) {
                _ = try respond(to: payload(muxers: muxers, hashes: hashes))
            }
            #expect(error?.limit == .noise(limit))
        }
    }

    @Test func messagesAreBounded() throws {
        let limit = NoiseLimits().handshakeMessageBytes
        for excess in [0, 1] {
            var responder = try handshake(.responder)
            var noise = NoiseXX(role: .initiator, keys: try NoiseTesting.keys(1))
            let message = try noise.write(payload: [UInt8](repeating: 0, count: limit - 32 + excess))
            if excess == 0 {
                guard case .send = try responder.receive(message) else {
                    Issue.record("no answer")
                    return
                }
            } else {
                let error = expectNoiseError(.limitReached) { _ = try responder.receive(message) }
                #expect(error?.limit == .noise(.handshakeMessageBytes))
            }
        }
    }

    @Test func noByteOfAMessageMayChange() throws {
        for number in 0..<3 {
            var length = 0
            _ = try run(handshake(.initiator), handshake(.responder)) { index, message in
                if index == number { length = message.count }
                return message
            }
            for index in 0..<length {
                #expect(throws: Libp2pError.self, "message \(number), byte \(index)") {
                    try run(handshake(.initiator), handshake(.responder)) { current, message in
                        guard current == number else { return message }
                        var changed = message
                        changed[index] ^= 1 << UInt8(index % 7)
                        return changed
                    }
                }
            }
        }
    }

    @Test func noMessageMayBeCutOrLengthened() throws {
        for number in 1..<3 {
            for excess in [-1000, -20, -1, 1] {
                #expect(throws: Libp2pError.self, "message \(number), \(excess)") {
                    try run(handshake(.initiator), handshake(.responder)) { current, message in
                        guard current == number else { return message }
                        return excess > 0 ? message + [0] : Array(message.dropLast(-excess))
                    }
                }
            }
        }
        for length in 0..<32 {
            var responder = try handshake(.responder)
            expectNoiseError(.handshakeFailed) { _ = try responder.receive([UInt8](repeating: 9, count: length)) }
        }
    }

    @Test func nothingFollowsAFailureOrTheEnd() throws {
        var responder = try handshake(.responder)
        expectNoiseError(.handshakeFailed) { _ = try responder.receive([]) }
        expectNoiseError(.internal) { _ = try responder.receive([UInt8](repeating: 9, count: 32)) }
        expectNoiseError(.internal) { _ = try responder.start() }

        var initiator = try handshake(.initiator)
        expectNoiseError(.internal) { _ = try initiator.receive([UInt8](repeating: 9, count: 96)) }
        expectNoiseError(.internal) { _ = try initiator.start() }
    }

    @Test func garbageIsAnError() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        for _ in 0..<150 {
            let garbage = random.bytes(Int.random(in: 0...300, using: &random))
            var initiator = try handshake(.initiator)
            _ = try initiator.start()
            #expect(throws: Libp2pError.self, "seed \(seed)") { try initiator.receive(garbage) }
            // Any 32 bytes are a first message; the third is where garbage ends.
            var responder = try handshake(.responder)
            if case .send? = try? responder.receive(garbage) {
                #expect(throws: Libp2pError.self, "seed \(seed)") { try responder.receive(garbage) }
            }
        }
    }
}
