import Multiformats
import Testing

@testable import Bitswap

@Suite struct LedgerTests {
    var ledger = Ledger(limits: BitswapLimits())

    private func entry(
        _ text: String, _ type: WantType = .block, priority: Int32 = 1, sendDontHave: Bool = true
    ) -> Message.Entry {
        Message.Entry(cid: cid(text), priority: priority, kind: .want(type, sendDontHave: sendDontHave))
    }

    /// Takes in the wants, finds them in a store of these sizes.
    private mutating func wants(_ entries: [Message.Entry], sizes: [String: Int]) {
        _ = ledger.apply(entries, isFull: false)
        let known = Dictionary(uniqueKeysWithValues: sizes.map { (cid($0.key), $0.value) })
        _ = ledger.resolve(ledger.takeLookups(limit: 99_999).map { ($0, known[$0]) })
    }

    @Test mutating func aBlockThatWeHoldIsAnsweredAndLeavesWhenWritten() {
        wants([entry("a")], sizes: ["a": 10])
        let envelope = ledger.next(budget: 100, version: .v1_2_0)
        #expect(envelope.blocks.map(\.cid) == [cid("a")])
        #expect(ledger.count == 1)
        ledger.sent(envelope)
        #expect(ledger.count == 0)
        #expect(ledger.sentBytes == 10)
    }

    @Test mutating func dontHaveOnlyWhenAskedFor() {
        wants([entry("a"), entry("b", sendDontHave: false)], sizes: [:])
        let envelope = ledger.next(budget: 100, version: .v1_2_0)
        #expect(envelope.dontHaves.map(\.cid) == [cid("a")])
        #expect(ledger.next(budget: 100, version: .v1_2_0).isEmpty == true)
        #expect(ledger.count == 2, "both are remembered")
    }

    @Test mutating func whatWeDoNotHoldIsAnsweredWhenItArrives() {
        wants([entry("a")], sizes: [:])
        ledger.sent(ledger.next(budget: 100, version: .v1_2_0))
        #expect(ledger.available(cid("a"), size: 5) == true)
        #expect(ledger.next(budget: 100, version: .v1_2_0).blocks.map(\.size) == [5])
        #expect(ledger.available(cid("b"), size: 5) == false)
    }

    @Test mutating func aQuestionForALargeBlockIsAnsweredByHaveAndForASmallOneByTheBlock() {
        wants([entry("a", .have), entry("b", .have)], sizes: ["a": 1_024, "b": 1_025])
        let envelope = ledger.next(budget: 1 << 20, version: .v1_2_0)
        #expect(envelope.blocks.map(\.cid) == [cid("a")])
        #expect(envelope.haves.map(\.cid) == [cid("b")])
    }

    @Test mutating func anOlderPeerGetsNoPresences() {
        wants([entry("a"), entry("b")], sizes: ["a": 9])
        let envelope = ledger.next(budget: 100, version: .v1_1_0)
        #expect(envelope.blocks.count == 1)
        #expect(envelope.dontHaves.isEmpty)
    }

    @Test mutating func aCancelIsHonouredInTheQueueAndInAMessageNotYetWritten() {
        wants([entry("a"), entry("b")], sizes: ["a": 9, "b": 9])
        _ = ledger.apply([Message.Entry(cid: cid("a"), kind: .cancel)], isFull: false)
        let envelope = ledger.next(budget: 100, version: .v1_2_0)
        #expect(envelope.blocks.map(\.cid) == [cid("b")])
        _ = ledger.apply([Message.Entry(cid: cid("b"), kind: .cancel)], isFull: false)
        #expect(!ledger.isOpen(envelope.blocks[0]))
        #expect(ledger.count == 0)
        #expect(ledger.queuedBytes == 0)
    }

    @Test mutating func higherPriorityFirstThenInOrder() {
        wants(
            [entry("a", priority: 1), entry("b", priority: 7), entry("c", priority: 7), entry("d", priority: -3)],
            sizes: ["a": 1, "b": 1, "c": 1, "d": 1])
        let order = ledger.next(budget: 100, version: .v1_2_0).blocks.map(\.cid)
        #expect(order == ["b", "c", "a", "d"].map { cid($0) })
    }

    @Test mutating func aMessageKeepsToItsBudgetButALargeBlockGoesAlone() {
        wants([entry("a"), entry("b"), entry("c")], sizes: ["a": 60, "b": 60, "c": 500])
        #expect(ledger.next(budget: 100, version: .v1_2_0).blocks.count == 1)
        #expect(ledger.next(budget: 100, version: .v1_2_0).blocks.count == 1)
        #expect(ledger.queuedBytes == 500)
        #expect(ledger.next(budget: 100, version: .v1_2_0).blocks.map(\.size) == [500])
    }

    @Test mutating func aLostMessageIsSaidAgain() {
        wants([entry("a"), entry("b")], sizes: ["a": 9])
        let envelope = ledger.next(budget: 100, version: .v1_2_0)
        ledger.lost(envelope)
        let again = ledger.next(budget: 100, version: .v1_2_0)
        #expect(again.blocks.map(\.cid) == [cid("a")])
        #expect(again.dontHaves.map(\.cid) == [cid("b")])
    }

    @Test mutating func aFullWantlistReplacesTheOld() {
        wants([entry("a")], sizes: ["a": 9])
        let changes = ledger.apply([entry("b")], isFull: true)
        #expect(changes.unsubscribed == [cid("a")])
        #expect(ledger.wants.map(\.cid) == [cid("b")])
        #expect(ledger.queuedBytes == 0)
    }

    @Test mutating func aWantOfTheBlockAfterItsHaveIsAnswered() {
        wants([entry("a", .have)], sizes: ["a": 5_000])
        let have = ledger.next(budget: 9_000, version: .v1_2_0)
        #expect(have.haves.count == 1)
        wants([entry("a", .block)], sizes: ["a": 5_000])
        ledger.sent(have)
        #expect(ledger.next(budget: 9_000, version: .v1_2_0).blocks.count == 1)
    }

    @Test mutating func theLedgerIsBounded() {
        var limits = BitswapLimits()
        limits.wantsPerPeer = 10
        ledger = Ledger(limits: limits)
        #expect(ledger.apply((0..<10).map { entry("\($0)") }, isFull: false).overflow == 0)
        #expect(ledger.apply([entry("10")], isFull: false).overflow == 1)
        #expect(ledger.apply([entry("3")], isFull: false).overflow == 0, "known already")
        #expect(ledger.count == 10)
    }

    @Test mutating func aBlockThatVanishedIsOneThatWeDoNotHold() {
        wants([entry("a")], sizes: ["a": 9])
        let envelope = ledger.next(budget: 100, version: .v1_2_0)
        #expect(ledger.vanished(envelope.blocks[0]) == true)
        #expect(ledger.next(budget: 100, version: .v1_2_0).dontHaves.map(\.cid) == [cid("a")])
        #expect(ledger.available(cid("a"), size: 9) == true)
    }

    @Test mutating func aStormOfWantsAndCancelsKeepsTheQueuesSmall() {
        for round in 0..<20_000 {
            wants([entry("\(round % 5)")], sizes: ["0": 1, "1": 1])
            _ = ledger.apply([Message.Entry(cid: cid("\(round % 5)"), kind: .cancel)], isFull: false)
        }
        #expect(ledger.count == 0)
        #expect(ledger.queueLength < 200)
    }
}
