import Blockstore
import Logging
import MetricsTestKit
import Multiformats
import NIOCore
import PeerIdentity
import TestSupport
import Testing

@testable import Bitswap

/// A scripted exchange, and all that is counted of it.
@Suite(.timeLimit(.minutes(5))) struct ExchangeStatisticsTests {
    private let network = MemoryNetwork()
    private let metrics = TestMetrics()
    private let store = MemoryBlockstore()
    private let exchange: Exchange

    init() {
        exchange = Exchange(
            store: store, network: network.face(of: peer(1)), time: ManualClock().timeSource, metrics: metrics,
            logger: Logger(label: "test"))
        network.add(exchange, as: peer(1))
    }

    /// Runs the network and the exchange around a test.
    private func running(_ body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await network.run() }
            group.addTask { await exchange.run() }
            try await body()
            group.cancelAll()
        }
    }

    private func message(_ entries: [Message.Entry] = [], _ body: (inout MessageEncoder) -> Void = { _ in })
        -> ByteBuffer
    {
        var encoder = MessageEncoder(version: .v1_2_0, entries: entries, isFull: false, capacity: 0)
        body(&encoder)
        return encoder.finish(pendingBytes: 0)
    }

    private func message(with block: Block) -> ByteBuffer {
        message { encoder in block.bytes.withUnsafeReadableBytes { encoder.append(block: $0, cid: block.cid) } }
    }

    @Test func whatAPeerWantsAndIsGivenIsCounted() async throws {
        let (small, large) = (block("small"), block(String(repeating: "large ", count: 500)))
        try await store.put([small, large])
        let other = network.addScripted(peer(2))
        try await running {
            network.connect(peer(1), other.id)
            other.send(
                message([
                    Message.Entry(cid: small.cid, kind: .want(.block, sendDontHave: true)),
                    Message.Entry(cid: large.cid, kind: .want(.have, sendDontHave: true)),
                    Message.Entry(cid: cid("absent"), kind: .want(.block, sendDontHave: true)),
                    Message.Entry(cid: cid("never mind"), kind: .want(.block, sendDontHave: true)),
                    Message.Entry(cid: cid("never mind"), kind: .cancel),
                ]), to: peer(1))
            try await eventually("all is answered") {
                let told = exchange.statistics
                return told.blocksSent == 1 && told.havesSent == 1 && told.dontHavesSent == 1
            }
            let told = exchange.statistics
            #expect(told.bytesSent == 5)
            #expect(told.wantBlocksReceived == 3)
            #expect(told.wantHavesReceived == 1)
            #expect(told.cancelsReceived == 1)
            #expect(told.queueWait.count == 3)
            #expect(told.messagesReceived == 1)
            #expect(told.outgoingMessages.sum > 5)
            expectAgreement(of: metrics, with: told)
            #expect(try metrics.expectMeter("bitswap_peers").lastValue == 1)

            let ledger = try #require(exchange.ledger(of: other.id))
            #expect(ledger.blocksSent == 1)
            #expect(ledger.bytesSent == 5)
            #expect(ledger.wants == 0)
            #expect(ledger.subscriptions == 1)
            #expect(exchange.wantlist(of: other.id)?.map(\.cid) == [cid("absent")])
            #expect(exchange.wantlist(of: other.id)?.map(\.isHeld) == [false])
            network.disconnect(peer(1), other.id)
            try await eventually("the peer is gone") { exchange.ledger(of: other.id) == nil }
            #expect(exchange.wantlist(of: other.id) == nil)
            #expect(try metrics.expectMeter("bitswap_peers").lastValue == 0)
        }
    }

    @Test func whatIsFetchedAndWhatIsWasteIsCounted() async throws {
        let wanted = block("wanted")
        let (giver, other) = (network.addScripted(peer(2)), network.addScripted(peer(3)))
        try await running {
            // One after the other, or chance decides who is asked for the block.
            network.connect(peer(1), giver.id)
            async let fetched = exchange.want(wanted.cid)
            try await eventually("the giver is asked") { exchange.statistics.wantBlocksSent == 1 }
            network.connect(peer(1), other.id)
            try await eventually("both are asked") { exchange.statistics.wantHavesSent == 1 }
            #expect(exchange.wantlist == [wanted.cid])
            for (sender, has) in [(giver, true), (other, false)] {
                sender.send(message { $0.append(presenceOf: wanted.cid, has: has) }, to: peer(1))
            }
            try await eventually("both have answered") {
                exchange.statistics.havesReceived == 1 && exchange.statistics.dontHavesReceived == 1
            }
            giver.send(message(with: wanted), to: peer(1))
            #expect(try await fetched.block == wanted)
            giver.send(message(with: wanted), to: peer(1))
            other.send(message(with: block("unasked")), to: peer(1))
            other.send(ByteBuffer(bytes: [3, 0xff, 0xff, 0xff]), to: peer(1))
            try await eventually("all is counted") {
                let told = exchange.statistics
                return told.duplicateBlocksReceived == 1 && told.refusedBlocks == 1 && told.malformedMessages == 1
                    && told.cancelsSent == 1
            }
            let told = exchange.statistics
            #expect(told.blocksReceived == 1)
            #expect(told.bytesReceived == 6)
            #expect(told.duplicateBytesReceived == 6)
            #expect(told.duplicateShare == 0.5)
            #expect(told.wantlistBytesSent == told.outgoingMessages.sum)
            #expect(told.wantsSentPerBlock ?? 0 >= 2)
            #expect(told.messagesReceived == 5)
            #expect(exchange.ledger(of: giver.id)?.blocksReceived == 2)
            #expect(exchange.ledger(of: giver.id)?.bytesReceived == 12)
            expectAgreement(of: metrics, with: told)
        }
    }

    @Test func limitsThatAMessageGoesPastAreNamed() async throws {
        let other = network.addScripted(peer(2))
        let limits = BitswapLimits()
        let longCID = try [UInt8](repeating: 0, count: limits.cidBytes).withUnsafeBytes {
            CID(codec: .raw, multihash: try Multihash(code: .identity, digest: $0))
        }
        try await running {
            network.connect(peer(1), other.id)
            other.send(
                message([Message.Entry(cid: longCID, kind: .want(.block, sendDontHave: true))]), to: peer(1))
            try await eventually("the CID is too long") { exchange.statistics.limitHits["cidBytes"] == 1 }
            var announced = ByteBuffer()
            var prefix: [UInt8] = []
            UVarint.encode(UInt64(limits.messageBytes + 1), into: &prefix)
            announced.writeBytes(prefix)
            other.send(announced, to: peer(1))
            try await eventually("the message is too long") { exchange.statistics.limitHits["messageBytes"] == 1 }
            #expect(exchange.statistics.malformedMessages == 2)
            expectAgreement(of: metrics, with: exchange.statistics)
        }
    }

    @Test func whereLimitsOfTheDecoderAreHit() throws {
        var limits = BitswapLimits()
        limits.messageBytes = 1_000
        limits.blockBytes = 10
        limits.entriesPerMessage = 2
        limits.blocksPerMessage = 1
        limits.cidBytes = 40
        limits.prefixBytes = 4
        func limit(of frame: ByteBuffer) throws -> BitswapLimit? {
            var reader = FrameReader(maximum: limits.messageBytes)
            reader.append(frame)
            do throws(ExchangeError) {
                var decoder = MessageDecoder(limits: limits)
                guard let frame = try reader.next() else { return nil }
                _ = try decoder.decode(frame)
                return nil
            } catch {
                return error.limit
            }
        }
        func entries(_ count: Int) -> [Message.Entry] {
            (0..<count).map { Message.Entry(cid: cid("\($0)"), kind: .want(.block, sendDontHave: false)) }
        }
        func blocks(_ texts: String...) -> ByteBuffer {
            message { encoder in
                for text in texts {
                    ByteBuffer(string: text).withUnsafeReadableBytes { encoder.append(block: $0, cid: cid(text)) }
                }
            }
        }
        // The code of its codec takes two bytes.
        let long = CID(codec: .dagJSON, multihash: cid("").multihash)
        #expect(try limit(of: message(entries(2))) == nil)
        #expect(try limit(of: message(entries(3))) == .entriesPerMessage)
        #expect(
            try limit(of: message { for text in ["a", "b", "c"] { $0.append(presenceOf: cid(text), has: true) } })
                == .entriesPerMessage)
        #expect(try limit(of: blocks("0123456789")) == nil)
        #expect(try limit(of: blocks("0123456789a")) == .blockBytes)
        #expect(try limit(of: blocks("a", "b")) == .blocksPerMessage)
        #expect(
            try limit(of: message { $0.append(block: UnsafeRawBufferPointer(start: nil, count: 0), cid: long) })
                == .prefixBytes)
        limits.cidBytes = 35
        #expect(try limit(of: message(entries(1))) == .cidBytes)
        limits.messageBytes = 10
        #expect(try limit(of: message(entries(1))) == .messageBytes)
    }
}
