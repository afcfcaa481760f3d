import Blockstore
import Libp2p
import Multiformats
import PeerIdentity
import TestSupport
import Testing

@testable import Bitswap

/// Single wants: who is asked, and what moves a want on.
@Suite struct ClientTests {
    var it = ClientHarness()

    @Test mutating func oneIsAskedForTheBlockAndTheOthersWhetherTheyHaveIt() {
        it.connect(1, 2, 3)
        it.want(cid("a"))
        let types = (1...3).map { it.take($0).type(of: cid("a")) }
        #expect(types.filter { $0 == .block }.count == 1)
        #expect(types.filter { $0 == .have }.count == 2)
    }

    @Test mutating func nothingIsAskedBeforeTheOwnStoreWasLookedInto() {
        it.connect(1)
        let waiter = it.client.register(cid("a"), providers: .any, deadline: nil, now: it.now)
        #expect(it.take(1).isEmpty)
        #expect(it.client.open([waiter], now: it.now).wake == [peer(1)])
        #expect(it.take(1).type(of: cid("a")) == .block)
    }

    @Test mutating func dontHaveMovesTheWantToWhoSaidHave() {
        it.connect(1)
        it.want(cid("a"))
        #expect(it.take(1).type(of: cid("a")) == .block)
        it.connect(2)
        #expect(it.take(2).type(of: cid("a")) == .have)
        it.have(cid("a"), from: 2)
        #expect(it.take(2).isEmpty, "the first one still owes the block")
        _ = it.takeEffects()
        it.dontHave(cid("a"), from: 1)
        #expect(it.takeEffects().wake.contains(peer(2)))
        #expect(it.take(2).type(of: cid("a")) == .block)
    }

    @Test mutating func aDeniedWantOfABlockBecomesAQuietQuestion() {
        it.connect(1)
        it.want(cid("a"))
        it.take(1)
        it.dontHave(cid("a"), from: 1)
        #expect(it.take(1).entries.map(\.kind) == [.cancel], "or it would send the block when it gets it")
        #expect(it.take(1).entries.map(\.kind) == [.want(.have, sendDontHave: false)])
        it.have(cid("a"), from: 1)
        #expect(it.take(1).type(of: cid("a")) == .block, "it has got the block since")
    }

    @Test mutating func aPeerThatGoesAwayOwesNothing() {
        it.connect(1)
        it.want(cid("a"))
        it.take(1)
        it.connect(2)
        it.take(2)
        it.have(cid("a"), from: 2)
        _ = it.takeEffects()
        it.disconnect(1)
        #expect(it.takeEffects().wake == [peer(2)])
        #expect(it.take(2).type(of: cid("a")) == .block)
    }

    @Test mutating func aPeerThatComesBackIsAskedAgainWithAFullList() {
        it.connect(1)
        it.want(cid("a"))
        it.take(1)
        it.disconnect(1)
        it.connect(1)
        let taken = it.take(1)
        #expect(taken.type(of: cid("a")) == .block)
        #expect(taken.isFull)
    }

    @Test mutating func silenceMovesTheWantOnButNotBeforeItsTime() {
        it.connect(1)
        it.want(cid("a"))
        it.take(1)
        it.connect(2)
        it.take(2)
        it.have(cid("a"), from: 2)
        _ = it.takeEffects()
        it.pass(.milliseconds(990))
        #expect(it.takeEffects().wake.isEmpty)
        it.pass(.milliseconds(10))
        #expect(it.takeEffects().wake == [peer(2)])
        #expect(it.take(2).type(of: cid("a")) == .block)
        #expect(it.take(1).cancels.isEmpty, "it may still give it")
        it.deliver("a", from: 1)
        #expect(it.take(2).cancels == [cid("a")])
    }

    @Test mutating func aBlockThatIsComingIsWaitedForHoweverSlowly() {
        it.connect(1)
        it.want(cid("a"))
        it.take(1)
        it.connect(2)
        it.take(2)
        it.have(cid("a"), from: 2)
        for _ in 0..<20 {
            it.pass(.milliseconds(900))
            it.client.progressed(peer(1), now: it.now)
        }
        #expect(it.take(2).isEmpty)
        var asked: WantType?
        for _ in 0..<20 where asked == nil {
            it.pass(.milliseconds(900))
            it.client.progressed(peer(1), now: it.now)
            asked = it.take(2).type(of: cid("a"))
        }
        #expect(asked == .block, "but not for ever")
    }

    @Test mutating func aWantThatCannotBeSentGoesToAnotherPeer() {
        it.connect(1, 2)
        it.want(cid("a"))
        let (first, second) = it.client.peers[1]?.debts.isEmpty == false ? (1, 2) : (2, 1)
        it.take(second)
        it.have(cid("a"), from: second)
        it.pass(.milliseconds(1_000))
        #expect(it.take(second).type(of: cid("a")) == .block)
        #expect(it.take(first).type(of: cid("a")) == .have)
    }

    @Test mutating func theBlockIsTakenFromWhoWasAskedAndTheOthersAreToldToForgetIt() throws {
        it.connect(1, 2)
        let waiter = it.want(cid("a"))
        it.take(1)
        it.take(2)
        _ = it.takeEffects()
        #expect(it.deliver("a", from: 1) == .wanted(cid("a")))
        let effects = it.takeEffects()
        #expect(effects.wake == [peer(2)])
        #expect(it.take(2).cancels == [cid("a")])
        #expect(it.deliver("a", from: 2) == .alreadyHere)
        #expect(effects.finished.map(\.0) == [waiter])
        #expect(try effects.finished.first?.1.get().peer == peer(1))
        #expect(it.client.isIdle)
    }

    @Test mutating func whoSaidHaveHasForgottenTheQuestionAndNeedsNoCancel() {
        it.connect(1, 2)
        it.want(cid("a"))
        let (owner, other) = it.take(1).type(of: cid("a")) == .block ? (1, 2) : (2, 1)
        it.take(other)
        it.have(cid("a"), from: other)
        it.deliver("a", from: owner)
        #expect(it.take(other).isEmpty)
    }

    @Test mutating func aBlockThatNobodyAskedForIsRefused() {
        it.connect(1)
        #expect(!it.client.awaitsBlock(from: peer(1)))
        it.want(cid("a"))
        it.take(1)
        #expect(it.deliver("b", from: 1) == .unrequested)
        it.connect(2)
        #expect(it.deliver("a", from: 2) == .unrequested)
    }

    @Test mutating func aLiarIsNamedAndTheNextOneAsked() {
        it.connect(1)
        let waiter = it.want(cid("a"), timeout: .seconds(9))
        it.take(1)
        it.connect(2)
        it.take(2)
        it.have(cid("a"), from: 2)
        _ = it.takeEffects()
        it.offend(1)
        #expect(it.takeEffects().wake == [peer(2)])
        it.pass(.seconds(9))
        let finished = it.takeEffects().finished
        #expect(finished.map(\.0) == [waiter])
        guard case .failure(let error) = finished.first?.1 else { return #expect(Bool(false)) }
        #expect(error.code == .timedOut)
        #expect(error.answers == [peer(1): .sentOtherBytes, peer(2): .have])
    }

    @Test mutating func whoLiesAgainAndAgainIsAskedForNothing() {
        it.connect(1)
        for number in 0..<4 {
            it.want(cid("\(number)"))
            #expect(!it.take(1).entries.isEmpty)
            it.offend(1)
        }
        it.want(cid("more"))
        #expect(it.take(1).isEmpty)
        it.disconnect(1)
        it.connect(1)
        #expect(it.take(1).isEmpty, "it is remembered")
    }

    @Test mutating func theLastWaiterTakesTheWantWithIt() {
        it.connect(1)
        let first = it.want(cid("a"))
        let second = it.want(cid("a"))
        #expect(it.take(1).entries.count == 1, "two callers share one request")
        _ = it.takeEffects()
        it.abandon(first)
        #expect(it.takeEffects().wake.isEmpty)
        it.abandon(second)
        #expect(it.takeEffects().wake == [peer(1)])
        #expect(it.take(1).cancels == [cid("a")])
        #expect(it.client.isIdle)
        #expect(it.client.sessions.isEmpty)
    }

    @Test mutating func aWantThatWasNeverSentNeedsNoCancel() {
        it.connect(1)
        let waiter = it.want(cid("a"))
        _ = it.takeEffects()
        it.abandon(waiter)
        #expect(it.takeEffects().wake.isEmpty)
        #expect(it.take(1).isEmpty)
    }

    @Test mutating func onlyTheNamedProvidersAreAsked() {
        it.connect(1, 2, 3)
        it.want(cid("a"), .only([peer(2)]))
        #expect(it.take(1).isEmpty)
        #expect(it.take(2).type(of: cid("a")) == .block)
        #expect(it.take(3).isEmpty)
        it.pass(.seconds(60))
        #expect(it.take(1).isEmpty)
        #expect(it.takeEffects().searches.isEmpty)
    }

    @Test mutating func whenNoneOfTheOnlyProvidersHasItTheWantEndsAtOnce() {
        it.connect(1, 2, 3)
        let waiter = it.want(cid("a"), .only([peer(1), peer(2)]))
        it.take(1)
        it.take(2)
        it.dontHave(cid("a"), from: 1)
        #expect(it.takeEffects().finished.isEmpty)
        it.dontHave(cid("a"), from: 2)
        let finished = it.takeEffects().finished
        #expect(finished.map(\.0) == [waiter])
        guard case .failure(let error) = finished.first?.1 else { return #expect(Bool(false)) }
        #expect(error.code == .notFound)
        #expect(error.answers == [peer(1): .dontHave, peer(2): .dontHave])
        #expect(it.client.isIdle)
    }

    @Test mutating func aNamedProviderThatCannotBeReachedIsTriedSomeTimesAndCountsAsNotHavingIt() {
        it.connect(1)
        it.want(cid("a"), .only([peer(1), peer(2)]))
        it.take(1)
        it.dontHave(cid("a"), from: 1)
        var attempts = 0
        var finished: [(Client.WaiterID, Result<Client.Delivery, ExchangeError>)] = []
        for _ in 0..<6_000 where finished.isEmpty {
            let effects = it.takeEffects()
            for provider in effects.dials {
                #expect(provider.peer == peer(2))
                attempts += 1
                it.effects.merge(it.client.dialEnded(peer(2), isConnected: false, now: it.now))
            }
            finished = effects.finished
            it.pass(.milliseconds(10))
        }
        #expect(attempts == 5)
        guard case .failure(let error) = finished.first?.1 else { return #expect(Bool(false)) }
        #expect(error.code == .notFound)
        #expect(error.answers == [peer(1): .dontHave, peer(2): .unreachable])
        #expect(it.now > .seconds(5) && it.now < .seconds(20))
    }

    @Test mutating func oneCallersOnlyProvidersAreNotAnothers() {
        it.connect(1, 2)
        let only = it.want(cid("a"), .only([peer(1)]))
        #expect(it.take(2).isEmpty)
        it.want(cid("a"))
        it.take(1)
        #expect(it.take(2).type(of: cid("a")) != nil)
        it.dontHave(cid("a"), from: 1)
        #expect(it.takeEffects().finished.map(\.0) == [only])
        #expect(it.client.waiterCount == 1)
    }

    @Test mutating func aPeerOfAnOlderVersionIsAskedForTheBlockOnly() {
        it.connect(1)
        it.want(cid("a"))
        it.take(1)
        it.connect(2)
        #expect(it.take(2, .v1_0_0).isEmpty, "it would take a question for a want of the block")
        it.dontHave(cid("a"), from: 1)
        #expect(it.take(2, .v1_0_0).type(of: cid("a")) == .block)
    }

    @Test mutating func noMoreThanTheLimitIsOutstandingAtOnePeer() {
        it.connect(1)
        let session = it.session()
        it.want(["first"].map(cid), in: session)
        it.take(1)
        it.deliver("first", from: 1, size: 1)
        it.want((0..<1_030).map { cid("\($0)") }, in: session)
        let sent = it.take(1, limit: 2_000).cids(.block)
        #expect(sent.count == 1_024)
        #expect(it.take(1).isEmpty)
        _ = it.takeEffects()
        let text = (0..<1_030).map(String.init).first { cid($0) == sent[0] }
        it.deliver(text ?? "", from: 1)
        #expect(it.takeEffects().wake == [peer(1)], "there is room for one more")
        #expect(it.take(1).entries.count == 1)
    }

    @Test mutating func whatWasSentOnALostWayIsSentAgain() {
        it.connect(1)
        it.want(cid("a"))
        it.take(1)
        _ = it.takeEffects()
        #expect(it.client.outletLost(peer(1), now: it.now).wake == [peer(1)])
        let taken = it.take(1)
        #expect(taken.isFull)
        #expect(taken.type(of: cid("a")) == .block)
    }

    @Test mutating func whatWasAskedForOnALostWayMayStillCome() {
        it.connect(1)
        it.want(cid("a"))
        it.take(1)
        it.effects.merge(it.client.outletLost(peer(1), now: it.now))
        #expect(it.deliver("a", from: 1) == .wanted(cid("a")), "it was on its way")
        #expect(it.take(1).type(of: cid("a")) == nil, "and is not asked for again")
        #expect(it.deliver("a", from: 1) == .alreadyHere)
        #expect(it.deliver("b", from: 1) == .unrequested)
    }

    @Test mutating func whatWasAskedForMayComeWhileThereIsNoWayToAsk() {
        it.connect(1)
        it.want(cid("a"))
        it.take(1)
        it.effects.merge(it.client.disconnected(peer(1), isGone: false, now: it.now))
        it.effects.merge(it.client.revived(peer(1), now: it.now))
        #expect(it.deliver("a", from: 1) == .wanted(cid("a")))
        #expect(it.take(1).type(of: cid("a")) == nil)
        // On a new connection nothing of the old one comes.
        it.want(cid("b"))
        it.take(1)
        it.disconnect(1)
        it.connect(1)
        #expect(it.deliver("b", from: 1) == .unrequested)
    }

    @Test mutating func whatCameAfterItWasTakenBackAndWantedAgainIsNotAskedForOnceMore() {
        it.connect(1)
        let waiter = it.want(cid("a"))
        it.take(1)
        it.abandon(waiter)
        #expect(it.take(1).cancels == [cid("a")])
        it.want(cid("a"))
        #expect(it.deliver("a", from: 1) == .wanted(cid("a")))
        #expect(it.take(1).isEmpty)
    }

    @Test mutating func aPeerOfAnOlderVersionWhoseWayOpensLateIsAskedAgain() {
        it.connect(1)
        it.want(cid("a"))
        it.pass(.milliseconds(1_100))
        #expect(it.take(1, .v1_1_0).isEmpty, "it was given up, and knows no questions")
        var isAsked = false
        for _ in 0..<60 where !isAsked {
            it.pass(.milliseconds(500))
            isAsked = it.take(1, .v1_1_0).type(of: cid("a")) == .block
        }
        #expect(isAsked)
    }

    @Test func quietQuestionsMakeRoomForOthersAndCanBeAskedAgain() {
        var queue = PeerWants()
        func take() -> PeerWants.Taken { queue.take(limit: 99, outstanding: 8, version: .v1_2_0, now: .zero) }
        let old = (0..<6).map { cid("\($0)") }
        for cid in old { queue.want(cid, .block) }
        #expect(take().cids(.block) == old)
        for cid in old { #expect(queue.answered(cid.multihash, has: false) != nil) }
        #expect(take().cancels == old)
        #expect(take().cids(.have) == old, "quietly")
        let new = (6..<9).map { cid("\($0)") }
        for cid in new { queue.want(cid, .have) }
        let taken = take()
        #expect(taken.cids(.have) == new)
        #expect(taken.cancels == Array(old.prefix(3)), "the oldest")
        queue.restore(old[0])
        queue.restore(old[5])
        #expect(queue.hasPending)
        #expect(take().cids(.have) == [old[0]], "the other one is known to it")
    }

    @Test mutating func answersToNoQuestionAreForgotten() {
        it.connect(1)
        it.have(cid("a"), from: 1)
        #expect(it.client.isIdle)
        #expect(!it.client.hasEntries(for: peer(1)))
    }

    @Test mutating func aStormOfWantsAndCancelsLeavesNothing() {
        it.connect(1)
        for round in 0..<10_000 {
            let waiter = it.want(cid("\(round % 7)"), timeout: .seconds(30))
            it.abandon(waiter)
        }
        #expect(it.client.isIdle)
        #expect(it.take(1).isEmpty)
        #expect(it.client.sessions.isEmpty)
        it.pass(.seconds(1))
        #expect(it.client.deadlines.count < 3_000)
    }

    @Test mutating func whatNobodyHasIsLookedForByTheRouterAndThenAgainAndAgain() {
        it.connect(1)
        it.connect(2, as: [])
        it.want(cid("a"))
        it.take(1)
        #expect(it.take(2).isEmpty, "a stranger is not asked")
        it.dontHave(cid("a"), from: 1)
        it.take(1)
        it.pass(.milliseconds(990))
        #expect(it.takeEffects().searches.isEmpty)
        it.pass(.milliseconds(10))
        #expect(it.takeEffects().searches.map(\.cid) == [cid("a")])
        it.pass(.seconds(13))
        #expect(it.takeEffects().searches.map(\.cid) == [cid("a")])
        #expect(it.take(1).type(of: cid("a")) == .have, "it may have forgotten")
        #expect(it.take(2).type(of: cid("a")) == .have, "some others are asked then")
    }

    @Test mutating func aProviderThatTheRouterFindsIsConnectedToAndAsked() {
        it.want(cid("a"))
        it.pass(.seconds(1))
        let search = it.takeEffects().searches.first
        it.effects.merge(it.client.found(Provider(peer(5)), for: search?.session ?? 0, now: it.now))
        #expect(it.takeEffects().dials.map(\.peer) == [peer(5)])
        it.connect(5, as: [])
        #expect(it.take(5).type(of: cid("a")) == .block)
    }

    @Test mutating func aPeerThatWasOfUseOnceIsAskedAfterItCameBackAsAStranger() {
        it.connect(1)
        it.want(cid("a"))
        it.take(1)
        it.deliver("a", from: 1)
        it.disconnect(1)
        it.connect(1, as: [])
        it.want(cid("b"))
        #expect(it.take(1).type(of: cid("b")) == .block)
    }

    // MARK: What may come in

    @Test mutating func whileTooMuchComesInNothingIsAskedForAndThenAllOfIt() {
        it.connect(1, 2)
        it.effects.merge(it.client.throttle(everybody: true, peers: [], now: it.now))
        it.want(cid("a"))
        #expect([it.take(1), it.take(2)].allSatisfy { $0.type(of: cid("a")) != .block })
        it.connect(3)
        #expect(it.take(3).type(of: cid("a")) != .block, "nor of one that comes meanwhile")
        it.have(cid("a"), from: 2)
        #expect(it.take(2).isEmpty)
        it.effects.merge(it.client.throttle(everybody: false, peers: [], now: it.now))
        #expect((1...3).contains { it.take($0).type(of: cid("a")) == .block })
    }

    @Test mutating func onlyThePeerThatSendsTooMuchIsAskedForNothing() {
        it.connect(1, 2)
        it.effects.merge(it.client.throttle(everybody: false, peers: [peer(1)], now: it.now))
        for name in ["a", "b", "c"] { it.want(cid(name)) }
        #expect(it.take(1).cids(.block).isEmpty)
        #expect(it.take(2).cids(.block).count == 3)
    }

    // MARK: Peers that have nothing

    @Test mutating func whoHasNothingIsHardlyAskedHoweverQuicklyItSaysSo() {
        it.connect(1, 2)
        let session = it.session(.preferring([peer(1), peer(2)]))
        it.want((0..<256).map { cid("\($0)") }, in: session)
        // The first one is slow; the second one answers at once, every time.
        let first = it.take(1)
        var owed = first.cids(.block)
        var asked: Set<CID> = []
        while case let taken = it.take(2), !taken.isEmpty {
            let wants = taken.cids(.have) + taken.cids(.block)
            asked.formUnion(wants)
            it.say(false, wants, from: 2)
        }
        #expect(asked.count < 32)
        // And when the first one begins to answer, the second one is still hardly asked.
        it.say(true, first.cids(.have), from: 1)
        let names = Dictionary(uniqueKeysWithValues: (0..<256).map { (cid("\($0)"), "\($0)") })
        while !owed.isEmpty {
            for cid in owed { it.deliver(names[cid] ?? "", from: 1) }
            let wants = it.take(2).cids(.have)
            asked.formUnion(wants)
            it.say(false, wants, from: 2)
            let told = it.take(1)
            it.say(true, told.cids(.have), from: 1)
            owed = told.cids(.block) + it.take(1).cids(.block)
        }
        #expect(asked.count < 40)
        #expect(it.client.isIdle)
    }

    @Test mutating func whoWasAskedWhetherItHasABlockIsNotAskedForItBeforeItAnswers() {
        it.connect(1)
        let session = it.session(.preferring([peer(1)]))
        it.want((0..<8).map { cid("\($0)") }, in: session)
        let taken = it.take(1)
        #expect(!taken.cids(.block).isEmpty && !taken.cids(.have).isEmpty)
        // There is room again, but the answers may be blocks that are on their way.
        for name in (0..<8).map(String.init) where taken.type(of: cid(name)) == .block { it.deliver(name, from: 1) }
        #expect(it.take(1).cids(.block).isEmpty)
        it.have(taken.cids(.have)[0], from: 1)
        #expect(it.take(1).cids(.block) == [taken.cids(.have)[0]])
    }

    @Test mutating func whoIsSilentDoesNotKeepTheOthersFromBeingAsked() {
        it.connect(1, 2)
        let session = it.session(.preferring([peer(1), peer(2)]))
        it.want((0..<100).map { cid("\($0)") }, in: session)
        // The first one never says a word, the second one has only the second half.
        for _ in 0..<4_000 where !it.client.isIdle {
            it.take(1)
            let taken = it.take(2)
            for wanted in taken.cids(.have) + taken.cids(.block) {
                let name = (0..<100).first { cid("\($0)") == wanted } ?? 0
                if name < 50 { it.dontHave(wanted, from: 2) } else { it.deliver("\(name)", from: 2) }
            }
            it.pass(.milliseconds(10))
        }
        #expect(Set(it.client.wantlist) == Set((0..<50).map { cid("\($0)") }))
    }
}
