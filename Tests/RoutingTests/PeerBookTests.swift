import Libp2p
import Multiformats
import PeerIdentity
import TestSupport
import Testing

@testable import Routing

@Suite struct PeerBookTests {
    private var book: PeerBook
    private var now = Duration.seconds(100)
    private let low: PeerID
    private let high: PeerID
    private let own: PeerID
    private let address: [Multiaddr]

    init() throws {
        let peers = try (1...3).map { try Segment.peer($0) }.sorted()
        (low, own, high) = (peers[0], peers[1], peers[2])
        address = [try Multiaddr("/ip4/10.77.0.9/tcp/1")]
        book = PeerBook(ownPeer: own, isReachable: true, random: .seeded(1))
    }

    /// Lets time pass; returns what was dialled, each with when, in milliseconds from now.
    private mutating func run(for duration: Duration) -> [(PeerID, Int64)] {
        let start = now
        let end = now + duration
        var dials: [(PeerID, Int64)] = []
        while let due = book.nextDue, due <= end {
            now = max(now, due)
            let taken = book.takeDials(now: now)
            dials += taken.map { ($0.peer, Int64((now - start) / .milliseconds(1))) }
            if taken.isEmpty { now += .milliseconds(1) }
        }
        now = end
        return dials
    }

    @Test mutating func theLowerPeerDialsAtOnceAndTheHigherWaitsAMoment() {
        book.found(high, at: address, by: .mdns, now: now)
        book.found(low, at: address, by: .mdns, now: now)
        let dials = run(for: .seconds(2))
        #expect(dials.map(\.0) == [high, low])
        #expect(dials[0].1 <= 50)
        #expect(dials[1].1 >= 400 && dials[1].1 <= 500)
    }

    @Test mutating func whoCannotBeDialledDoesNotWait() {
        book = PeerBook(ownPeer: own, isReachable: false, random: .seeded(1))
        book.found(low, at: address, by: .mdns, now: now)
        #expect(run(for: .milliseconds(60)).map(\.0) == [low])
    }

    @Test mutating func whoHasDialledUsIsNotDialled() {
        book.found(low, at: address, by: .mdns, now: now)
        book.connected(low, at: nil, now: now)
        #expect(run(for: .seconds(600)).isEmpty)
        #expect(book.origin(of: low) == PeerBook.Origin(method: .mdns, since: .seconds(100)))
    }

    @Test mutating func whoIsConnectedBeforeItIsFoundIsNotDialled() {
        book.connected(low, at: nil, now: now)
        now += .seconds(60)
        book.found(low, at: address, by: .mdns, now: now)
        #expect(run(for: .seconds(600)).isEmpty)
        #expect(book.origin(of: low)?.since == .seconds(160))
        book.disconnected(low, now: now)
        #expect(run(for: .seconds(5)).map(\.0) == [low])
    }

    @Test mutating func aLostConnectionIsMadeAgainAndFailuresMakeItRarer() {
        book.found(high, at: address, by: .mdns, now: now)
        _ = run(for: .seconds(1))
        book.connected(high, at: address[0], now: now)
        book.dialEnded(high, failed: nil, now: now)
        now += .seconds(60)
        book.disconnected(high, now: now)
        var waits: [Int64] = []
        for _ in 0..<12 {
            let dials = run(for: .seconds(130))
            #expect(dials.count == 1)
            waits.append(dials.first?.1 ?? 0)
            book.dialEnded(high, failed: .unreachable, now: now)
        }
        #expect(waits[0] <= 1_000)
        #expect(waits[5] > 15_000)
        #expect(waits.allSatisfy { $0 <= 120_000 })
    }

    @Test mutating func anImpostorIsLeftAloneForAMinute() {
        book.found(high, at: address, by: .mdns, now: now)
        _ = run(for: .seconds(1))
        book.dialEnded(high, failed: .wrongPeer, now: now)
        #expect(run(for: .seconds(59)).isEmpty)
        #expect(run(for: .seconds(10)).count == 1)
    }

    @Test mutating func whoHasMovedIsDialledSoonAndNotAtEveryWord() throws {
        book.found(high, at: address, by: .mdns, now: now)
        _ = run(for: .seconds(1))
        for _ in 0..<8 {
            book.dialEnded(high, failed: .unreachable, now: now)
            _ = run(for: .seconds(200))
        }
        book.dialEnded(high, failed: .unreachable, now: now)
        let start = now
        for number in 1...100 {
            book.found(high, at: [try Multiaddr("/ip4/10.77.1.1/tcp/\(number)")], by: .mdns, now: now)
            now += .milliseconds(1)
        }
        now = start
        #expect(run(for: .seconds(2)).count == 1)
    }

    @Test mutating func whoIsLostIsForgottenWhenTheConnectionIsGone() {
        book.found(high, at: address, by: .mdns, now: now)
        book.connected(high, at: nil, now: now)
        book.lost(high, by: .mdns, now: now)
        #expect(book.count == 1 && book.origin(of: high) != nil)
        now += .seconds(60)
        book.disconnected(high, now: now)
        #expect(book.count == 0)
        #expect(run(for: .seconds(600)).isEmpty)
        // And one that is not connected, at once.
        book.found(high, at: address, by: .mdns, now: now)
        book.lost(high, by: .mdns, now: now)
        #expect(book.count == 0)
    }

    @Test mutating func addressesOfAllWhoFoundItAreMergedThoseOfTheChosenFirst() throws {
        let others = try (1...32).map { try Multiaddr("/ip4/10.77.0.8/tcp/\($0)") }
        book.found(high, at: others, by: .mdns, now: now)
        book.found(high, at: address, by: .list, now: now)
        #expect(book.addresses(of: high) == address + others.dropLast())
        book.lost(high, by: .mdns, now: now)
        #expect(book.addresses(of: high) == address)
    }

    @Test mutating func dialsAreBoundedAtATimeAndInASecond() throws {
        for number in 10..<210 { book.found(try Segment.peer(number), at: address, by: .mdns, now: now) }
        #expect(run(for: .seconds(10)).count == 8, "as many as may be under way")
        var begun = 8
        var running: [PeerID] = []
        for number in 10..<210 { running.append(try Segment.peer(number)) }
        for _ in 0..<5 {
            for peer in running { book.dialEnded(peer, failed: .wrongPeer, now: now) }
            begun += run(for: .milliseconds(100)).count
        }
        #expect(begun <= 8 * 6)
        // The burst is spent: 16 a second.
        var inTenSeconds = 0
        for _ in 0..<1_000 {
            for peer in running { book.dialEnded(peer, failed: .wrongPeer, now: now) }
            inTenSeconds += run(for: .milliseconds(10)).count
        }
        #expect(inTenSeconds <= 16 * 10 + 32)
    }

    @Test mutating func connectionsWithPeersThatNobodyChoseAreBounded() throws {
        var limits = PeerBook.Limits()
        limits.connections = 3
        book = PeerBook(ownPeer: own, isReachable: false, limits: limits, random: .seeded(1))
        for number in 10..<20 { book.found(try Segment.peer(number), at: address, by: .mdns, now: now) }
        let first = run(for: .seconds(5)).map(\.0)
        #expect(first.count == 3)
        for peer in first {
            book.connected(peer, at: address[0], now: now)
            book.dialEnded(peer, failed: nil, now: now)
        }
        #expect(run(for: .seconds(60)).isEmpty && book.nextDue == nil)
        book.found(try Segment.peer(50), at: address, by: .bootstrap, now: now)
        #expect(run(for: .seconds(5)).map(\.0) == [try Segment.peer(50)])
        book.lost(first[0], by: .mdns, now: now)
        book.disconnected(first[0], now: now)
        #expect(run(for: .seconds(5)).count == 1)
    }

    @Test mutating func asManyPeersAsAllowedAndOneMore() throws {
        var limits = PeerBook.Limits()
        limits.peers = 5
        book = PeerBook(ownPeer: own, isReachable: true, limits: limits, random: .seeded(1))
        for number in 10..<15 {
            let reception = book.found(try Segment.peer(number), at: address, by: .mdns, now: now)
            #expect(reception == .new)
        }
        for peer in [try Segment.peer(15), own] {
            let reception = book.found(peer, at: address, by: .mdns, now: now)
            #expect(reception == .refused && book.count == 5)
        }
        let reception = book.found(try Segment.peer(10), at: address, by: .list, now: now)
        #expect(reception == .known)
    }

    @Test mutating func whoIsOnlyRememberedIsGivenUp() throws {
        book.found(high, at: address, by: .remembered, now: now)
        for _ in 0..<3 {
            #expect(run(for: .seconds(130)).count == 1)
            book.dialEnded(high, failed: .unreachable, now: now)
        }
        #expect(book.count == 0)
    }

    @Test mutating func whereWasReachedIsRememberedTheLatestFirst() throws {
        var limits = PeerBook.Limits()
        limits.remembered = 2
        book = PeerBook(ownPeer: own, isReachable: true, limits: limits, random: .seeded(1))
        for peer in [low, high, own, low] { book.connected(peer, at: address[0], now: now) }
        book.connected(high, at: nil, now: now)
        #expect(book.remembered == [Provider(low, addresses: address), Provider(own, addresses: address)])
    }
}
