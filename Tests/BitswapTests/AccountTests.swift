import Metrics
import MetricsTestKit
import Multiformats
import NIOCore
import Testing

@testable import Bitswap

@Suite struct AccountTests {
    private let metrics = TestMetrics()
    private let account: Account

    init() { account = Account(metrics) }

    private let entries = [
        Message.Entry(cid: cid("a"), kind: .want(.block, sendDontHave: true)),
        Message.Entry(cid: cid("b"), kind: .want(.block, sendDontHave: false)),
        Message.Entry(cid: cid("c"), kind: .want(.have, sendDontHave: true)),
        Message.Entry(cid: cid("d"), kind: .cancel),
    ]

    @Test func whatCameIsCountedByItsKind() {
        var message = Message(entries: entries, byteCount: 100)
        message.presences = [
            Message.Presence(cid: cid("a"), has: true), Message.Presence(cid: cid("b"), has: false),
            Message.Presence(cid: cid("c"), has: false),
        ]
        account.messageReceived(message)
        account.messageReceived(Message(byteCount: 3))
        account.blocksReceived(Account.Arrivals(blocks: 2, bytes: 700, duplicateBlocks: 1, duplicateBytes: 300))
        account.blocksRefused(4)
        account.messageMalformed(nil)
        account.blocksFetched(after: [.milliseconds(3), .microseconds(5)])

        let statistics = account.statistics
        #expect(statistics.messagesReceived == 2)
        #expect(statistics.incomingMessages.sum == 103)
        #expect(statistics.wantBlocksReceived == 2)
        #expect(statistics.wantHavesReceived == 1)
        #expect(statistics.cancelsReceived == 1)
        #expect(statistics.havesReceived == 1)
        #expect(statistics.dontHavesReceived == 2)
        #expect(statistics.blocksReceived == 2)
        #expect(statistics.bytesReceived == 700)
        #expect(statistics.duplicateBlocksReceived == 1)
        #expect(statistics.duplicateBytesReceived == 300)
        #expect(statistics.duplicateShare == 0.3)
        #expect(statistics.refusedBlocks == 4)
        #expect(statistics.malformedMessages == 1)
        #expect(statistics.timeToBlock.count == 2)
        #expect(statistics.timeToBlock.sum == 3_005)
        expectAgreement(of: metrics, with: statistics)
    }

    @Test func whatWentIsCountedByItsKind() {
        account.wantlistSent(Account.Entries(entries), bytes: 150)
        account.answersSent(
            Account.Answers(blocks: 2, bytes: 500, haves: 3, dontHaves: 4), bytes: 650,
            after: [.seconds(2), .zero, .milliseconds(1)])

        let statistics = account.statistics
        #expect(statistics.messagesSent == 2)
        #expect(statistics.outgoingMessages.sum == 800)
        #expect(statistics.wantlistBytesSent == 150)
        #expect(statistics.wantBlocksSent == 2)
        #expect(statistics.wantHavesSent == 1)
        #expect(statistics.cancelsSent == 1)
        #expect(statistics.blocksSent == 2)
        #expect(statistics.bytesSent == 500)
        #expect(statistics.havesSent == 3)
        #expect(statistics.dontHavesSent == 4)
        #expect(statistics.queueWait.count == 3)
        #expect(statistics.queueWait.maximum == 2_000_000)
        expectAgreement(of: metrics, with: statistics)
    }

    @Test func wasteIsToldPerBlock() {
        #expect(account.statistics.wantsSentPerBlock == nil)
        #expect(account.statistics.wantlistBytesPerBlock == nil)
        #expect(account.statistics.duplicateShare == nil)
        account.wantlistSent(Account.Entries(entries), bytes: 150)
        account.blocksReceived(Account.Arrivals(blocks: 2, bytes: 2))
        #expect(account.statistics.wantsSentPerBlock == 1.5)
        #expect(account.statistics.wantlistBytesPerBlock == 75)
        #expect(account.statistics.duplicateShare == 0)
    }

    @Test(arguments: BitswapLimit.allCases) func everyLimitIsCountedByItsName(_ limit: BitswapLimit) {
        #expect(account.statistics.limitHits.isEmpty)
        account.hit(limit)
        account.hit(limit, times: 2)
        account.hit(limit, times: 0)
        #expect(account.statistics.limitHits == [limit.rawValue: 3])
        expectAgreement(of: metrics, with: account.statistics)
    }

    @Test func everyMemberOfTheLimitsHasAName() {
        // What is not hit by peers, but says how we ask and answer.
        let settings: Set = [
            "responseBytes", "haveReplacedByBlockBytes", "requestWindow", "initialRequestWindow", "questionsPerWant",
            "unansweredQuestions", "peersPerSession", "rememberedPeers", "addressesPerPeer", "concurrentSearches",
            "wantsPerSequence", "leastWantBytesPerPeer",
            "initialOutstandingBytesPerPeer", "minimumOutstandingBytesPerPeer",
        ]
        let members = Mirror(reflecting: BitswapLimits()).children.compactMap(\.label)
        #expect(Set(members).subtracting(settings) == Set(BitswapLimit.allCases.map(\.rawValue)))
    }

    @Test func droppedWantsAreHitsOfALimit() {
        account.wantsDropped(0, by: .wantsPerPeer)
        account.wantsDropped(7, by: .wantsPerPeer)
        #expect(account.statistics.wantsDropped == 7)
        account.wantsDenied(0)
        account.wantsDenied(3)
        #expect(account.statistics.wantsDenied == 3)
        #expect(account.statistics.limitHits == ["wantsPerPeer": 7])
        expectAgreement(of: metrics, with: account.statistics)
    }

    @Test func levelsGoUpAndDown() throws {
        account.peerCame()
        account.peerCame()
        account.peerWent()
        for _ in 0..<5 { account.wantOpened() }
        account.wantsEnded(0)
        account.wantsEnded(3)
        #expect(try metrics.expectMeter("bitswap_peers").lastValue == 1)
        #expect(try metrics.expectMeter("bitswap_wants").lastValue == 2)
    }

    @Test func noMetricNamesAPeerOrABlock() {
        let dimensions =
            metrics.counters.map(\.dimensions) + metrics.recorders.map(\.dimensions) + metrics.timers.map(\.dimensions)
        #expect(Set(dimensions.joined().map(\.0)) == ["type", "limit"])
    }
}

/// Every value that is also a metric is the same in both.
func expectAgreement(
    of metrics: TestMetrics, with statistics: ExchangeStatistics, sourceLocation: SourceLocation = #_sourceLocation
) {
    func counter(_ name: String, _ dimensions: [(String, String)] = [], is value: Int) {
        let found = try? metrics.expectCounter("bitswap_\(name)_total", dimensions).totalValue
        #expect(found == Int64(value), "\(name) \(dimensions)", sourceLocation: sourceLocation)
    }
    counter("blocks_received", is: statistics.blocksReceived)
    counter("block_bytes_received", is: statistics.bytesReceived)
    counter("duplicate_blocks_received", is: statistics.duplicateBlocksReceived)
    counter("duplicate_block_bytes_received", is: statistics.duplicateBytesReceived)
    counter("blocks_refused", is: statistics.refusedBlocks)
    counter("blocks_sent", is: statistics.blocksSent)
    counter("block_bytes_sent", is: statistics.bytesSent)
    counter("wants_sent", [("type", "block")], is: statistics.wantBlocksSent)
    counter("wants_sent", [("type", "have")], is: statistics.wantHavesSent)
    counter("cancels_sent", is: statistics.cancelsSent)
    counter("wantlist_bytes_sent", is: statistics.wantlistBytesSent)
    counter("wants_received", [("type", "block")], is: statistics.wantBlocksReceived)
    counter("wants_received", [("type", "have")], is: statistics.wantHavesReceived)
    counter("cancels_received", is: statistics.cancelsReceived)
    counter("wants_dropped", is: statistics.wantsDropped)
    counter("wants_denied", is: statistics.wantsDenied)
    counter("presences_received", [("type", "have")], is: statistics.havesReceived)
    counter("presences_received", [("type", "dont_have")], is: statistics.dontHavesReceived)
    counter("presences_sent", [("type", "have")], is: statistics.havesSent)
    counter("presences_sent", [("type", "dont_have")], is: statistics.dontHavesSent)
    counter("messages_received", is: statistics.messagesReceived)
    counter("messages_sent", is: statistics.messagesSent)
    counter("messages_malformed", is: statistics.malformedMessages)
    for limit in BitswapLimit.allCases {
        counter("limit_hits", [("limit", limit.rawValue)], is: statistics.limitHits[limit.rawValue] ?? 0)
    }
    func values(_ name: String, are histogram: Histogram) {
        let values = (try? metrics.expectRecorder("bitswap_\(name)"))?.values
        #expect(values?.count == histogram.count, "\(name)", sourceLocation: sourceLocation)
        #expect(values?.reduce(0, +) == Double(histogram.sum), "\(name)", sourceLocation: sourceLocation)
    }
    values("message_received_bytes", are: statistics.incomingMessages)
    values("message_sent_bytes", are: statistics.outgoingMessages)
    func times(_ name: String, are histogram: Histogram) {
        let values = (try? metrics.expectTimer("bitswap_\(name)_seconds"))?.values
        let microseconds = values?.map { Int($0 / 1_000) }.reduce(0, +)
        #expect(values?.count == histogram.count, "\(name)", sourceLocation: sourceLocation)
        #expect(microseconds == histogram.sum, "\(name)", sourceLocation: sourceLocation)
    }
    times("queue_wait", are: statistics.queueWait)
    times("time_to_block", are: statistics.timeToBlock)
}
