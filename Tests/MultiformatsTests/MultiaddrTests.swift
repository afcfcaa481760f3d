import Foundation
import Multiformats
import TestSupport
import Testing

@Suite struct MultiaddrTests {
    static let peer = "12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV"

    /// Text and bytes that go-multiaddr's tests name.
    @Test(arguments: [
        ("/ip4/127.0.0.1/udp/1234", "047f000001910204d2"),
        ("/ip4/127.0.0.1/tcp/4321", "047f0000010610e1"),
        ("/ip4/127.0.0.1/udp/1234/ip4/127.0.0.1/tcp/4321", "047f000001910204d2047f0000010610e1"),
        ("/ip6zone/eth0/ip6/::1", "2a04657468302900000000000000000000000000000001"),
        ("/unix/tmp/a.sock", "90030b2f746d702f612e736f636b"),
        ("/ip4/1.2.3.4/udp/4001/quic-v1", "040102030491020fa1cd03"),
        ("/dns4/example.com/tcp/443/wss", "360b6578616d706c652e636f6d0601bbde03"),
    ])
    func bytesOfTexts(text: String, hex: String) throws {
        let address = try Multiaddr(text)
        #expect(address.bytes == [UInt8](hex: hex))
        #expect(address.description == text)
        #expect(try Multiaddr(bytes: [UInt8](hex: hex)) == address)
    }

    /// Texts that stay as they are.
    @Test(arguments: [
        "/ip4/1.2.3.4", "/ip4/0.0.0.0", "/ip6/::1", "/ip6/2601:9:4f81:9700:803e:ca65:66e8:c21",
        "/ip6/2601:9:4f81:9700:803e:ca65:66e8:c21/udp/1234/quic",
        "/ip6/::ffff:127.0.0.1/tcp/111", "/ip6zone/x/ip6/fe80::1", "/ip6zone/x%y/ip6/fe80::1/udp/1234/quic-v1",
        "/udp/0", "/tcp/0", "/udp/65535", "/tcp/65535", "/tcp/1234/http", "/tcp/1234/tls/http", "/tcp/1234/https",
        "/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC", "/p2p/\(peer)",
        "/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC/tcp/1234",
        "/ip4/127.0.0.1/udp/1234/quic-v1/webtransport",
        "/ip4/127.0.0.1/udp/1234/quic-v1/webtransport/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g",
        "/ip4/127.0.0.1/udp/1234/webrtc-direct", "/ip4/127.0.0.1/udp/1234/webrtc",
        "/unix/a/b/c/d/e", "/unix/stdio", "/ip4/1.2.3.4/tcp/80/unix/a/b/c/d/e/f", "/p2p/\(peer)/unix/stdio",
        "/ip4/127.0.0.1/tcp/127/ws", "/ip4/127.0.0.1/tcp/127/tls/ws", "/ip4/127.0.0.1/tcp/127/wss",
        "/ip4/127.0.0.1/tcp/127/noise", "/dns/example.com/tcp/443/tls/sni/example.com/ws",
        "/dns4/example.com", "/dns6/example.com", "/dnsaddr/bootstrap.libp2p.io/p2p/\(peer)",
        "/ip4/1.2.3.4/tcp/4001/p2p/\(peer)/p2p-circuit/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC",
    ])
    func textsRoundTrip(text: String) throws {
        let address = try Multiaddr(text)
        #expect(address.description == text)
        #expect(address.components.map(\.description).joined() == text)
        #expect(try Multiaddr(bytes: address.bytes) == address)
        #expect(try Multiaddr(address.components) == address)
        for count in 1..<address.bytes.count {
            // A cut between two protocols leaves a shorter address, any other an error.
            guard let shorter = try? Multiaddr(bytes: address.bytes.prefix(count)) else { continue }
            #expect(shorter.components == Array(address.components.prefix(shorter.components.count)))
        }
    }

    /// Texts with another usual form.
    @Test(arguments: [
        ("/ip4/127.0.0.1/tcp/1234/", "/ip4/127.0.0.1/tcp/1234"),
        ("/ip4/127.0.0.1/tcp/01234//", "/ip4/127.0.0.1/tcp/1234"),
        ("/ip6/FE80:0:0:0:0:0:0:1", "/ip6/fe80::1"),
        ("/ipfs/\(peer)", "/p2p/\(peer)"),
        (
            "/p2p/k2k4r8oqamigqdo6o7hsbfwd45y70oyynp98usk7zmyfrzpqxh1pohl7",
            "/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"
        ),
        ("/p2p/bafzaajaiaejcalj543iwv2d7pkjt7ykvefrkfu7qjfi6sduakhso4lay6abn2d5u", "/p2p/\(peer)"),
        ("/p2p/k51qzi5uqu5dhb6l8spkdx7yxafegfkee5by8h7lmjh2ehc2sgg34z7c15vzqs", "/p2p/\(peer)"),
        (
            "/udp/1/quic-v1/webtransport/certhash/b2uaraocy6yrdblb4sfptaddgimjmmpy",
            "/udp/1/quic-v1/webtransport/certhash/u1QEQOFj2IjCsPJFfMAxmQxLGPw"
        ),
    ])
    func otherForms(text: String, canonical: String) throws {
        #expect(try Multiaddr(text).description == canonical)
        #expect(try Multiaddr(text) == Multiaddr(canonical))
    }

    @Test(arguments: [
        "", "/", "//", "ip4/1.2.3.4", "/ip4", "/ip4/::1", "/ip4/fdpsofodsajfdoisa", "/ip4/1.2.3.4.5", "/ip4//tcp/1",
        "/ip6", "/ip6/1.2.3.4", "/ip6/::1%eth0", "/ip6zone", "/ip6zone/", "/ip6zone//ip6/fe80::1", "/udp", "/tcp",
        "/udp/65536", "/tcp/65536", "/tcp/-1", "/tcp/+1", "/tcp/1 ", "/tcp/0x50", "/tcp/111111111111111111111",
        "/quic/65536", "/quic-v1/65536", "/udp/1234/udt/1234", "/ip4/127.0.0.1/udp/jfodsajfidosajfoidsa",
        "/ip4/127.0.0.1/tcp", "/ip4/127.0.0.1//tcp/1", "/udp/1/quic-v1/webtransport/certhash",
        "/udp/1/quic-v1/webtransport/certhash/b2uaraocy6yrdblb4sfptaddgimjmmp", "/ip4/127.0.0.1/ipfs",
        "/ip4/127.0.0.1/ipfs/tcp", "/ip4/127.0.0.1/p2p", "/ip4/127.0.0.1/p2p/tcp", "/unix", "/unix/",
        "/ip4/1.2.3.4/tcp/80/unix", "/sni//sni/0", "/dns/a b", "/dns/a\u{7}b", "/dns4/\n",
        // A sha2-256 multihash of another length, other codecs than libp2p-key, an unknown multibase.
        "/p2p/QmxoHT6iViN5xAjoz1VZ553cL31U9F94ht3QvWR1FrEbZY", "/p2p/Qm11ps1111111111111111111111111111111",
        "/p2p/k2jmtxwoe2phm1hbqp0e7nufqf6umvuu2e9qd7ana7h411a0haqj6i2z", "/p2p/?unknownmultibase", "/p2p/1", "/p2p/11",
        "/p2p/k2k4r8oqamigqdo6o7hsbfwd45y70oyynp98usk7zmyfrzpqxh1pohl-",
        "/p2p/bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq",
        "/p2p/BAfZA2jA222222222222222222222222222222222222222222222222222222222",
    ])
    func malformedTexts(text: String) {
        #expect(throws: MultiformatsError.self, "\(text)") { try Multiaddr(text) }
    }

    @Test func unknownProtocolsAreNamed() throws {
        for (text, name) in [
            ("/ip4/1.2.3.4/sctp/1", "sctp"), ("/carrier-pigeon", "carrier-pigeon"), ("/memory/4", "memory"),
            ("/TCP/1", "TCP"),
        ] {
            let error = try #require(throws: MultiformatsError.self) { try Multiaddr(text) }
            #expect(error.code == .unknownProtocol)
            #expect(error.message.contains("\"\(name)\""))
        }
        let error = try #require(throws: MultiformatsError.self) {
            try Multiaddr(bytes: [4, 1, 2, 3, 4] + UVarint.encode(777))
        }
        #expect(error.code == .unknownProtocol)
        #expect(error.message.contains("777"))
    }

    /// Among them the inputs that once broke go-multiaddr.
    @Test(arguments: [
        "", "04", "047f0000", "047f00000106", "047f0000010610", "29", "2a00", "2a012f", "3500", "35022f61", "3502ff61",
        "3700", "350561", "35ffffffffffffffff7f", "a503", "a50300", "a5030130", "a5032112200000", "d20300", "900300",
        "90030130", "90030630303030303030", "9003062f303030302f", "9003032f0030", "9003022f6104", "84e0ff00", "80",
        "8000",
        "a503221221c05877cbae039d70a5e600ea02c6f9f2942439285c9e344e26f8d280c850fad6",
        "a503261224303030303030303030303030303030303030303030303030303030303030303030303030",
    ])
    func malformedBytes(hex: String) {
        #expect(throws: MultiformatsError.self, "\(hex)") { try Multiaddr(bytes: [UInt8](hex: hex)) }
    }

    @Test func componentsAreChecked() throws {
        let short = try Multihash(code: .sha2_256, digest: [1, 2, 3])
        let bad: [[Multiaddr.Component]] = [
            [], [.dns("")], [.dns("a/b")], [.ip6zone("")], [.unix("a")], [.unix("/")], [.unix("/a"), .tcp(1)],
            [.p2p(short)], [.p2p(try Multihash.hash([1], with: .sha3_256))],
        ]
        for components in bad {
            #expect(
                errorCode { () throws(MultiformatsError) in try Multiaddr(components) } == .invalidAddress,
                "\(components)")
        }
        let address = try Multiaddr([.ip4(.loopback), .tcp(4001)])
        #expect(address.description == "/ip4/127.0.0.1/tcp/4001")
        #expect(try address.appending(.tls).description == "/ip4/127.0.0.1/tcp/4001/tls")
        #expect(throws: MultiformatsError.self) { try address.appending(.dns("")) }
    }

    @Test func limits() throws {
        let name = String(repeating: "a", count: MultiformatsLimits.domainNameLength)
        #expect(try Multiaddr([.dns(name)]).components == [.dns(name)])
        #expect(errorCode { () throws(MultiformatsError) in try Multiaddr([.dns(name + "a")]) } == .limitExceeded)

        // /tls takes two bytes.
        let most = [Multiaddr.Component](repeating: .tls, count: MultiformatsLimits.multiaddrLength / 2)
        let address = try Multiaddr(most)
        #expect(try Multiaddr(bytes: address.bytes) == address)
        #expect(errorCode { () throws(MultiformatsError) in try address.appending(.tls) } == .limitExceeded)
        #expect(
            errorCode { () throws(MultiformatsError) in
                try Multiaddr(bytes: address.bytes + UVarint.encode(448))
            } == .limitExceeded)

        let slashes = String(repeating: "/", count: MultiformatsLimits.multiaddrTextLength - 4)
        #expect(try Multiaddr("/tls" + slashes).components == [.tls])
        #expect(errorCode { () throws(MultiformatsError) in try Multiaddr("/tls/" + slashes) } == .limitExceeded)
    }

    @Test func peers() throws {
        let address = try Multiaddr("/ip4/127.0.0.1/tcp/4001/p2p/\(Self.peer)")
        let peer = try #require(address.peerMultihash)
        #expect(peer.code == .identity)
        #expect(address.removingPeer()?.description == "/ip4/127.0.0.1/tcp/4001")
        #expect(address.removingPeer()?.peerMultihash == nil)
        #expect(address.removingPeer()?.removingPeer() == address.removingPeer())
        #expect(try Multiaddr("/p2p/\(Self.peer)").removingPeer() == nil)
        #expect(try address.appending(peer: peer) == address)
        let other = try Multihash.hash([1], with: .sha2_256)
        #expect(try address.appending(peer: other).peerMultihash == other)
        #expect(try address.removingPeer()?.appending(peer: peer) == address)

        // Behind a relay it is the peer at the end that counts; a relay alone is none.
        let relay = try Multiaddr("\(address)/p2p-circuit")
        #expect(relay.peerMultihash == nil)
        #expect(try relay.appending(peer: other).peerMultihash == other)
        #expect(try relay.appending(peer: other).removingPeer() == relay)
    }

    @Test func codesMatchTheNames() throws {
        let parsed = try Multiaddr(
            "/ip4/1.2.3.4/ip6/::1/ip6zone/z/dns/a/dns4/a/dns6/a/dnsaddr/a/tcp/1/udp/1/quic/quic-v1/webtransport/webrtc"
                + "/webrtc-direct/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g/tls/sni/a/noise/ws/wss/http"
                + "/https/p2p/\(Self.peer)/p2p-circuit/unix/a")
        #expect(
            parsed.components.map(\.code) == [
                4, 41, 42, 53, 54, 55, 56, 6, 273, 460, 461, 465, 281, 280, 466, 448, 449, 454, 477, 478, 480, 443, 421,
                290,
                400,
            ])
        #expect(try Multiaddr(bytes: parsed.bytes) == parsed)
        #expect(try Multiaddr(parsed.description) == parsed)
    }

    @Test func coding() throws {
        let address = try Multiaddr("/ip4/127.0.0.1/tcp/4001/p2p/\(Self.peer)")
        let json = try JSONEncoder().encode([address])
        #expect(try JSONDecoder().decode([String].self, from: json) == [address.description])
        #expect(try JSONDecoder().decode([Multiaddr].self, from: json) == [address])
        #expect(throws: DecodingError.self) { try JSONDecoder().decode([Multiaddr].self, from: Data(#"["/x"]"#.utf8)) }
    }

    @Test func randomAddressesRoundTrip() throws {
        var random = SplitMix64(seed: 14)
        for _ in 0..<300 {
            let components = try (0..<Int.random(in: 1...6, using: &random)).map { _ in try Self.component(&random) }
            let address = try Multiaddr(components)
            #expect(try Multiaddr(address.description) == address, "\(address)")
            #expect(try Multiaddr(bytes: address.bytes) == address, "\(address)")
        }
    }

    @Test func mutatedInputGivesAValueOrAnError() throws {
        var random = SplitMix64(seed: 15)
        let address = try Multiaddr("/dns4/example.com/tcp/443/ip6/::1/udp/1/quic-v1/p2p/\(Self.peer)/unix/a/b")
        var accepted = 0
        for _ in 0..<3_000 {
            let bytes = random.mutated(address.bytes)
            if let value = try? Multiaddr(bytes: bytes) {
                accepted += 1
                #expect(value.bytes == bytes)
                #expect(try Multiaddr(value.description) == value, "\(bytes)")
            }
            let text = String(decoding: random.mutated(Array(address.description.utf8)), as: UTF8.self)
            if let value = try? Multiaddr(text) {
                accepted += 1
                #expect(try Multiaddr(value.description) == value, "\(text)")
                #expect(try Multiaddr(bytes: value.bytes) == value, "\(text)")
            }
            if let value = try? Multiaddr(bytes: random.bytes(Int(random.next() % 24))) {
                #expect(try Multiaddr(value.description) == value)
            }
        }
        #expect(accepted > 100)
    }

    static func component(_ random: inout SplitMix64) throws -> Multiaddr.Component {
        let port = UInt16(truncatingIfNeeded: random.next())
        switch random.next() % 12 {
        case 0: return .ip4(.init(rawValue: UInt32(truncatingIfNeeded: random.next())))
        case 1: return .ip6(.init(high: random.next(), low: random.next()))
        case 2: return .tcp(port)
        case 3: return .udp(port)
        case 4: return .dns4("host\(port).example")
        case 5: return .dnsaddr("bücher\(port).example")
        case 6: return .p2p(try Multihash(code: .sha2_256, digest: random.bytes(32)))
        case 7: return .p2p(try Multihash(code: .identity, digest: random.bytes(36)))
        case 8: return .certhash(try Multihash(code: .sha2_256, digest: random.bytes(32)))
        case 9: return .quicV1
        case 10: return .p2pCircuit
        default: return .ip6zone("eth\(port)")
        }
    }
}
