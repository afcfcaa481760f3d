import Multiformats
import NIOCore
import Testing

@testable import Bitswap

@Suite struct MessageTests {
    private func encode(_ version: BitswapVersion, _ body: (inout MessageEncoder) -> Void = { _ in }) -> ByteBuffer {
        var encoder = MessageEncoder(version: version, entries: [], isFull: false, capacity: 0)
        body(&encoder)
        return encoder.finish(pendingBytes: 0)
    }

    @Test func theWantlistIsAlwaysWrittenEvenWhenItIsEmpty() {
        #expect(Array(encode(.v1_2_0).readableBytesView) == [2, 0x0a, 0])
    }

    @Test func entriesComeBackAsTheyWere() throws {
        let entries = [
            Message.Entry(cid: cid("a"), priority: 5, kind: .want(.block, sendDontHave: true)),
            Message.Entry(cid: cid("b"), priority: -5, kind: .want(.have, sendDontHave: false)),
            Message.Entry(cid: cid("c"), priority: 1, kind: .cancel),
        ]
        var encoder = MessageEncoder(version: .v1_2_0, entries: entries, isFull: true, capacity: 0)
        let message = try MessageDecoder.message(in: encoder.finish(pendingBytes: 77))
        #expect(message.entries == entries)
        #expect(message.isFull)
        #expect(message.pendingBytes == 77)
    }

    @Test func aBlockCarriesThePrefixThatRebuildsItsCID() throws {
        let text = "Hello Bitswap from Rust Helia"
        let v0 = try CID(version: .v0, codec: .dagPB, multihash: cid(text).multihash)
        for wanted in [cid(text), v0] {
            let frame = encode(.v1_2_0) { encoder in
                ByteBuffer(string: text).withUnsafeReadableBytes { encoder.append(block: $0, cid: wanted) }
            }
            let block = try #require(try MessageDecoder.message(in: frame).blocks.first)
            #expect(String(buffer: block.data) == text)
            #expect(try block.data.withUnsafeReadableBytes { try block.prefix?.cid(of: $0) } == wanted)
        }
        let bytes = encode(.v1_2_0) { encoder in
            ByteBuffer(string: text).withUnsafeReadableBytes { encoder.append(block: $0, cid: v0) }
        }
        #expect(Array(bytes.readableBytesView.dropFirst(5).prefix(6)) == [0x0a, 4, 0, 0x70, 0x12, 0x20])
    }

    @Test func theOldestVersionSendsBareBlocksAndNoPresences() throws {
        let frame = encode(.v1_0_0) { encoder in
            ByteBuffer(string: "x").withUnsafeReadableBytes { encoder.append(block: $0, cid: cid("x")) }
            encoder.append(presenceOf: cid("y"), has: false)
        }
        #expect(Array(frame.readableBytesView) == [5, 0x0a, 0, 0x12, 1, 0x78])
        let message = try MessageDecoder.message(in: frame)
        #expect(message.blocks.count == 1)
        #expect(message.blocks.first?.prefix == nil)
        #expect(message.presences.isEmpty)
    }

    @Test func presencesComeBackAsTheyWere() throws {
        let frame = encode(.v1_2_0) { encoder in
            encoder.append(presenceOf: cid("a"), has: true)
            encoder.append(presenceOf: cid("b"), has: false)
        }
        let expected = [Message.Presence(cid: cid("a"), has: true), Message.Presence(cid: cid("b"), has: false)]
        #expect(try MessageDecoder.message(in: frame).presences == expected)
    }

    @Test func anEmptyBlockIsABlock() throws {
        let frame = encode(.v1_2_0) { encoder in
            ByteBuffer().withUnsafeReadableBytes { encoder.append(block: $0, cid: cid("")) }
        }
        let message = try MessageDecoder.message(in: frame)
        #expect(message.blocks.map(\.data.readableBytes) == [0])
    }

    @Test func aWantWhoseCIDCannotBeReadCostsOnlyItself() throws {
        // Two wants: one of CID version 9, one of a CID that is one.
        let good = cid("a").bytes
        let bad: [UInt8] = [0x0a, 4, 0x0a, 2, 9, 9]
        let inner = [0x0a, UInt8(good.count)] + good
        let wantlist = bad + [0x0a, UInt8(inner.count)] + inner
        let body = [0x0a, UInt8(wantlist.count)] + wantlist
        let message = try MessageDecoder.message(in: ByteBuffer(bytes: [UInt8(body.count)] + body))
        #expect(message.unreadable == 1)
        #expect(message.entries.map(\.cid) == [cid("a")])
    }

    @Test func aDecoderKeepsLittleOfTheMemoryThatALargeMessageTook() throws {
        var decoder = MessageDecoder(limits: BitswapLimits())
        func decode(_ count: Int) throws {
            // So many empty presences, two bytes each.
            var body = ByteBuffer()
            for _ in 0..<count { body.writeBytes([0x22, 0]) }
            #expect(try decoder.decode(body).unreadable == count)
        }
        try decode(1_000)
        let kept = decoder.heldBytes
        #expect(kept > 0 && kept <= 64 << 10)
        try decode(1_000)
        #expect(decoder.heldBytes == kept)
        try decode(20_000)
        #expect(decoder.heldBytes == 0)
        try decode(10)
        #expect(decoder.heldBytes > 0)
    }
}
