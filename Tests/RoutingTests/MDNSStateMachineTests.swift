import Foundation
import Libp2p
import Multiformats
import NIOCore
import PeerIdentity
import TestSupport
import Testing

@testable import Routing

@Suite struct MDNSStateMachineTests {
    private var segment = Segment()

    private func addresses(_ numbers: Int...) throws -> [PeerID: [Multiaddr]] {
        try Dictionary(
            uniqueKeysWithValues: numbers.map {
                (try Segment.peer($0), [try Multiaddr("/ip4/\(Segment.ip($0))/tcp/4001")])
            })
    }

    /// What a neighbour says, from its own address or another's.
    private mutating func say(
        _ message: DNSMessage, from source: Int, to host: Int = 0, port: Int = MDNSStateMachine.port
    ) throws {
        let address = try SocketAddress(ipAddress: Segment.ip(source), port: port)
        segment.perform(
            segment.hosts[host].machine.received(message.bytes, from: address, on: Segment.link, now: segment.now),
            of: host)
    }

    private func answer(_ name: String, _ strings: [String], seconds: UInt32 = 600, flush: Bool = false) throws
        -> DNSMessage
    {
        let name = try #require(DNSName("\(name)._p2p._udp.local"))
        return DNSMessage(
            flags: DNSMessage.responseFlag,
            answers: [
                DNSRecord(name: MDNSMessages.service, type: .pointer, lifetime: seconds, content: .pointer(name))
            ],
            additionals: [
                DNSRecord(
                    name: name, type: .text, replacesOthers: flush, lifetime: seconds,
                    content: .text(strings.map { Array($0.utf8) }))
            ])
    }

    private func dnsaddr(_ address: String, _ peer: Int) throws -> String {
        "dnsaddr=\(address)/p2p/\(try Segment.peer(peer))"
    }

    // MARK: Finding each other

    @Test mutating func twoNodesFindEachOtherWithinAMomentAndSayGoodbye() throws {
        try segment.add(1)
        try segment.add(2)
        segment.run(for: .milliseconds(200))
        #expect(segment.hosts[0].found == (try addresses(2)))
        #expect(segment.hosts[1].found == (try addresses(1)))
        segment.perform(segment.hosts[1].machine.stop(), of: 1)
        segment.hosts[1].isOn = false
        segment.run(for: .milliseconds(1))
        #expect(segment.hosts[0].events.last == .lost(try Segment.peer(2)))
    }

    @Test mutating func aNodeThatComesLaterFindsWhoHasBeenThereForLong() throws {
        try segment.add(1)
        segment.run(for: .seconds(5_000))
        try segment.add(2)
        segment.run(for: .milliseconds(200))
        #expect(segment.hosts[1].found == (try addresses(1)))
        #expect(segment.hosts[0].found == (try addresses(2)))
    }

    @Test mutating func aNodeWithoutAddressesFindsAndIsNotFound() throws {
        try segment.add(1)
        try segment.add(2, tells: 0)
        segment.run(for: .seconds(10))
        #expect(segment.hosts[1].found == (try addresses(1)))
        #expect(segment.hosts[0].events.isEmpty)
    }

    @Test mutating func whoFallsSilentIsAskedForAndForgotten() throws {
        try segment.add(1)
        try segment.add(2)
        segment.run(for: .seconds(10))
        segment.hosts[1].isOn = false
        let before = segment.packets
        segment.run(for: .seconds(560))
        #expect(segment.hosts[0].found.count == 1)
        #expect(segment.packets > before)
        segment.run(for: .seconds(60))
        #expect(segment.hosts[0].events.last == .lost(try Segment.peer(2)))
    }

    @Test mutating func whatIsThereStaysKnown() throws {
        for number in 1...3 { try segment.add(number) }
        segment.run(for: .seconds(7_200))
        for host in segment.hosts {
            #expect(host.found.count == 2)
            #expect(!host.events.contains { if case .lost = $0 { true } else { false } })
        }
    }

    @Test mutating func aNodeThatMovesToAnotherAddressIsFoundThere() throws {
        try segment.add(1)
        try segment.add(2)
        segment.run(for: .seconds(5))
        let old = segment.hosts[1]
        let moved = try Multiaddr("/ip4/\(Segment.ip(9))/tcp/4001").appending(peer: Segment.peer(2).multihash)
        segment.perform(
            segment.hosts[1].machine.networkChanged(
                to: [try Segment.network(9)], links: [Segment.link], addresses: [moved], now: segment.now), of: 1)
        segment.run(for: .milliseconds(200))
        #expect(segment.hosts[0].found == [try Segment.peer(2): [try #require(moved.removingPeer())]])
        #expect(segment.hosts[0].events.count == 3, "found, lost by its goodbye, and found under a new name")
        #expect(old.interface != segment.hosts[1].machine.interfaces[2]?.network)
    }

    @Test mutating func anInterfaceThatGoesTakesItsPeersAlong() throws {
        try segment.add(1)
        try segment.add(2)
        segment.run(for: .seconds(5))
        segment.perform(
            segment.hosts[0].machine.networkChanged(to: [], links: [], addresses: [], now: segment.now), of: 0)
        #expect(segment.hosts[0].events.last == .lost(try Segment.peer(2)))
        let host = segment.hosts[0]
        segment.perform(
            segment.hosts[0].machine.networkChanged(
                to: [host.interface], links: [Segment.link], addresses: host.addresses, now: segment.now), of: 0)
        segment.run(for: .milliseconds(1_200))
        #expect(segment.hosts[0].found == (try addresses(2)))
    }

    @Test mutating func answersAreSplitWhenTheyDoNotFit() throws {
        try segment.add(1, tells: 16)
        try segment.add(2)
        segment.run(for: .milliseconds(200))
        let own = try #require(segment.hosts[0].machine.interfaces[2]?.own)
        let messages = MDNSMessages.answer(own, seconds: 600)
        #expect(messages.count > 1)
        #expect(messages.allSatisfy { $0.bytes.count <= MDNSMessages.packetBytes })
        #expect(segment.hosts[1].found[try Segment.peer(1)]?.count == 16)
    }

    @Test func peerNamesHave32To63Characters() throws {
        var random = RandomSource.seeded(7)
        var lengths: Set<Int> = []
        for _ in 0..<2_000 {
            let name = MDNSMessages.peerName(&random)
            lengths.insert(name.count)
            #expect(MDNSMessages.service.prefixed(by: name) != nil)
        }
        #expect(lengths == Set(32...63))
    }

    // MARK: Traffic

    @Test mutating func aSilentNetworkIsAskedEverMoreRarely() throws {
        try segment.add(1, tells: 0)
        segment.run(for: .seconds(10))
        let first = segment.packets
        segment.run(for: .seconds(3_600))
        #expect(first <= 5)
        #expect(segment.packets - first <= 10)
        segment.run(for: .seconds(10 * 3_600))
        #expect(segment.packets - first <= 22, "once an hour in the end")
    }

    @Test mutating func manyNodesTakeLittleOfTheNetwork() throws {
        // `make segment` has 200, which a debug build takes too long for.
        let count = ProcessInfo.processInfo.environment["SEGMENT_NODES"].flatMap { Int($0) } ?? 50
        for number in 1...count {
            try segment.add(number)
            segment.run(for: .milliseconds(20))
        }
        segment.run(for: .seconds(30))
        for host in segment.hosts { #expect(host.found.count == count - 1) }
        #expect(segment.packets < count * 20, "\(segment.packets) in the first half minute")
        #expect(segment.bytes < count * count * 100, "\(segment.bytes) bytes in the first half minute")
        let (packets, bytes) = (segment.packets, segment.bytes)
        segment.run(for: .seconds(1_800))
        print(
            "\(count) nodes: \(packets) packets, \(bytes) bytes in the first half minute;",
            "\(segment.packets - packets) packets, \(segment.bytes - bytes) bytes in the half hour after it")
        for host in segment.hosts { #expect(host.found.count == count - 1) }
        let perNode = Double(segment.bytes - bytes) / 1_800 / Double(count)
        #expect(perNode < 3, "\(perNode) bytes a second for each node")
        let sent = Double(segment.packets - packets) / Double(count)
        #expect(sent < 12, "\(sent) packets of each node in half an hour")
    }

    @Test mutating func knownPeersAreNotToldAgain() throws {
        try segment.add(1)
        segment.run(for: .seconds(20))
        let own = try #require(segment.hosts[0].machine.interfaces[2]?.own)
        let before = segment.packets
        try say(MDNSMessages.query(known: [(own.name, 400)], limit: 1)[0], from: 5)
        segment.run(for: .seconds(1))
        #expect(segment.packets == before)
        try say(MDNSMessages.query(known: [(own.name, 200)], limit: 1)[0], from: 5)
        segment.run(for: .seconds(1))
        #expect(segment.packets == before + 1, "what is half gone is told again")
        // The name in a second message takes the answer back.
        segment.run(for: .seconds(5))
        var first = MDNSMessages.query(known: [], limit: 1)[0]
        first.flags = DNSMessage.truncatedFlag
        try say(first, from: 5)
        segment.run(for: .milliseconds(300))
        var second = MDNSMessages.query(known: [(own.name, 400)], limit: 1)[0]
        second.questions = []
        try say(second, from: 5)
        segment.run(for: .seconds(2))
        #expect(segment.packets == before + 1)
    }

    @Test func knownNamesAreCutIntoMessages() throws {
        let names = (0..<100).compactMap {
            MDNSMessages.service.prefixed(by: Array("name\($0)-\(String(repeating: "x", count: 40))".utf8))
        }
        let messages = MDNSMessages.query(known: names.map { ($0, 500) }, limit: 16)
        #expect(messages.count > 3)
        #expect(messages.allSatisfy { $0.bytes.count <= MDNSMessages.packetBytes })
        #expect(messages.dropLast().allSatisfy(\.isTruncated) && messages.last?.isTruncated == false)
        #expect(messages.map(\.questions.count) == [1] + Array(repeating: 0, count: messages.count - 1))
        #expect(messages.flatMap(\.answers).count == 100)
        #expect(MDNSMessages.query(known: names.map { ($0, 500) }, limit: 2).count == 2)
    }

    @Test mutating func manyWhoAskAtOnceGetOneAnswer() throws {
        try segment.add(1)
        segment.run(for: .seconds(20))
        let before = segment.packets
        for asker in 2..<150 { try say(MDNSMessages.query(known: [], limit: 1)[0], from: asker) }
        segment.run(for: .milliseconds(900))
        #expect(segment.packets == before + 1)
    }

    @Test(arguments: [(64, 0), (65, 1)])
    mutating func soManyWhoAskCanTakeTheirQuestionBack(_ count: Int, _ answers: Int) throws {
        try segment.add(1)
        segment.run(for: .seconds(20))
        let own = try #require(segment.hosts[0].machine.interfaces[2]?.own)
        let before = segment.packets
        var first = MDNSMessages.query(known: [], limit: 1)[0]
        first.flags = DNSMessage.truncatedFlag
        var second = MDNSMessages.query(known: [(own.name, 400)], limit: 1)[0]
        second.questions = []
        for asker in 2..<2 + count { try say(first, from: asker) }
        for asker in 2..<2 + count { try say(second, from: asker) }
        segment.run(for: .seconds(2))
        #expect(segment.packets == before + answers)
    }

    @Test(arguments: [(32, 32), (33, 32)]) func soManyAddressesAreTold(_ count: Int, _ told: Int) throws {
        let peer = try Segment.peer(1)
        let network = try Segment.network(1)
        var machine = MDNSStateMachine(ownPeer: peer, random: .seeded(1))
        let addresses = try (0..<count).map {
            try Multiaddr("/ip4/\(Segment.ip(1))/tcp/\(4001 + $0)").appending(peer: peer.multihash)
        }
        _ = machine.networkChanged(to: [network], links: [Segment.link], addresses: addresses, now: .zero)
        let own = try #require(machine.interfaces[network.index]?.own)
        #expect(own.strings == addresses.prefix(told).map { Array("dnsaddr=\($0)".utf8) })
    }

    // MARK: Unicast and other questions

    @Test mutating func whoAsksForAnAnswerOfItsOwnGetsOneWithinALimit() throws {
        try segment.add(1)
        segment.run(for: .seconds(20))
        var query = MDNSMessages.query(known: [], limit: 1)[0]
        query.questions[0].wantsUnicast = true
        let address = try SocketAddress(ipAddress: Segment.ip(7), port: MDNSStateMachine.port)
        var packets: [MDNSStateMachine.Packet] = []
        for _ in 0..<21 {
            let effects = segment.hosts[0].machine.received(
                query.bytes, from: address, on: Segment.link, now: segment.now)
            packets += effects.packets
            segment.hosts[0].hits += effects.hits
        }
        #expect(packets.count == 20 && packets.allSatisfy { $0.destination == address })
        #expect(segment.hosts[0].hits == [.unicastAnswers])
        #expect(try DNSMessage(packets[0].bytes).answers.first?.lifetime == 600)
    }

    @Test mutating func aPlainResolverGetsItsQuestionAndAShortLife() throws {
        try segment.add(1)
        segment.run(for: .seconds(1))
        var query = MDNSMessages.query(known: [], limit: 1)[0]
        query.id = 77
        let address = try SocketAddress(ipAddress: Segment.ip(7), port: 40_000)
        let effects = segment.hosts[0].machine.received(query.bytes, from: address, on: Segment.link, now: segment.now)
        let told = try DNSMessage(try #require(effects.packets.first).bytes)
        #expect(effects.packets.first?.destination == address)
        #expect(told.id == 77 && told.questions == query.questions && told.isResponse)
        #expect(told.answers.allSatisfy { $0.lifetime <= 10 })
    }

    @Test mutating func itTellsWhatServiceThereIsAndAnswersForItsNames() throws {
        try segment.add(1)
        segment.run(for: .seconds(20))
        let own = try #require(segment.hosts[0].machine.interfaces[2]?.own)
        for (name, type) in [
            (MDNSMessages.services, DNSType.pointer), (own.name, .text), (own.name, .service), (own.host, .ip4),
            (own.host, .any),
        ] {
            let before = segment.packets
            try say(DNSMessage(questions: [DNSQuestion(name: name, type: type)]), from: 5)
            segment.run(for: .seconds(2))
            #expect(segment.packets > before, "\(name) \(type)")
        }
        let before = segment.packets
        try say(DNSMessage(questions: [DNSQuestion(name: own.host, type: .text)]), from: 5)
        segment.run(for: .seconds(2))
        #expect(segment.packets == before)
    }

    // MARK: Bad neighbours

    @Test mutating func onlyAddressesOfTheSegmentAreBelieved() throws {
        try segment.add(1)
        try say(
            answer(
                "bad",
                [
                    dnsaddr("/ip4/192.0.2.1/tcp/1", 5), dnsaddr("/ip4/127.0.0.1/tcp/1", 5),
                    dnsaddr("/dns4/example.org/tcp/1", 5),
                    dnsaddr("/ip6/fe80::1/tcp/1", 5), dnsaddr("/ip4/10.77.0.9/udp/1/quic-v1", 5),
                    "dnsaddr=/ip4/10.77.0.9/tcp/1",
                    "dnsaddr=", "dnsaddr=/ip4", "other=1", dnsaddr("/ip4/10.77.0.9/tcp/1", 1),
                ]), from: 5)
        #expect(segment.hosts[0].events.isEmpty)
        try say(answer("good", [dnsaddr("/ip4/\(Segment.ip(5))/tcp/4001", 5)]), from: 5)
        #expect(segment.hosts[0].found == (try addresses(5)))
    }

    @Test mutating func whatComesFromElsewhereIsPassedOver() throws {
        try segment.add(1)
        let told = try answer("far", [dnsaddr("/ip4/\(Segment.ip(5))/tcp/4001", 5)])
        let far = try SocketAddress(ipAddress: "192.0.2.7", port: MDNSStateMachine.port)
        segment.perform(
            segment.hosts[0].machine.received(told.bytes, from: far, on: Segment.link, now: segment.now), of: 0)
        try say(told, from: 5, port: 9_999)
        #expect(segment.hosts[0].events.isEmpty)
        #expect(segment.hosts[0].hits == [.offLink, .offLink])
        segment.perform(
            segment.hosts[0].machine.received(
                [1, 2, 3], from: segment.hosts[0].address, on: Segment.link, now: segment.now),
            of: 0)
        #expect(segment.hosts[0].hits.last == .malformed)
    }

    @Test mutating func anothersGoodbyeIsPassedOver() throws {
        try segment.add(1)
        let told = [try dnsaddr("/ip4/\(Segment.ip(5))/tcp/4001", 5)]
        try say(answer("name", told), from: 5)
        try say(answer("name", told, seconds: 0), from: 6)
        #expect(segment.hosts[0].found == (try addresses(5)))
        #expect(segment.hosts[0].hits == [.goodbye])
        // One machine tells over IPv4 and IPv6, and takes it back over either.
        try say(answer("name", told), from: 7)
        try say(answer("name", told, seconds: 0), from: 7)
        #expect(segment.hosts[0].found.isEmpty)
        try say(answer("name", told), from: 5)
        try say(answer("name", told, seconds: 0), from: 5)
        #expect(segment.hosts[0].found.isEmpty)
    }

    @Test mutating func theAddressesOfWhoTellsComeFirst() throws {
        try segment.add(1)
        try say(
            answer("a", [dnsaddr("/ip4/10.77.0.2/tcp/9", 5), dnsaddr("/ip4/\(Segment.ip(5))/tcp/4001", 5)]), from: 5)
        #expect(segment.hosts[0].found[try Segment.peer(5)]?.first == (try Multiaddr("/ip4/\(Segment.ip(5))/tcp/4001")))
        #expect(segment.hosts[0].found[try Segment.peer(5)]?.count == 2)
    }

    @Test mutating func newAddressesReplaceOldOnesWhenTheySaySo() throws {
        try segment.add(1)
        try say(answer("a", [dnsaddr("/ip4/10.77.0.2/tcp/9", 5)]), from: 5)
        segment.now += .seconds(5)
        try say(answer("a", [dnsaddr("/ip4/10.77.0.3/tcp/9", 5)], flush: true), from: 5)
        #expect(segment.hosts[0].found == [try Segment.peer(5): [try Multiaddr("/ip4/10.77.0.3/tcp/9")]])
    }

    @Test mutating func namesAndAddressesUpToTheirLimitsAndOneMore() throws {
        try segment.add(1)
        for number in 0..<129 {
            try say(answer("n\(number)", [dnsaddr("/ip4/10.77.0.9/tcp/\(number + 1)", 9)]), from: 9)
        }
        #expect(segment.hosts[0].machine.cache.nameCount == 128)
        #expect(segment.hosts[0].hits == [.namesPerSource])
        segment.hosts[0].hits = []
        for source in 10..<17 {
            for number in 0..<128 { try say(answer("s\(source)n\(number)", []), from: source) }
        }
        #expect(segment.hosts[0].machine.cache.nameCount == 1_024 && segment.hosts[0].hits.isEmpty)
        try say(answer("last", []), from: 20)
        #expect(segment.hosts[0].machine.cache.nameCount == 1_024 && segment.hosts[0].hits == [.names])
        // All of it runs out.
        segment.run(for: .seconds(700))
        #expect(segment.hosts[0].machine.cache.isEmpty && segment.hosts[0].found.isEmpty)
        segment.hosts[0].hits = []
        try say(answer("a", (1...17).map { try dnsaddr("/ip4/10.77.0.9/tcp/\($0)", 9) }), from: 9)
        #expect(segment.hosts[0].found[try Segment.peer(9)]?.count == 16)
        #expect(segment.hosts[0].hits == [.addressesPerName])
    }

    @Test mutating func anyBytesAtAll() throws {
        try segment.add(1)
        segment.run(for: .seconds(5))
        let told = try answer("a", (1...5).map { try dnsaddr("/ip4/10.77.0.9/tcp/\($0)", 9) }).bytes
        var generator = SplitMix64(seed: 0xbad)
        for _ in 0..<5_000 {
            var bytes = told
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                bytes[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            let source = try SocketAddress(
                ipAddress: Segment.ip(Int.random(in: 2..<400, using: &generator)), port: 5_353)
            segment.perform(
                segment.hosts[0].machine.received(bytes, from: source, on: Segment.link, now: segment.now), of: 0)
        }
        #expect(segment.hosts[0].machine.cache.nameCount <= 1_024)
        #expect(segment.hosts[0].hits.contains(.malformed))
    }
}
