import Libp2p
import PeerIdentity
import Testing

@Suite struct NoiseXXTests {
    struct Vector: Sendable, CustomTestStringConvertible {
        let name: String
        let prologue: String
        let initiatorStatic: String
        let initiatorEphemeral: String
        let responderStatic: String
        let responderEphemeral: String
        let handshakeHash: String?
        let messages: [(payload: String, ciphertext: String)]

        var testDescription: String { name }
    }

    /// The vectors for Noise_XX_25519_ChaChaPoly_SHA256 of the Haskell library cacophony and of the Rust library snow.
    static let vectors = [
        Vector(
            name: "cacophony",
            prologue: "4a6f686e2047616c74",
            initiatorStatic: "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
            initiatorEphemeral: "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
            responderStatic: "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
            responderEphemeral: "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
            handshakeHash: "c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e",
            messages: [
                (
                    "4c756477696720766f6e204d69736573",
                    "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720766f6e204d69736573"
                ),
                (
                    "4d757272617920526f746862617264",
                    "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c48378ffce2b65285"
                        + "e08d6b68aaa3629a5a8639392490e5b9bd5269c2f1e4f488ed8831161f19b7815528f8982ffe09be9b5c412f8a0db50f"
                        + "8814c7194e83f23dbd8d162c9326ad"
                ),
                (
                    "462e20412e20486179656b",
                    "c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169ae80a89be0865b57f"
                        + "58c9fea0d4ec82a286427402f113e4b6ae769a1d95941d49b25030"
                ),
                (
                    "4361726c204d656e676572",
                    "96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df"
                ),
                (
                    "4a65616e2d426170746973746520536179",
                    "3e40f15f6f3a46ae446b253bf8b1d9ffb6ed9b174d272328ff91a7e2e5c79c07f5"
                ),
                (
                    "457567656e2042f6686d20766f6e2042617765726b",
                    "eb3f3515110702e047a6c9da4478b6ead94873c11c0f2d710ddb3f09fce024b3a58502ae3f"
                ),
            ]),
        Vector(
            name: "snow",
            prologue: "5468657265206973206e6f20726967687420616e642077726f6e672e2054686572652773206f6e6c792066756e20616e"
                + "6420626f72696e672e",
            initiatorStatic: "7dec208517a3b81a2861d7a71266d5d6dc944c5a8816634a86fe63198a0148ee",
            initiatorEphemeral: "a32daf21e93c0131495ce1d903181fde81cc46937daaeb990bae7c992709421e",
            responderStatic: "4d0aed5098e3b4ef20357e9f686ce66204c792b358da2e475017d6c485304881",
            responderEphemeral: "4eece0f195d026db035ff987597c429d3ad3bcc2944df37d649528951b2a27c5",
            handshakeHash: nil,
            messages: [
                (
                    "d03c489139e645d0711a3c9e810d776b46a84912463fafa87b884eebf242dc34",
                    "f9fa868ba97ab8a2686deccfaad5a484ee10a5bb85e3d1dce015a84797f92818d03c489139e645d0711a3c9e810d776b"
                        + "46a84912463fafa87b884eebf242dc34"
                ),
                (
                    "d8190a92f7dc0c93dbea9118ba8055751fb7c6590c416ffbd419964132b99a85",
                    "8c4e6fdb7d09d501a86f7eca5c234522751706ed409182c05cdf5f827d4dae47b81c6c5f43b025692c24391eefee725c"
                        + "17d8cb0fbe3e4abb8aedf42c4fd2592d4ea48ac08989d6ae8b4adae08b2c34087c808c7aa55a63c02b0fab9e93061233"
                        + "6bd43eaea04d3c670a0a146691aa9cc9d357872320dc735dbc48580cffb553db"
                ),
                (
                    "77891b19dcb92ef7c055b672c4a5aa7fdf1c84146b8b303459022729473ce254",
                    "933ca6b5ed60df3df66121f0ab49a09e49efa45c613a86a3cecbf4c535cef2f83f72b42837b18e3572f2fdc2b74c331e"
                        + "2368a545cef54bdca081678ab0e9dd5348122459e0c034c851984d88ce610963d43cde6cfe73a67fbd5a63e8bfca96d0"
                ),
                (
                    "d7efdf988072881941db045a42882433817555128fbf5663e56081712ec7d212",
                    "54ef0ff0629e1aaa7685a2806ab111cba76b52331f2642276736f415868eacb69ab2577f3bda0cbf72f879685f6ed25f"
                ),
                (
                    "dd7bf01a588bafb52c6cfba952e5d8fe35cc2b3f92b4730ae2474615157345ce",
                    "356be70f110306d5c699bb834bb9d58d909e325924dfbec972e406e6f294dc63e1daebefe8a62a334facc8048ab4ad66"
                ),
            ]),
    ]

    private func machine(_ role: NoiseRole, _ staticKey: String, _ ephemeralKey: String, _ prologue: String) throws
        -> NoiseXX
    {
        NoiseXX(
            role: role,
            keys: NoiseXX.Keys(
                staticKey: try X25519KeyPair(secretKey: NoiseTesting.hex(staticKey)),
                ephemeralKey: try X25519KeyPair(secretKey: NoiseTesting.hex(ephemeralKey))),
            prologue: NoiseTesting.hex(prologue))
    }

    @Test(arguments: vectors) func speaksTheVectors(vector: Vector) throws {
        var initiator = try machine(.initiator, vector.initiatorStatic, vector.initiatorEphemeral, vector.prologue)
        var responder = try machine(.responder, vector.responderStatic, vector.responderEphemeral, vector.prologue)
        for (index, message) in vector.messages.prefix(3).enumerated() {
            let payload = NoiseTesting.hex(message.payload)
            let written: [UInt8]
            let read: [UInt8]
            if index == 1 {
                written = try responder.write(payload: payload)
                read = try initiator.read(written)
            } else {
                written = try initiator.write(payload: payload)
                read = try responder.read(written)
            }
            #expect(written == NoiseTesting.hex(message.ciphertext), "message \(index)")
            #expect(read == payload, "message \(index)")
        }
        #expect(initiator.isFinished && responder.isFinished)
        if let hash = vector.handshakeHash { #expect(initiator.handshakeHash == NoiseTesting.hex(hash)) }
        #expect(initiator.handshakeHash == responder.handshakeHash)
        let staticKeys = try [vector.responderStatic, vector.initiatorStatic].map {
            try X25519KeyPair(secretKey: NoiseTesting.hex($0)).publicKey
        }
        #expect([initiator.remoteStaticKey, responder.remoteStaticKey] == staticKeys)

        var (initiatorSend, initiatorReceive) = try initiator.split()
        var (responderSend, responderReceive) = try responder.split()
        for (index, message) in vector.messages.enumerated().dropFirst(3) {
            let payload = NoiseTesting.hex(message.payload)
            let ciphertext = NoiseTesting.hex(message.ciphertext)
            // After the handshake they go on in turn, the responder first.
            if index.isMultiple(of: 2) {
                #expect(try initiatorSend.seal(payload) == ciphertext, "message \(index)")
                #expect(try responderReceive.open(ciphertext) == payload, "message \(index)")
            } else {
                #expect(try responderSend.seal(payload) == ciphertext, "message \(index)")
                #expect(try initiatorReceive.open(ciphertext) == payload, "message \(index)")
            }
        }
    }

    @Test func eachSideHasItsTurn() throws {
        var initiator = NoiseXX(role: .initiator, keys: try NoiseTesting.keys(1))
        var responder = NoiseXX(role: .responder, keys: try NoiseTesting.keys(2))
        #expect(initiator.isWriting && !responder.isWriting)
        expectNoiseError(.internal) { _ = try responder.write(payload: []) }
        expectNoiseError(.internal) { _ = try initiator.read([UInt8](repeating: 1, count: 96)) }
        expectNoiseError(.internal) { _ = try initiator.split() }
        let first = try initiator.write(payload: [])
        #expect(first.count == 32)
        expectNoiseError(.internal) { _ = try initiator.write(payload: []) }
        _ = try responder.read(first)
        let second = try responder.write(payload: [])
        #expect(second.count == 96)
        _ = try initiator.read(second)
        let third = try initiator.write(payload: [])
        #expect(third.count == 64)
        _ = try responder.read(third)
        expectNoiseError(.internal) { _ = try responder.write(payload: []) }
        expectNoiseError(.internal) { _ = try responder.read(third) }
    }

    @Test func payloadsFillAMessageAtMost() throws {
        var initiator = NoiseXX(role: .initiator, keys: try NoiseTesting.keys(1))
        var responder = NoiseXX(role: .responder, keys: try NoiseTesting.keys(2))
        let copy = initiator
        expectNoiseError(.internal) { _ = try initiator.write(payload: [UInt8](repeating: 0, count: 65_535 - 31)) }
        initiator = copy
        let first = try initiator.write(payload: [UInt8](repeating: 0, count: 65_535 - 32))
        #expect(first.count == 65_535)
        #expect(try responder.read(first).count == 65_535 - 32)
    }

    @Test func otherPrologueDoesNotOpen() throws {
        var initiator = NoiseXX(role: .initiator, keys: try NoiseTesting.keys(1), prologue: [1])
        var responder = NoiseXX(role: .responder, keys: try NoiseTesting.keys(2))
        _ = try responder.read(initiator.write(payload: []))
        let second = try responder.write(payload: [])
        expectNoiseError(.handshakeFailed) { _ = try initiator.read(second) }
    }

    @Test func aKeyOfLowOrderIsAnError() throws {
        var responder = NoiseXX(role: .responder, keys: try NoiseTesting.keys(2))
        _ = try responder.read([UInt8](repeating: 0, count: 32))
        expectNoiseError(.handshakeFailed) { _ = try responder.write(payload: []) }
    }
}

@Suite struct NoiseCipherStateTests {
    private func cipher(nonce: UInt64) throws -> NoiseCipherState {
        let key = try [UInt8](repeating: 3, count: 32).withUnsafeBytes { try ChaCha20Poly1305(key: $0) }
        return NoiseCipherState(key: key, nonce: nonce)
    }

    @Test func countsItsMessages() throws {
        var sender = try cipher(nonce: 0)
        var receiver = try cipher(nonce: 0)
        for message in [[], [1], [1, 2, 3]] as [[UInt8]] {
            #expect(try receiver.open(sender.seal(message)) == message)
        }
        #expect(sender.nonce == 3 && receiver.nonce == 3)
        // One lost or repeated message ends it.
        _ = try sender.seal([4])
        let fifth = try sender.seal([5])
        expectNoiseError(.protocolViolation) { _ = try receiver.open(fifth) }
    }

    @Test func theLastNumberIsNeverUsed() throws {
        var sender = try cipher(nonce: .max - 1)
        var receiver = try cipher(nonce: .max - 1)
        #expect(try receiver.open(sender.seal([1])) == [1])
        for _ in 0..<2 {
            expectNoiseError(.connectionClosed) { _ = try sender.seal([1]) }
            expectNoiseError(.connectionClosed) { _ = try receiver.open([UInt8](repeating: 0, count: 17)) }
        }
        #expect(sender.nonce == .max)
    }
}
