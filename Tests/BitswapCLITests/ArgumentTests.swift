import ArgumentParser
import Bitswap
import BitswapNode
import Libp2p
import Logging
import Multiformats
import PeerIdentity
import Testing

@testable import BitswapCLI

@Suite struct ArgumentTests {
    @Test(arguments: [
        ("30s", Duration.seconds(30)), ("500ms", .milliseconds(500)), ("2m", .seconds(120)), ("1h", .seconds(3_600)),
        ("1.5s", .milliseconds(1_500)), ("0s", .zero), ("366d", nil), ("8784h", .seconds(366 * 86_400)),
    ])
    func durations(text: String, duration: Duration?) {
        #expect((try? DurationArgument(text: text).value()) == duration)
    }

    @Test(arguments: [
        "", "s", "ms", "30", "-1s", "+1s", "1e3s", " 1s", "1 s", "1.2.3s", ".s", "soon", "infs", "nans", "8785h", "１s",
    ])
    func durationsThatAreNone(text: String) {
        let error = #expect(throws: ValidationError.self) { try DurationArgument(text: text).value() }
        #expect(error?.message.contains("\"\(text)\"") == true)
    }

    @Test(arguments: [
        ("0", 0), ("4096", 4_096), ("17B", 17), ("512KiB", 512 << 10), ("512k", 512 << 10), ("2G", 2 << 30),
        ("10MB", 10_000_000), ("10kB", 10_000),
        ("1.5GiB", 3 << 29), ("1000TB", 1_000_000_000_000_000), ("1001TB", nil), ("", nil), ("MB", nil), ("-1", nil),
        ("1e9", nil), ("10 MB", nil), ("10Mbit", nil), ("1.2.3MB", nil),
    ])
    func bytes(text: String, count: Int?) {
        #expect((try? BytesArgument(text: text).value()) == count)
    }

    @Test func resourcesAreTakenOverAndOnesThatMakeNoSenseAreRefused() throws {
        var configuration = Exchange.Configuration()
        try ResourceOptions.parse([
            "--upload", "10MB", "--upload-per-peer", "1MB", "--download", "5MB", "--download-per-peer", "512KiB",
            "--exchange-memory", "64MiB",
        ]).apply(to: &configuration)
        #expect(
            configuration.bandwidth
                == BandwidthLimits(
                    upload: 10_000_000, uploadPerPeer: 1_000_000, download: 5_000_000, downloadPerPeer: 512 << 10))
        #expect((60 << 20...64 << 20).contains(configuration.limits.memory))
        for words in [["--upload", "0"], ["--download", "much"], ["--exchange-memory", "31MiB"]] {
            #expect(throws: (any Error).self) { try ResourceOptions.parse(words) }
        }
    }

    @Test func addressesAreOfTCP() throws {
        for text in ["/ip4/127.0.0.1/tcp/0", "/dns4/example.org/tcp/4001", "/ip6/::1/tcp/4001"] {
            #expect(try AddressArgument(text: text).value().description == text)
        }
        for text in ["", "nonsense", "/ip4/1.2.3/tcp/1", "/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/4001/quic-v1"] {
            let error = #expect(throws: ValidationError.self) { try AddressArgument(text: text).value() }
            #expect(error?.message.contains("\"\(text)\"") == true)
        }
    }

    @Test func peersAreNamedByEitherForm() throws {
        let text = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
        let peer = try PeerArgument(text: text).value()
        #expect(peer.description == text)
        for other in ["", "nonsense", "12D3", "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq"] {
            let error = #expect(throws: ValidationError.self) { try PeerArgument(text: other).value() }
            #expect(error?.message.contains(other) == true)
        }
    }

    @Test func everyNameOfACodecAndAHashIsTheOneOfTheTable() {
        for name in CodecName.allCases { #expect(name.codec.description == name.rawValue) }
        for name in HashName.allCases {
            #expect(name.code.description == name.rawValue)
            #expect(name.code.isSupported)
        }
        for name in LogLevel.allCases { #expect(name.level.rawValue == name.rawValue) }
    }

    @Test(arguments: [
        ["block", "get"], ["block", "get", "nonsense"], ["block", "stat", ""], ["block", "put", "--nonsense"],
        ["block", "put", "--cid-version", "0"], ["block", "put", "--cid-version", "2"], ["block", "put", "-", "-"],
        ["serve", "--listen", "nonsense"], ["connect"], ["connect", "/ip4/127.0.0.1"], ["nonsense"],
        ["id", "--repo", ""], ["ledger"], ["ledger", "nonsense"], ["ledger", ""], ["wantlist", "--peer", "nonsense"],
        ["wantlist", "nonsense"], ["serve", "--security", "ssl"],
    ])
    func badUsageIsFoundWhileParsing(arguments: [String]) {
        let error = #expect(throws: (any Error).self) { try BitswapCommand.parseAsRoot(arguments) }
        #expect(error.map(BitswapCommand.exitCode(for:)) == .validationFailure)
    }

    @Test func everyOptionIsParsed() throws {
        let cid = "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq"
        let get = try #require(
            try BitswapCommand.parseAsRoot([
                "block", "get", cid, "--repo", "here", "--json", "-o", "out", "--peer", "/ip4/127.0.0.1/tcp/1",
                "--peer",
                "/ip4/127.0.0.1/tcp/2", "--timeout", "2m", "-v", "--log-level", "debug",
            ]) as? BlockGet)
        #expect(get.options.printsJSON && get.verbose)
        #expect(try get.options.repository.path == "here")
        #expect(get.peer.map(\.text) == ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"])
        #expect(try get.timeout.value() == .seconds(120))
        #expect(get.options.logLevel == .debug)
        let put = try #require(
            try BitswapCommand.parseAsRoot(["block", "put", "--codec", "dag-pb", "--cid-version", "0"]) as? BlockPut)
        #expect(put.files == ["-"])
        #expect(put.codec == .dagPB)
        let serve = try #require(
            try BitswapCommand.parseAsRoot(["serve", "--security", "noise", "--security", "tls"]) as? Serve)
        #expect(serve.security.map(\.security) == [.noise, .tls])
    }
}
