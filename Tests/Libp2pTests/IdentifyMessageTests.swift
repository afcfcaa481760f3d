import Multiformats
import NIOCore
import PeerIdentity
import Testing

@testable import Libp2p

@Suite("Identify: the message")
struct IdentifyMessageTests {
    private static func random(_ generator: inout SplitMix) -> IdentifyMessage {
        func maybe(_ longest: Int) -> [UInt8]? {
            Bool.random(using: &generator)
                ? generator.bytes(Int.random(in: 0...longest, using: &generator)) : nil
        }
        var message = IdentifyMessage()
        message.publicKey = maybe(300)
        message.observedAddress = maybe(40)
        message.protocolVersion = maybe(20)
        message.agentVersion = maybe(200)
        message.signedPeerRecord = maybe(3_000)
        message.listenAddresses = (0..<Int.random(in: 0...5, using: &generator)).map { _ in maybe(40) ?? [] }
        message.protocols = (0..<Int.random(in: 0...5, using: &generator)).map { _ in maybe(40) ?? [] }
        return message
    }

    private static func read(_ bytes: ByteBuffer, limits: SwarmLimits = .init()) throws(Libp2pError) -> IdentifyMessage
    {
        var reader = IdentifyReader(limits: limits)
        try reader.receive(bytes)
        return try reader.finish()
    }

    @Test("What is written is read again")
    func roundTrip() throws {
        var generator = SplitMix(seed: 1)
        for index in 0..<500 {
            let message = Self.random(&generator)
            #expect(try Self.read(message.framed()) == message, "message \(index) of seed 1")
        }
    }

    @Test("The bytes are those of the specification")
    func vector() throws {
        // protocolVersion = 5, agentVersion = 6, publicKey = 1, listenAddrs = 2, observedAddr = 4, protocols = 3
        var message = IdentifyMessage()
        message.publicKey = [1, 2]
        message.listenAddresses = [[3], [4]]
        message.protocols = [Array("/a".utf8)]
        message.observedAddress = [5]
        message.protocolVersion = Array("p".utf8)
        message.agentVersion = Array("g".utf8)
        message.signedPeerRecord = [9]
        let body: [UInt8] = [
            0x0A, 2, 1, 2, 0x12, 1, 3, 0x12, 1, 4, 0x1A, 2, 0x2F, 0x61, 0x22, 1, 5, 0x2A, 1, 0x70, 0x32, 1, 0x67, 0x42,
            1, 9,
        ]
        #expect(try message.encoded() == body)
        #expect(try Self.read(ByteBuffer(bytes: [UInt8(body.count)] + body)) == message)
    }

    @Test("Parts are one message; a later part adds to lists and replaces single fields")
    func parts() throws {
        var first = IdentifyMessage()
        first.agentVersion = [1]
        first.listenAddresses = [[1]]
        var second = IdentifyMessage()
        second.agentVersion = [2]
        second.listenAddresses = [[2]]
        second.signedPeerRecord = [3]
        var bytes = try first.framed()
        bytes.writeImmutableBuffer(try second.framed())
        let read = try Self.read(bytes)
        #expect(read.agentVersion == [2])
        #expect(read.listenAddresses == [[1], [2]])
        #expect(read.signedPeerRecord == [3])
    }

    @Test("A long message goes out in two parts")
    func longMessage() throws {
        var message = IdentifyMessage()
        message.protocols = [[UInt8](repeating: 0x61, count: 1_900)]
        message.signedPeerRecord = [UInt8](repeating: 7, count: 200)
        let bytes = try message.framed()
        var limits = SwarmLimits()
        limits.identifyParts = 1
        #expect(throws: Libp2pError.self) { try Self.read(bytes, limits: limits) }
        #expect(try Self.read(bytes) == message)
    }

    @Test("Every truncation is an error, not a message, and none traps")
    func truncations() throws {
        var generator = SplitMix(seed: 2)
        var message = Self.random(&generator)
        message.publicKey = [1, 2, 3]
        let bytes = try message.framed()
        let whole = Array(bytes.readableBytesView)
        for length in 0..<whole.count {
            // A cut between two parts leaves a message.
            let cut = ByteBuffer(bytes: whole.prefix(length))
            if let read = try? Self.read(cut) {
                #expect(read != message)
                #expect(whole.count > IdentifyMessage.largestSinglePart)
            }
        }
    }

    @Test("Random and damaged bytes never trap")
    func noise() throws {
        var generator = SplitMix(seed: 3)
        var readable = 0
        for _ in 0..<3_000 {
            var bytes = Array(try Self.random(&generator).framed().readableBytesView)
            for _ in 0..<Int.random(in: 0...4, using: &generator) {
                bytes[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(
                    in: .min ... .max, using: &generator)
            }
            if let message = try? Self.read(ByteBuffer(bytes: bytes)) {
                readable += 1
                var info = IdentifyInfo()
                try? info.update(with: message, from: KeyPair.generate().peerID)
            }
            _ = try? Self.read(ByteBuffer(bytes: generator.bytes(Int.random(in: 0...64, using: &generator))))
        }
        #expect(readable > 0)
    }

    @Test("Bytes and parts: at the limit and one past")
    func limits() throws {
        var limits = SwarmLimits()
        limits.identifyBytes = 100
        var reader = IdentifyReader(limits: limits)
        try reader.receive(ByteBuffer(repeating: 0, count: 60))
        try reader.receive(ByteBuffer(repeating: 0, count: 40))
        var error = #expect(throws: Libp2pError.self) { try reader.receive(ByteBuffer(repeating: 0, count: 1)) }
        #expect(error?.code == .limitReached)

        var message = IdentifyMessage()
        message.listenAddresses = [[1], [2]]
        message.protocols = [[1], [2], [3]]
        limits = SwarmLimits()
        limits.identifyAddresses = 2
        limits.identifyProtocols = 3
        #expect(try Self.read(message.framed(), limits: limits) == message)
        limits.identifyAddresses = 1
        error = #expect(throws: Libp2pError.self) { try Self.read(message.framed(), limits: limits) }
        #expect(error?.code == .limitReached)
        limits.identifyAddresses = 2
        limits.identifyProtocols = 2
        error = #expect(throws: Libp2pError.self) { try Self.read(message.framed(), limits: limits) }
        #expect(error?.code == .limitReached)

        limits = SwarmLimits()
        var part = IdentifyMessage()
        part.protocols = [[0x61]]
        var bytes = ByteBuffer()
        for _ in 0..<limits.identifyParts { bytes.writeImmutableBuffer(try part.framed()) }
        #expect(try Self.read(bytes, limits: limits).protocols.count == limits.identifyParts)
        bytes.writeImmutableBuffer(try part.framed())
        error = #expect(throws: Libp2pError.self) { try Self.read(bytes, limits: limits) }
        #expect(error?.code == .limitReached)
    }

    @Test("A stream without a message is an error")
    func empty() {
        #expect(throws: Libp2pError.self) { try Self.read(ByteBuffer()) }
    }
}

@Suite("Identify: what is believed")
struct IdentifyInfoTests {
    private let identity: KeyPair
    private let peer: PeerID

    init() throws {
        identity = try KeyPair.generate()
        peer = identity.peerID
    }

    private func signed(_ number: UInt64, _ addresses: [String], by signer: KeyPair? = nil) throws -> [UInt8] {
        try PeerRecord(peer: peer, number: number, addresses: addresses.map { try Multiaddr($0).bytes })
            .signed(with: signer ?? identity)
    }

    @Test("What is left out stays; what is said replaces")
    func partial() throws {
        var info = IdentifyInfo()
        var message = IdentifyMessage()
        message.publicKey = identity.publicKey.protobufBytes
        message.agentVersion = Array("a/1".utf8)
        message.protocols = [Array("/x".utf8)]
        message.listenAddresses = [try Multiaddr("/ip4/1.2.3.4/tcp/5").bytes]
        try info.update(with: message, from: peer)
        var change = IdentifyMessage()
        change.protocols = [Array("/y".utf8), Array("/z".utf8)]
        try info.update(with: change, from: peer)
        #expect(info.agentVersion == "a/1")
        #expect(info.publicKey == identity.publicKey)
        #expect(info.protocols == ["/y", "/z"])
        #expect(info.listenAddresses == [try Multiaddr("/ip4/1.2.3.4/tcp/5")])
    }

    @Test("Addresses that are none, of unknown kinds or of somebody else are skipped; the peer at the end is cut off")
    func garbageAddresses() throws {
        let other = try KeyPair.generate().peerID
        var info = IdentifyInfo()
        var message = IdentifyMessage()
        message.listenAddresses = [
            [0xFF, 0xFF, 1], [], [4, 1, 2], try Multiaddr("/ip4/1.2.3.4/tcp/5/p2p/\(peer)").bytes,
            try Multiaddr("/p2p/\(peer)").bytes, try Multiaddr("/ip4/6.7.8.9/tcp/5/p2p/\(other)").bytes,
        ]
        message.observedAddress = [1, 2, 3]
        try info.update(with: message, from: peer)
        #expect(info.listenAddresses == [try Multiaddr("/ip4/1.2.3.4/tcp/5")])
        #expect(info.observedAddress == nil)
    }

    @Test("The key of somebody else, or no key, is refused and changes nothing")
    func wrongKey() throws {
        for key in [try KeyPair.generate().publicKey.protobufBytes, [1, 2, 3], []] {
            var info = IdentifyInfo()
            var message = IdentifyMessage()
            message.publicKey = key
            message.agentVersion = [0x61]
            let error = #expect(throws: Libp2pError.self) { try info.update(with: message, from: peer) }
            #expect(error?.code == .protocolViolation)
            #expect(info == IdentifyInfo())
        }
    }

    @Test("A signed record beats unsigned addresses, and an older one does not beat a newer")
    func records() throws {
        var info = IdentifyInfo()
        var message = IdentifyMessage()
        message.listenAddresses = [try Multiaddr("/ip4/9.9.9.9/tcp/9").bytes]
        message.signedPeerRecord = try signed(5, ["/ip4/1.1.1.1/tcp/1"])
        try info.update(with: message, from: peer)
        #expect(info.listenAddresses == [try Multiaddr("/ip4/1.1.1.1/tcp/1")])
        message.signedPeerRecord = try signed(4, ["/ip4/2.2.2.2/tcp/2"])
        try info.update(with: message, from: peer)
        #expect(info.listenAddresses == [try Multiaddr("/ip4/1.1.1.1/tcp/1")])
        message.signedPeerRecord = try signed(6, ["/ip4/3.3.3.3/tcp/3"])
        try info.update(with: message, from: peer)
        #expect(info.listenAddresses == [try Multiaddr("/ip4/3.3.3.3/tcp/3")])
    }

    @Test("A record that is damaged, or signed by somebody else, counts as absent")
    func badRecords() throws {
        var damaged = try signed(5, ["/ip4/1.1.1.1/tcp/1"])
        damaged[damaged.count - 1] ^= 1
        for record in [damaged, try signed(5, ["/ip4/1.1.1.1/tcp/1"], by: .generate()), []] {
            var info = IdentifyInfo()
            var message = IdentifyMessage()
            message.listenAddresses = [try Multiaddr("/ip4/9.9.9.9/tcp/9").bytes]
            message.signedPeerRecord = record
            try info.update(with: message, from: peer)
            #expect(info.listenAddresses == [try Multiaddr("/ip4/9.9.9.9/tcp/9")])
        }
    }

    @Test("Texts are bounded and free of control characters")
    func texts() throws {
        var info = IdentifyInfo()
        var message = IdentifyMessage()
        message.agentVersion = Array("evil\u{1B}[2J\n".utf8) + [0xFF] + [UInt8](repeating: 0x61, count: 10_000)
        try info.update(with: message, from: peer)
        let text = try #require(info.agentVersion)
        #expect(text.hasPrefix("evil\u{FFFD}[2J\u{FFFD}\u{FFFD}a"))
        #expect(text.unicodeScalars.count <= 256)
    }
}
