import Blockstore
import Multiformats
import PeerIdentity
import Testing

@testable import Bitswap

@Suite struct ClientTests {
    var client = Client(limits: BitswapLimits(), stallTime: .seconds(5))

    private mutating func want(_ cid: CID, providers: Set<PeerID> = [], deadline: Duration? = nil) -> Client.WaiterID {
        let waiter = client.register(cid, providers: providers, deadline: deadline)
        _ = client.open(waiter, now: .zero)
        return waiter
    }

    private mutating func take(_ peer: PeerID, _ version: BitswapVersion = .v1_2_0, at now: Duration = .zero)
        -> [Message.Entry]
    {
        client.takeEntries(for: peer, limit: 1_024, version: version, now: now).entries
    }

    private func asks(_ entries: [Message.Entry], _ cid: CID) -> WantType? {
        for entry in entries where entry.cid == cid {
            if case .want(let type, _) = entry.kind { return type }
        }
        return nil
    }

    @Test mutating func oneIsAskedForTheBlockAndTheOthersWhetherTheyHaveIt() {
        for number in 1...3 { _ = client.connected(peer(number)) }
        _ = want(cid("a"))
        let types = (1...3).map { asks(take(peer($0)), cid("a")) }
        #expect(types.filter { $0 == .block }.count == 1)
        #expect(types.filter { $0 == .have }.count == 2)
    }

    @Test mutating func nothingIsAskedBeforeTheOwnStoreWasLookedInto() {
        _ = client.connected(peer(1))
        let waiter = client.register(cid("a"), providers: [], deadline: nil)
        #expect(take(peer(1)) == [])
        #expect(client.open(waiter, now: .zero).wake == [peer(1)])
        #expect(asks(take(peer(1)), cid("a")) == .block)
    }

    @Test mutating func dontHaveMovesTheWantToWhoSaidHave() {
        _ = client.connected(peer(1))
        _ = want(cid("a"))
        #expect(asks(take(peer(1)), cid("a")) == .block)
        _ = client.connected(peer(2))
        #expect(asks(take(peer(2)), cid("a")) == .have)
        _ = client.received(presences: [.init(cid: cid("a"), has: true)], from: peer(2))
        #expect(take(peer(2)) == [], "the first one still owes the block")
        let effects = client.received(presences: [.init(cid: cid("a"), has: false)], from: peer(1))
        #expect(effects.wake == [peer(2)])
        #expect(asks(take(peer(2)), cid("a")) == .block)
    }

    @Test mutating func aPeerThatGoesAwayOwesNothing() {
        _ = client.connected(peer(1))
        _ = want(cid("a"))
        _ = take(peer(1))
        _ = client.connected(peer(2))
        _ = take(peer(2))
        _ = client.received(presences: [.init(cid: cid("a"), has: true)], from: peer(2))
        #expect(client.disconnected(peer(1)).wake == [peer(2)])
        #expect(asks(take(peer(2)), cid("a")) == .block)
    }

    @Test mutating func aPeerThatComesBackIsAskedAgain() {
        _ = client.connected(peer(1))
        _ = want(cid("a"))
        _ = take(peer(1))
        _ = client.disconnected(peer(1))
        _ = client.connected(peer(1))
        let (entries, isFull) = client.takeEntries(for: peer(1), limit: 9, version: .v1_2_0, now: .zero)
        #expect(asks(entries, cid("a")) == .block)
        #expect(isFull)
    }

    @Test mutating func silenceMovesTheWantOnButNotBeforeItsTime() {
        _ = client.connected(peer(1))
        _ = want(cid("a"))
        _ = take(peer(1))
        _ = client.connected(peer(2))
        _ = take(peer(2))
        _ = client.received(presences: [.init(cid: cid("a"), has: true)], from: peer(2))
        #expect(client.tick(now: .milliseconds(4_999)).wake.isEmpty == true)
        #expect(client.tick(now: .seconds(5)).wake == [peer(2)])
        #expect(asks(take(peer(2)), cid("a")) == .block)
    }

    @Test mutating func theBlockIsTakenFromWhoWasAskedAndTheOthersAreToldToForgetIt() throws {
        for number in 1...2 { _ = client.connected(peer(number)) }
        let waiter = want(cid("a"))
        for number in 1...2 { _ = take(peer(number)) }
        let (expectation, effects) = client.received(block: cid("a").multihash, from: peer(1))
        guard case .wanted(cid("a")) = expectation else { return #expect(Bool(false), "\(expectation)") }
        #expect(effects.wake == [peer(2)])
        #expect(take(peer(2)).map(\.kind) == [.cancel])
        let (again, _) = client.received(block: cid("a").multihash, from: peer(2))
        guard case .alreadyHere = again else { return #expect(Bool(false), "\(again)") }
        let finished = client.stored(block("a"), from: peer(1)).finished
        #expect(finished.map(\.0) == [waiter])
        #expect(try finished.first?.1.get().peer == peer(1))
        #expect(client.isIdle)
    }

    @Test mutating func aBlockThatNobodyAskedForIsRefused() {
        _ = client.connected(peer(1))
        #expect(!client.awaitsBlock(from: peer(1)))
        _ = want(cid("a"))
        _ = take(peer(1))
        let (other, _) = client.received(block: cid("b").multihash, from: peer(1))
        guard case .unrequested = other else { return #expect(Bool(false), "\(other)") }
        _ = client.connected(peer(2))
        let (fromOther, _) = client.received(block: cid("a").multihash, from: peer(2))
        guard case .unrequested = fromOther else { return #expect(Bool(false), "\(fromOther)") }
    }

    @Test mutating func aLiarIsNamedAndTheNextOneAsked() {
        _ = client.connected(peer(1))
        let waiter = want(cid("a"), deadline: .seconds(9))
        _ = take(peer(1))
        _ = client.connected(peer(2))
        _ = take(peer(2))
        _ = client.received(presences: [.init(cid: cid("a"), has: true)], from: peer(2))
        #expect(client.offended(peer(1)).wake == [peer(2)])
        let finished = client.tick(now: .seconds(9)).finished
        #expect(finished.map(\.0) == [waiter])
        guard case .failure(let error) = finished.first?.1 else { return #expect(Bool(false)) }
        #expect(error.code == .timedOut)
        #expect(error.answers == [peer(1): .sentOtherBytes, peer(2): .have])
    }

    @Test mutating func theLastWaiterTakesTheWantWithIt() {
        _ = client.connected(peer(1))
        let first = want(cid("a"))
        let second = want(cid("a"))
        #expect(take(peer(1)).count == 1, "two callers share one request")
        #expect(client.abandon(first, .cancelled, "").wake.isEmpty == true)
        #expect(client.abandon(second, .cancelled, "").wake == [peer(1)])
        #expect(take(peer(1)).map(\.kind) == [.cancel])
        #expect(client.isIdle)
    }

    @Test mutating func aWantThatWasNeverSentNeedsNoCancel() {
        _ = client.connected(peer(1))
        let waiter = want(cid("a"))
        #expect(client.abandon(waiter, .cancelled, "").wake.isEmpty == true)
        #expect(take(peer(1)) == [])
    }

    @Test mutating func onlyTheNamedProvidersAreAsked() {
        for number in 1...3 { _ = client.connected(peer(number)) }
        _ = want(cid("a"), providers: [peer(2)])
        #expect(take(peer(1)) == [])
        #expect(asks(take(peer(2)), cid("a")) == .block)
        #expect(take(peer(3)) == [])
    }

    @Test mutating func aPeerOfAnOlderVersionIsAskedForTheBlockOnly() {
        _ = client.connected(peer(1))
        _ = want(cid("a"))
        _ = take(peer(1))
        _ = client.connected(peer(2))
        #expect(take(peer(2), .v1_0_0) == [], "it would take a question for a want of the block")
        _ = client.received(presences: [.init(cid: cid("a"), has: false)], from: peer(1))
        #expect(asks(take(peer(2), .v1_0_0), cid("a")) == .block)
    }

    @Test mutating func noMoreThanTheLimitIsOutstandingAtOnePeer() {
        _ = client.connected(peer(1))
        for number in 0..<1_030 { _ = want(cid("\(number)")) }
        var sent = take(peer(1)) + take(peer(1))
        #expect(sent.count == 1_024)
        let (expectation, effects) = client.received(block: sent[0].cid.multihash, from: peer(1))
        guard case .wanted = expectation else { return #expect(Bool(false)) }
        #expect(effects.wake == [peer(1)], "there is room for one more")
        sent = take(peer(1))
        #expect(sent.count == 1)
    }

    @Test mutating func whatWasSentOnALostWayIsSentAgain() {
        _ = client.connected(peer(1))
        _ = want(cid("a"))
        _ = take(peer(1))
        #expect(client.outletLost(peer(1)).wake == [peer(1)])
        let (entries, isFull) = client.takeEntries(for: peer(1), limit: 9, version: .v1_2_0, now: .zero)
        #expect(isFull)
        #expect(asks(entries, cid("a")) == .block)
    }

    @Test mutating func answersToNoQuestionAreForgotten() {
        _ = client.connected(peer(1))
        _ = client.received(presences: [.init(cid: cid("a"), has: true)], from: peer(1))
        #expect(client.isIdle)
    }

    @Test mutating func aStormOfWantsAndCancelsLeavesNothing() {
        _ = client.connected(peer(1))
        for round in 0..<10_000 {
            let waiter = want(cid("\(round % 7)"))
            _ = client.abandon(waiter, .cancelled, "")
        }
        #expect(client.isIdle)
        #expect(take(peer(1)) == [])
    }
}
