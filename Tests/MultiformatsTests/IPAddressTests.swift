import Multiformats
import TestSupport
import Testing

@Suite struct IPAddressTests {
    /// Forms of RFC 4291 and the way RFC 5952 writes them.
    @Test(arguments: [
        ("::", "::"), ("::1", "::1"), ("0:0:0:0:0:0:0:0", "::"), ("0:0:0:0:0:0:0:1", "::1"), ("1::", "1::"),
        ("ABCD:EF01:2345:6789:ABCD:EF01:2345:6789", "abcd:ef01:2345:6789:abcd:ef01:2345:6789"),
        ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"), ("FF01:0:0:0:0:0:0:101", "ff01::101"),
        ("0:0:0:0:0:0:13.1.68.3", "::d01:4403"), ("0:0:0:0:0:FFFF:129.144.52.38", "::ffff:129.144.52.38"),
        ("::13.1.68.3", "::d01:4403"), ("::FFFF:129.144.52.38", "::ffff:129.144.52.38"),
        ("::ffff:7f00:1", "::ffff:127.0.0.1"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        // No leading zeros, the longest run, the first of two equal ones, and never a run of one.
        ("2001:0db8::0001", "2001:db8::1"), ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("2601:9:4f81:9700:803e:ca65:66e8:c21", "2601:9:4f81:9700:803e:ca65:66e8:c21"),
    ])
    func ip6(text: String, canonical: String) throws {
        let address = try #require(Multiaddr.IPv6(text))
        #expect(address.description == canonical)
        #expect(Multiaddr.IPv6(canonical) == address)
    }

    @Test(arguments: [
        "", ":", ":::", "1", "1:", ":1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1::2::3", "1:::2", "12345::", "g::", "::1%eth0", "[::1]", "::1 ",
        "1.2.3.4", "::1.2.3", "::1.2.3.4.5", "::1.2.3.256", "::01.2.3.4", "1.2.3.4::", "::1.2.3.4:5",
        "1:2:3:4:5:6:7:1.2.3.4", "::0x1", "::-1", "::+1",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    ])
    func noIP6(text: String) {
        #expect(Multiaddr.IPv6(text) == nil)
    }

    @Test(
        arguments: [
            ("0.0.0.0", 0), ("127.0.0.1", 0x7f00_0001), ("255.255.255.255", 0xffff_ffff), ("1.20.3.99", 0x0114_0363),
        ]
            as [(String, UInt32)])
    func ip4(text: String, number: UInt32) throws {
        let address = try #require(Multiaddr.IPv4(text))
        #expect(address.rawValue == number)
        #expect(address.description == text)
        #expect(Array(address.bytes) == stride(from: 24, through: 0, by: -8).map { UInt8(number >> UInt32($0) & 0xff) })
    }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.1.1.1", "1.2.3.999999999999999999999",
        "01.2.3.4",
        "1.2.3.04", "+1.2.3.4", "-1.2.3.4", "1.2.3.4 ", "0x7f.0.0.1", "a.b.c.d", "::1", "１.2.3.4",
    ])
    func noIP4(text: String) {
        #expect(Multiaddr.IPv4(text) == nil)
    }

    @Test func randomAddressesRoundTrip() {
        var random = SplitMix64(seed: 12)
        for _ in 0..<1_000 {
            // Groups of zeros in all places.
            var words = [random.next(), random.next()]
            for index in 0..<8 where random.next() % 2 == 0 {
                words[index / 4] &= ~(0xffff << UInt64(index % 4 * 16))
            }
            let six = Multiaddr.IPv6(high: words[0], low: words[1])
            #expect(Multiaddr.IPv6(six.description) == six, "\(six)")
            let four = Multiaddr.IPv4(rawValue: UInt32(truncatingIfNeeded: random.next()))
            #expect(Multiaddr.IPv4(four.description) == four, "\(four)")
        }
    }

    @Test func mutatedAddressesGiveAValueOrNil() {
        var random = SplitMix64(seed: 13)
        for _ in 0..<2_000 {
            let text = String(
                decoding: random.mutated(Array("2001:db8::1:129.144.52.38".utf8)).map { $0 & 0x7f }, as: UTF8.self)
            guard let address = Multiaddr.IPv6(text) else { continue }
            #expect(Multiaddr.IPv6(address.description) == address)
        }
    }
}
