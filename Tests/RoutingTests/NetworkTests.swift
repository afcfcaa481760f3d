import Libp2p
import Multiformats
import PeerIdentity
import Testing

@testable import Routing

@Suite struct NetworkTests {
    private func ip(_ text: String) throws -> IPAddress {
        try #require(IPAddress(try Multiaddr(text.contains(":") ? "/ip6/\(text)" : "/ip4/\(text)")))
    }

    @Test(arguments: [
        ("10.77.0.1", 16, "10.77.255.255", true), ("10.77.0.1", 16, "10.78.0.0", false),
        ("10.0.0.1", 0, "1.2.3.4", true),
        ("192.0.2.129", 25, "192.0.2.128", true), ("192.0.2.129", 25, "192.0.2.127", false),
        ("192.0.2.1", 32, "192.0.2.1", true), ("192.0.2.1", 32, "192.0.2.0", false), ("10.0.0.1", 99, "10.0.0.1", true),
        ("fd00::1", 64, "fd00::2:3", true), ("fd00::1", 64, "fd00:0:0:1::1", false), ("fd00::1", 0, "10.0.0.1", false),
    ])
    func aNetworkContainsItsAddresses(own: String, length: Int, other: String, isIn: Bool) throws {
        #expect(IPNetwork(try ip(own), prefixLength: length).contains(try ip(other)) == isIn)
    }

    @Test func linkLocalAndLoopbackAddressesAreKnown() throws {
        for text in ["fe80::1", "febf::1", "169.254.1.1"] { #expect(try ip(text).isLinkLocal) }
        for text in ["fec0::1", "169.253.1.1"] { #expect(try !ip(text).isLinkLocal) }
        for text in ["127.1.2.3", "::1"] { #expect(try ip(text).isLoopback) }
        #expect(try !ip("::2").isLoopback)
    }

    @Test func thisMachineHasALoopback() throws {
        let loopback = try #require(NetworkInterface.all().first { $0.isLoopback })
        #expect(loopback.index > 0)
        #expect(loopback.networks.contains(IPNetwork(try ip("127.0.0.1"), prefixLength: 8)))
    }

    @Test func whatWasSeenAMomentAgoIsNotLookedUpAgain() throws {
        let now = NetworkInterface.all(within: .zero)
        #expect(now == NetworkInterface.all(within: .seconds(60)))
        #expect(now.contains { $0.isLoopback })
    }

    @Test func unreadEventsAreOneForEachPeer() throws {
        let (a, b) = (try Segment.peer(1), try Segment.peer(2))
        let (first, second) = ([try Multiaddr("/ip4/10.0.0.1/tcp/1")], [try Multiaddr("/ip4/10.0.0.1/tcp/2")])
        var queue = PeerEventQueue()
        queue.add(.found(a, first))
        queue.add(.found(b, first))
        queue.add(.found(a, second))
        queue.add(.lost(b))
        #expect(queue.count == 1)
        #expect(queue.next() == .found(a, second))
        #expect(queue.next() == nil)
        queue.add(.lost(a))
        queue.add(.found(a, first))
        queue.add(.lost(a))
        queue.add(.lost(b))
        #expect(queue.next() == .lost(a))
        #expect(queue.next() == nil && queue.count == 0)
    }
}
