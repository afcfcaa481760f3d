import Libp2p
import Multiformats
import NIOConcurrencyHelpers
import PeerIdentity
import TestSupport
import Testing

@testable import Routing

@Suite(.timeLimit(.minutes(5))) struct PeerListTests {
    /// TXT records that can be changed, and how often they were asked for.
    private final class Names: Sendable {
        let records = NIOLockedValueBox<[String: [String]]>([:])
        let asked = NIOLockedValueBox(0)

        func lookUp(_ name: String) throws -> [String] {
            asked.withLockedValue { $0 += 1 }
            guard let found = records.withLockedValue({ $0[name] }) else {
                throw Libp2pError(.dialFailed, "no \(name)")
            }
            return found
        }
    }

    private let names = Names()
    private let clock = ManualClock()

    private func list(_ addresses: [String]) throws -> PeerList {
        PeerList(
            try addresses.map { try Multiaddr($0) }, method: .bootstrap,
            sleep: { [clock] in try await clock.sleep(for: $0) }
        ) { [names] in
            try names.lookUp($0)
        }
    }

    private func address(_ number: Int, _ peer: Int) throws -> Multiaddr {
        try Multiaddr("/ip4/192.0.2.\(number)/tcp/4001").appending(peer: Segment.peer(peer).multihash)
    }

    @Test func peersWithAddressesAreThereAtOnceEachWithAllOfThem() async throws {
        let list = try list([
            "\(address(1, 1))", "\(address(2, 2))", "\(address(3, 1))", "\(address(1, 1))", "/ip4/192.0.2.9/tcp/1",
        ])
        var found: [PeerID: [Multiaddr]] = [:]
        for try await case .found(let peer, let addresses) in list.peers() {
            found[peer] = addresses
            if found.count == 2 { break }
        }
        #expect(
            found == [
                try Segment.peer(1): [try address(1, 1), try address(3, 1)], try Segment.peer(2): [try address(2, 2)],
            ])
        #expect(names.asked.withLockedValue { $0 } == 0)
    }

    @Test func namesWithinNamesAreLookedUpAndOtherPeersLeftOut() async throws {
        names.records.withLockedValue {
            $0["_dnsaddr.example.org"] = [
                "dnsaddr=/dnsaddr/a.example.org/p2p/\(try! Segment.peer(1))", "v=spf1", "dnsaddr=/",
            ]
            $0["_dnsaddr.a.example.org"] = ["dnsaddr=\(try! address(1, 1))", "dnsaddr=\(try! address(2, 2))"]
        }
        for try await event in try list(["/dnsaddr/example.org"]).peers() {
            #expect(event == .found(try Segment.peer(1), [try address(1, 1)]))
            break
        }
    }

    @Test func namesThatLeadInACircleEnd() async throws {
        names.records.withLockedValue {
            $0["_dnsaddr.a.org"] =
                Array(repeating: "dnsaddr=/dnsaddr/a.org", count: 9) + ["dnsaddr=\(try! address(1, 1))"]
        }
        for try await event in try list(["/dnsaddr/a.org"]).peers() {
            #expect(event == .found(try Segment.peer(1), [try address(1, 1)]))
            break
        }
        #expect(names.asked.withLockedValue { $0 } == PeerList.mostLookUps)
    }

    @Test func whatChangesIsToldAndAFailureTakesNothingBack() async throws {
        names.records.withLockedValue { $0["_dnsaddr.a.org"] = ["dnsaddr=\(try! address(1, 1))"] }
        let events = NIOLockedValueBox<[PeerDiscoveryEvent]>([])
        let list = try list(["/dnsaddr/a.org"])
        let reader = Task {
            for try await event in list.peers() { events.withLockedValue { $0.append(event) } }
        }
        func lookUps(_ count: Int) async throws {
            while names.asked.withLockedValue({ $0 }) < count {
                clock.advance(by: PeerList.interval)
                try await Task.sleep(for: .milliseconds(1))
            }
        }
        try await lookUps(1)
        names.records.withLockedValue { $0 = [:] }
        try await lookUps(3)
        names.records.withLockedValue { $0["_dnsaddr.a.org"] = ["dnsaddr=\(try! address(2, 2))"] }
        while events.withLockedValue({ $0.count }) < 3 {
            clock.advance(by: PeerList.interval)
            try await Task.sleep(for: .milliseconds(1))
        }
        #expect(
            events.withLockedValue { $0 } == [
                .found(try Segment.peer(1), [try address(1, 1)]), .found(try Segment.peer(2), [try address(2, 2)]),
                .lost(try Segment.peer(1)),
            ])
        reader.cancel()
        try await reader.value
    }
}
