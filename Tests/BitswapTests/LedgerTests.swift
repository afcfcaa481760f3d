import Multiformats
import NIOCore
import Testing

@testable import Bitswap

@Suite(.timeLimit(.minutes(5))) struct LedgerTests {
    var ledger = Ledger(limits: BitswapLimits())

    /// Takes in the wants, finds them in a store of these sizes.
    @discardableResult
    private mutating func wants(
        _ entries: [Message.Entry], sizes: [String: Int] = [:], at now: Duration = .zero, room: Int = .max
    ) -> Ledger.Changes {
        let first = ledger.apply(entries, isFull: false, now: now)
        var changes = lookUp(sizes: sizes, at: now, room: room)
        changes.dropped.merge(first.dropped) { $0 + $1 }
        changes.unsubscribed = first.unsubscribed + changes.unsubscribed
        return changes
    }

    @discardableResult
    private mutating func lookUp(sizes: [String: Int], at now: Duration = .zero, room: Int = .max) -> Ledger.Changes {
        let known = Dictionary(uniqueKeysWithValues: sizes.map { (cid($0.key), $0.value) })
        let items = ledger.takeLookups(limit: 99_999)
        return ledger.resolve(items, sizes: items.map { known[$0.cid] }, now: now, room: room)
    }

    private mutating func cancel(_ texts: String...) -> Ledger.Changes {
        ledger.apply(texts.map { Message.Entry(cid: cid($0), kind: .cancel) }, isFull: false, now: .zero)
    }

    /// The next message, of about so many bytes.
    private mutating func next(_ budget: Int = 1 << 20, _ version: BitswapVersion = .v1_2_0) -> Ledger.Envelope {
        let demand = ledger.demand()
        let granted = max(demand.least, min(demand.most, budget))
        let envelope = ledger.next(budget: granted, version: version)
        var encoder = MessageEncoder(version: version, entries: [], isFull: false, capacity: 0)
        for item in envelope.blocks {
            let bytes = [UInt8](repeating: 0, count: item.size)
            bytes.withUnsafeBytes { encoder.append(block: $0, cid: item.cid) }
        }
        for item in envelope.haves { encoder.append(presenceOf: item.cid, has: true) }
        for item in envelope.dontHaves { encoder.append(presenceOf: item.cid, has: false) }
        let bytes = encoder.finish(pendingBytes: .max).readableBytes
        #expect(envelope.isEmpty || bytes <= granted, "what is sent is never more than was asked for")
        return envelope
    }

    private mutating func available(_ text: String, size: Int, at now: Duration = .zero) -> Bool {
        var changes = Ledger.Changes()
        return ledger.available(cid(text), size: size, now: now, &changes)
    }

    // MARK: Answers

    @Test mutating func aBlockThatWeHoldIsAnsweredAndLeavesWhenWritten() {
        wants([entry("a")], sizes: ["a": 10])
        let envelope = next()
        #expect(envelope.blocks.map(\.cid) == [cid("a")])
        #expect(ledger.count == 1)
        ledger.sent(envelope)
        #expect(ledger.count == 0)
        #expect(ledger.sentBytes == 10)
        #expect(ledger.sentBlocks == 1)
    }

    @Test mutating func dontHaveOnlyWhenAskedFor() {
        wants([entry("a"), entry("b", sendDontHave: false)])
        let envelope = next()
        #expect(envelope.dontHaves.map(\.cid) == [cid("a")])
        #expect(next().isEmpty == true)
        #expect(ledger.count == 2, "both are remembered")
    }

    @Test mutating func whatWeDoNotHoldIsAnsweredWhenItArrives() {
        let changes = wants([entry("a")])
        #expect(changes.subscribed == [cid("a")])
        ledger.sent(next())
        #expect(available("a", size: 5) == true)
        #expect(next().blocks.map(\.size) == [5])
        #expect(available("b", size: 5) == false)
    }

    @Test mutating func aQuestionForABlockThatComesLaterIsAnsweredByHaveUnlessItIsSmall() {
        wants([entry("a", .have), entry("b", .have)])
        ledger.sent(next())
        #expect(available("a", size: 5_000) == true)
        #expect(available("b", size: 5) == true)
        let envelope = next()
        #expect(envelope.haves.map(\.cid) == [cid("a")])
        #expect(envelope.blocks.map(\.cid) == [cid("b")])
    }

    @Test mutating func aQuestionForALargeBlockIsAnsweredByHaveAndForASmallOneByTheBlock() {
        wants([entry("a", .have), entry("b", .have)], sizes: ["a": 1_024, "b": 1_025])
        let envelope = next()
        #expect(envelope.blocks.map(\.cid) == [cid("a")])
        #expect(envelope.haves.map(\.cid) == [cid("b")])
    }

    @Test mutating func presencesDoNotWaitForBlocks() {
        wants(
            [entry("big", priority: 9), entry("bigger", priority: 8), entry("a", .have, priority: 1)],
            sizes: ["big": 600_000, "bigger": 600_000, "a": 5_000])
        let envelope = next()
        #expect(envelope.blocks.count == 1)
        #expect(envelope.haves.map(\.cid) == [cid("a")])
        #expect(ledger.queuedBytes == 600_000, "a HAVE has no bytes to wait for")
    }

    @Test mutating func anOlderPeerGetsNoPresences() {
        wants([entry("a"), entry("b"), entry("c", .have)], sizes: ["a": 9, "c": 5_000])
        var given: [CID] = []
        while ledger.demand().least > 0 {
            let envelope = next(1 << 20, .v1_1_0)
            #expect(envelope.dontHaves.isEmpty && envelope.haves.isEmpty)
            given += envelope.blocks.map(\.cid)
            ledger.sent(envelope)
        }
        #expect(given == [cid("a"), cid("c")])
        #expect(ledger.wants.map(\.cid) == [cid("b")])
        #expect(ledger.queuedBytes == 0)
    }

    @Test mutating func higherPriorityFirstThenInOrder() {
        wants(
            [entry("a", priority: 1), entry("b", priority: 7), entry("c", priority: 7), entry("d", priority: -3)],
            sizes: ["a": 1, "b": 1, "c": 1, "d": 1])
        #expect(next().blocks.map(\.cid) == ["b", "c", "a", "d"].map { cid($0) })
    }

    @Test mutating func aNewPriorityMovesAWantThatWaits() {
        let sizes = ["a": 1, "b": 1, "c": 1]
        wants([entry("a", priority: 5), entry("b", priority: 4), entry("c", priority: 3)], sizes: sizes)
        wants([entry("c", priority: 6)], sizes: sizes)
        wants([entry("a", priority: 1)], sizes: sizes)
        #expect(next().blocks.map(\.cid) == ["c", "b", "a"].map { cid($0) })
        #expect(ledger.queuedBytes == 0)
    }

    @Test mutating func aMessageKeepsToItsBudgetButALargeBlockGoesAlone() {
        wants([entry("a"), entry("b"), entry("c")], sizes: ["a": 60, "b": 60, "c": 500])
        #expect(next(100).blocks.count == 1)
        #expect(next(100).blocks.count == 1)
        #expect(ledger.queuedBytes == 500)
        #expect(next(100).blocks.map(\.size) == [500])
    }

    @Test mutating func presencesKeepToTheBudgetToo() {
        wants((0..<1_000).map { entry("\($0)") })
        let first = next(1_000)
        #expect((1..<1_000).contains(first.dontHaves.count))
        var told = first.dontHaves.count
        while ledger.hasAnswers { told += next(1_000).dontHaves.count }
        #expect(told == 1_000)
    }

    @Test mutating func whatThereIsToSendIsSentByAskingForIt() throws {
        let hash = try Multihash(
            code: #require(.init(rawValue: 0x1013_3557)), digest: Array(repeating: UInt8(7), count: 100))
        let long = CID(codec: try #require(.init(rawValue: 0x7fff_ffff)), multihash: hash)
        let entries = (0..<300).map { entry("\($0)", $0 % 3 == 0 ? .have : .block, priority: Int32($0)) }
        _ = ledger.apply(
            entries + [Message.Entry(cid: long, kind: .want(.block, sendDontHave: true))], isFull: false, now: .zero)
        let items = ledger.takeLookups(limit: 999)
        let sizes = items.enumerated().map { $0.offset % 7 == 0 ? nil : $0.offset * 40 }
        _ = ledger.resolve(items, sizes: sizes, now: .zero, room: .max)
        var answers = 0
        while ledger.demand().least > 0 {
            let envelope = next(10_000)
            #expect(!envelope.isEmpty)
            answers += envelope.blocks.count + envelope.haves.count + envelope.dontHaves.count
            ledger.sent(envelope)
        }
        #expect(answers == 301)
        #expect(ledger.queuedBytes == 0)
    }

    @Test mutating func aBudgetThatWasMeantForAnotherBlockIsNotPassed() {
        wants([entry("small", priority: 1)], sizes: ["small": 10])
        let budget = ledger.demand().least
        wants([entry("large", priority: 2)], sizes: ["large": 5_000])
        #expect(ledger.next(budget: budget, version: .v1_2_0).isEmpty == true)
        #expect(next().blocks.count == 2)
    }

    @Test mutating func aLostMessageIsSaidAgain() {
        wants([entry("a"), entry("b"), entry("c", .have)], sizes: ["a": 9, "c": 5_000])
        let envelope = next()
        #expect(ledger.queuedBytes == 0)
        ledger.lost(envelope)
        #expect(ledger.queuedBytes == 9)
        let again = next()
        #expect(again.blocks.map(\.cid) == [cid("a")])
        #expect(again.haves.map(\.cid) == [cid("c")])
        #expect(again.dontHaves.map(\.cid) == [cid("b")])
    }

    @Test mutating func aWantOfTheBlockAfterItsHaveIsAnswered() {
        wants([entry("a", .have)], sizes: ["a": 5_000])
        let have = next()
        #expect(have.haves.count == 1)
        wants([entry("a", .block)], sizes: ["a": 5_000])
        ledger.sent(have)
        #expect(next().blocks.count == 1)
    }

    @Test mutating func aWantOfTheBlockInPlaceOfItsHaveIsAnsweredOnce() {
        wants([entry("a", .have)], sizes: ["a": 5_000])
        wants([entry("a", .block)], sizes: ["a": 5_000])
        #expect(ledger.queuedBytes == 5_000)
        let envelope = next()
        #expect(envelope.blocks.count == 1)
        #expect(envelope.haves.isEmpty)
        // A small block answers the question; the want of the block has come already when it is on its way.
        wants([entry("b", .have)], sizes: ["b": 5])
        let small = next()
        #expect(small.blocks.count == 1)
        wants([entry("b", .block)], sizes: ["b": 5])
        ledger.sent(small)
        #expect(next().isEmpty == true)
    }

    @Test mutating func aBlockThatVanishedIsOneThatWeDoNotHold() {
        wants([entry("a")], sizes: ["a": 9])
        let envelope = next()
        #expect(ledger.vanished(envelope.blocks[0], now: .zero, room: .max).subscribed == [cid("a")])
        #expect(next().dontHaves.map(\.cid) == [cid("a")])
        #expect(available("a", size: 9) == true)
    }

    @Test mutating func whatWasReceivedIsEntered() {
        ledger.received(blocks: 2, bytes: 300)
        ledger.received(blocks: 1, bytes: 5)
        #expect(ledger.receivedBlocks == 3)
        #expect(ledger.receivedBytes == 305)
    }

    // MARK: Cancels and full wantlists

    @Test mutating func aCancelIsHonouredInTheQueueAndInAMessageNotYetWritten() {
        wants([entry("a"), entry("b")], sizes: ["a": 9, "b": 9])
        _ = cancel("a")
        let envelope = next()
        #expect(envelope.blocks.map(\.cid) == [cid("b")])
        _ = cancel("b")
        #expect(!ledger.isOpen(envelope.blocks[0]))
        #expect(ledger.count == 0)
        #expect(ledger.queuedBytes == 0)
        ledger.lost(envelope)
        #expect(next().isEmpty == true)
    }

    @Test mutating func aCancelDuringTheLookUpIsHonoured() {
        _ = ledger.apply([entry("a")], isFull: false, now: .zero)
        let items = ledger.takeLookups(limit: 9)
        _ = cancel("a")
        _ = ledger.apply([entry("a", .have)], isFull: false, now: .zero)
        _ = ledger.resolve(items, sizes: [5_000], now: .zero, room: .max)
        #expect(next().isEmpty == true, "what was found is the answer to the want that is gone")
        lookUp(sizes: ["a": 5_000])
        #expect(next().haves.count == 1)
    }

    @Test mutating func aFullWantlistReplacesTheOld() {
        wants([entry("a"), entry("b")], sizes: ["a": 9])
        let changes = ledger.apply([entry("c")], isFull: true, now: .zero)
        #expect(changes.unsubscribed == [cid("b")])
        #expect(ledger.wants.map(\.cid) == [cid("c")])
        #expect(ledger.queuedBytes == 0)
    }

    @Test mutating func aFullWantlistDoesNotHaveAnswersUnderWaySentTwice() {
        wants([entry("a"), entry("b")], sizes: ["a": 9, "b": 9])
        let envelope = next(9)
        _ = ledger.apply([entry("a"), entry("b")], isFull: true, now: .zero)
        ledger.sent(envelope)
        #expect(ledger.wants.map(\.cid) == [cid("b")])
    }

    // MARK: Budgets

    private func limited(wants: Int = 10, subscriptions: Int = 10) -> Ledger {
        var limits = BitswapLimits()
        limits.wantsPerPeer = wants
        limits.subscriptionsPerPeer = subscriptions
        return Ledger(limits: limits)
    }

    @Test mutating func wantsAreBounded() {
        ledger = limited()
        #expect(ledger.apply((0..<10).map { entry("\($0)") }, isFull: false, now: .zero).dropped == [:])
        #expect(ledger.apply([entry("10")], isFull: false, now: .zero).dropped == [.wantsPerPeer: 1])
        #expect(ledger.apply([entry("3")], isFull: false, now: .zero).dropped == [:], "known already")
        #expect(ledger.count == 10)
    }

    @Test mutating func overflowKeepsTheHighestPriorities() {
        ledger = limited()
        let sizes = Dictionary(uniqueKeysWithValues: (0..<30).map { ("\($0)", 1) })
        // Some wait for their look-up and some for their turn.
        wants((0..<5).map { entry("\($0)", priority: Int32($0)) }, sizes: sizes)
        _ = ledger.apply((5..<10).map { entry("\($0)", priority: Int32($0)) }, isFull: false, now: .zero)
        let dropped = ledger.apply((10..<15).map { entry("\($0)", priority: Int32($0)) }, isFull: false, now: .zero)
        #expect(dropped.dropped == [.wantsPerPeer: 5])
        #expect(ledger.apply([entry("low", priority: 4)], isFull: false, now: .zero).dropped == [.wantsPerPeer: 1])
        lookUp(sizes: sizes)
        #expect(next().blocks.map(\.cid) == (5..<15).reversed().map { cid("\($0)") })
        #expect(ledger.queuedBytes == 0)
    }

    @Test mutating func amongEqualsTheLatestGoes() {
        ledger = limited(wants: 3)
        _ = ledger.apply(["a", "b", "c"].map { entry($0, priority: 1) }, isFull: false, now: .zero)
        _ = ledger.apply([entry("d", priority: 2)], isFull: false, now: .zero)
        #expect(Set(ledger.wants.map(\.cid)) == Set(["a", "b", "d"].map { cid($0) }))
    }

    @Test mutating func overflowNeverStallsATransfer() {
        ledger = limited(wants: 3)
        wants(["a", "b", "c"].map { entry($0, priority: 1) }, sizes: ["a": 1, "b": 1, "c": 1])
        let envelope = next()
        #expect(envelope.blocks.count == 3)
        let changes = ledger.apply([entry("d", priority: 9)], isFull: false, now: .zero)
        #expect(changes.dropped == [.wantsPerPeer: 1])
        #expect(envelope.blocks.allSatisfy { ledger.isOpen($0) })
        ledger.sent(envelope)
        #expect(ledger.apply([entry("d", priority: 9)], isFull: false, now: .zero).dropped == [:])
    }

    @Test mutating func subscriptionsHaveABudgetOfTheirOwn() {
        ledger = limited(wants: 4, subscriptions: 3)
        wants((0..<3).map { entry("absent \($0)", priority: 5) })
        #expect(ledger.subscriptionCount == 3)
        let sizes = ["a": 1, "b": 1, "c": 1, "d": 1]
        #expect(wants(["a", "b", "c", "d"].map { entry($0) }, sizes: sizes).dropped == [:])
        #expect(ledger.heldCount == 4)
        ledger.sent(next())
        // One more, of a lower priority, is told that we do not have it, and forgotten.
        let changes = wants([entry("absent 3", priority: 4)])
        #expect(changes.dropped == [.subscriptionsPerPeer: 1])
        #expect(changes.subscribed.isEmpty && changes.unsubscribed.isEmpty)
        #expect(ledger.heldCount == 1)
        let told = next()
        #expect(told.dontHaves.map(\.cid) == [cid("absent 3")])
        #expect(ledger.heldCount == 1)
        ledger.lost(told)
        ledger.sent(next())
        #expect(ledger.heldCount == 0)
        // One of a higher priority takes a place.
        let taken = wants([entry("absent 4", priority: 6)])
        #expect(taken.subscribed == [cid("absent 4")])
        #expect(taken.unsubscribed == [cid("absent 2")])
        #expect(ledger.subscriptionCount == 3)
    }

    @Test mutating func withoutRoomAmongAllPeersThereIsNoSubscription() {
        let changes = wants(
            [entry("a"), entry("b"), entry("c", sendDontHave: false)], room: cid("a").subscriptionBytes)
        #expect(changes.subscribed == [cid("a")])
        #expect(changes.dropped == [.subscriptionBytes: 2])
        #expect(ledger.subscriptionBytes == cid("a").subscriptionBytes)
        #expect(next().dontHaves.count == 2)
    }

    @Test mutating func withoutRoomAmongAllPeersTheHighestPrioritiesAreKept() {
        let one = cid("a").wantBytes
        ledger.room = 2 * one
        let changes = ledger.apply(
            [entry("a", priority: 2), entry("b", priority: 1), entry("c", priority: 3), entry("d", priority: 1)],
            isFull: false, now: .zero)
        #expect(changes.dropped == [.wantBytes: 2])
        #expect(Set(ledger.wants.map(\.cid)) == [cid("a"), cid("c")])
        #expect(ledger.heldBytes == 2 * one)
        ledger.room = 0
        #expect(ledger.apply([entry("e", priority: 2)], isFull: false, now: .zero).dropped == [.wantBytes: 1])
        #expect(ledger.heldBytes == 2 * one, "what is there stays")
        wants([], sizes: ["a": 1])
        #expect(ledger.heldBytes == one && ledger.subscriptionBytes == cid("c").subscriptionBytes)
        _ = ledger.clear()
        #expect(ledger.heldBytes == 0 && ledger.subscriptionBytes == 0)
    }

    @Test mutating func aLongDigestCountsForMore() throws {
        let digest = [UInt8](repeating: 7, count: 64)
        let long = CID(codec: .raw, multihash: try Multihash(code: .sha2_512, digest: digest))
        _ = ledger.apply([Message.Entry(cid: long, kind: .want(.block, sendDontHave: true))], isFull: false, now: .zero)
        #expect(ledger.heldBytes == cid("a").wantBytes + 96)
    }

    @Test mutating func presencesWithLongCIDsAreSaidAlthoughTheyTakeMoreThanWasAskedFor() throws {
        func long(_ byte: UInt8) throws -> CID {
            CID(codec: .raw, multihash: try Multihash(code: .sha2_512, digest: [UInt8](repeating: byte, count: 64)))
        }
        let entries = [
            Message.Entry(cid: try long(1), kind: .want(.block, sendDontHave: true)),
            Message.Entry(cid: try long(2), kind: .want(.have, sendDontHave: true)),
            Message.Entry(cid: try long(3), kind: .want(.block, sendDontHave: true)),
        ]
        _ = ledger.apply(entries, isFull: false, now: .zero)
        let items = ledger.takeLookups(limit: 9)
        _ = ledger.resolve(items, sizes: [nil, 5_000, 300], now: .zero, room: .max)
        var said: (blocks: [CID], haves: [CID], dontHaves: [CID]) = ([], [], [])
        for _ in 0..<3 where ledger.demand().most > 0 {
            let envelope = ledger.next(budget: ledger.demand().least, version: .v1_2_0)
            #expect(!envelope.isEmpty)
            said.blocks += envelope.blocks.map(\.cid)
            said.haves += envelope.haves.map(\.cid)
            said.dontHaves += envelope.dontHaves.map(\.cid)
            ledger.sent(envelope)
        }
        #expect(said.blocks == [entries[2].cid])
        #expect(said.haves == [entries[1].cid])
        #expect(said.dontHaves == [entries[0].cid])
        #expect(ledger.demand().most == 0)
    }

    @Test mutating func aSubscriptionWhoseBlockComesTakesTheRoomOfAWant() {
        ledger = limited(wants: 2)
        wants([entry("absent", priority: 5), entry("low", priority: 1)])
        wants([entry("a", priority: 2), entry("b", priority: 7)], sizes: ["a": 1, "b": 1])
        #expect(available("absent", size: 1) == true)
        #expect(available("low", size: 1) == false, "its priority is the lowest")
        #expect(next().blocks.map(\.cid) == [cid("b"), cid("absent")])
        #expect(ledger.subscriptionCount == 0)
    }

    // MARK: Time

    @Test mutating func aSubscriptionExpiresInSilenceAndCanBeHadAnew() {
        let lifetime = ledger.limits.subscriptionLifetime
        wants([entry("a")])
        wants([entry("b")], at: .seconds(1))
        ledger.sent(next())
        let early = ledger.expire(now: lifetime - .nanoseconds(1))
        #expect(early.unsubscribed.isEmpty)
        let late = ledger.expire(now: lifetime)
        #expect(late.unsubscribed == [cid("a")])
        #expect(late.expired == 1)
        #expect(next().isEmpty == true)
        #expect(available("a", size: 5, at: lifetime) == false)
        let anew = wants([entry("a")], at: lifetime)
        #expect(anew.subscribed == [cid("a")])
        #expect(next().dontHaves.map(\.cid) == [cid("a")])
        #expect(available("b", size: 5, at: .seconds(1) + lifetime) == false, "its time is over, seen or not")
        #expect(available("a", size: 5, at: .seconds(1) + lifetime) == true)
        #expect(ledger.subscriptionCount == 0)
    }

    @Test mutating func askingAgainRenewsASubscription() {
        let lifetime = ledger.limits.subscriptionLifetime
        wants([entry("a")])
        let again = wants([entry("a")], at: .seconds(9))
        #expect(again.unsubscribed == [cid("a")] && again.subscribed == [cid("a")])
        #expect(ledger.expire(now: lifetime).unsubscribed.isEmpty == true)
        #expect(ledger.expire(now: lifetime + .seconds(9)).unsubscribed == [cid("a")])
    }

    @Test mutating func theWaitOfAnAnswerCountsFromItsWantOrFromTheComingOfItsBlock() {
        wants([entry("a"), entry("b")], sizes: ["a": 1], at: .seconds(1))
        _ = available("b", size: 1, at: .seconds(5))
        #expect(next().blocks.map(\.since) == [.seconds(1), .seconds(5)])
    }

    // MARK: Storms

    @Test mutating func aStormOfWantsAndCancelsKeepsTheQueuesSmall() {
        for round in 0..<20_000 {
            wants([entry("\(round % 5)")], sizes: ["0": 1, "1": 1])
            _ = cancel("\(round % 5)")
        }
        #expect(ledger.count == 0)
        #expect(ledger.queueLength < 500)
    }

    @Test mutating func aFullLedgerInAStormKeepsItsQueuesSmall() {
        ledger = limited(wants: 20, subscriptions: 20)
        for round in 0..<20_000 {
            wants([entry("\(round % 97)", priority: Int32(round))], sizes: ["0": 1, "1": 1])
        }
        #expect(ledger.count <= 40)
        #expect(ledger.queueLength < 700)
    }

    @Test mutating func theMemoryOfWantsThatAreGoneIsGivenBack() {
        let entries = (0..<4_000).map { entry("\($0)") }
        wants(entries)
        _ = ledger.apply(
            entries.dropFirst().map { Message.Entry(cid: $0.cid, kind: .cancel) }, isFull: false, now: .zero)
        #expect(ledger.count == 1)
        #expect(ledger.table.slots.count <= 64)
        #expect(next().dontHaves.map(\.cid) == [cid("0")], "what is left is where it was")
        #expect(available("0", size: 5) == true)
    }
}
