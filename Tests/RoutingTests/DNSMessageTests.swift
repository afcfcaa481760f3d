import Foundation
import TestSupport
import Testing

@testable import Routing

@Suite struct DNSMessageTests {
    private let service = MDNSMessages.service

    private func name(_ text: String) throws -> DNSName { try #require(DNSName(text)) }

    /// A message of one question, from the bytes of its name on.
    private func question(_ name: [UInt8]) -> [UInt8] {
        [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name + [0, 12, 0, 1]
    }

    @Test func aQueryIsWrittenAsTheRFCSays() throws {
        var message = DNSMessage(
            id: 0x1234, questions: [DNSQuestion(name: service, type: .pointer, wantsUnicast: true)])
        message.flags = DNSMessage.truncatedFlag
        let bytes: [UInt8] =
            [0x12, 0x34, 0x02, 0x00, 0, 1, 0, 0, 0, 0, 0, 0] + [4] + Array("_p2p".utf8) + [4] + Array("_udp".utf8) + [5]
            + Array("local".utf8) + [0, 0, 12, 0x80, 1]
        #expect(message.bytes == bytes)
        #expect(try DNSMessage(bytes) == message)
        #expect(message.isTruncated && !message.isResponse && message.isPlain)
    }

    @Test func everyKindOfRecordSurvives() throws {
        let peer = try name("abc._p2p._udp.local")
        let message = DNSMessage(
            flags: DNSMessage.responseFlag,
            answers: [
                DNSRecord(name: service, type: .pointer, lifetime: 600, content: .pointer(peer)),
                DNSRecord(
                    name: peer, type: .text, replacesOthers: true, lifetime: 1, content: .text([[1, 2], [], [3]])),
            ],
            additionals: [
                DNSRecord(
                    name: peer, type: .service, lifetime: 9, content: .service(port: 4001, host: try name("abc.local"))),
                DNSRecord(name: peer, type: .ip4, lifetime: 9, content: .ip4(0x0A4D_0001)),
                DNSRecord(name: peer, type: .ip6, lifetime: .max, content: .ip6(high: 0xFE80_0000_0000_0000, low: 7)),
            ])
        #expect(try DNSMessage(message.bytes) == message)
        // The ends of names are written once.
        #expect(message.bytes.count < 150)
    }

    @Test func theCaseOfLettersDoesNotCount() throws {
        #expect(try name("_P2P._udp.LOCAL") == service)
        #expect(
            try DNSMessage(
                question([4] + Array("_P2p".utf8) + [4] + Array("_UDP".utf8) + [5] + Array("loCal".utf8) + [0])
            )
            .questions.first?.name == service)
    }

    @Test func labelsOf63AreNamesAndOf64AreNot() throws {
        let longest = [UInt8](repeating: UInt8(ascii: "a"), count: 63)
        #expect(DNSName(labels: [longest]) != nil)
        #expect(service.prefixed(by: longest) != nil)
        #expect(DNSName(labels: [longest + [97]]) == nil)
        #expect(service.prefixed(by: longest + [97]) == nil)
        #expect(try DNSMessage(question([63] + longest + [0])).questions.count == 1)
        // 64 is no length at all.
        #expect(throws: DNSError.invalidName) { try DNSMessage(question([64] + longest + [97, 0])) }
    }

    @Test func namesOf255BytesAreNamesAndOf256AreNot() throws {
        let label = [UInt8](repeating: 97, count: 49)
        let longest = Array(repeating: [49] + label, count: 5).flatMap(\.self)  // 250
        #expect(try DNSMessage(question(longest + [3, 97, 97, 97, 0])).questions.first?.name.wire.count == 255)
        #expect(throws: DNSError.invalidName) { try DNSMessage(question(longest + [4, 97, 97, 97, 97, 0])) }
        #expect(DNSName(labels: Array(repeating: label, count: 5) + [[97, 97, 97]]) != nil)
        #expect(DNSName(labels: Array(repeating: label, count: 5) + [[97, 97, 97, 97]]) == nil)
    }

    @Test func pointersThatLoopOrLeadForwardAreRefused() throws {
        // To itself, forward, past the end, and two that point to each other.
        #expect(throws: DNSError.invalidName) { try DNSMessage(question([0xC0, 12])) }
        #expect(throws: DNSError.invalidName) { try DNSMessage(question([0xC0, 14])) }
        #expect(throws: DNSError.invalidName) { try DNSMessage(question([0xFF, 0xFF])) }
        #expect(throws: DNSError.invalidName) { try DNSMessage(question([1, 97, 0xC0, 12])) }
        #expect(throws: DNSError.truncated) { try DNSMessage([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0]) }
        // Back into the header is back: what is there is read as a name.
        #expect(try DNSMessage(question([1, 97, 0xC0, 6])).questions.first?.name == name("a"))
    }

    @Test func asManyJumpsAsAllowedAndOneMore() throws {
        // A chain of pointers in a record that is skipped, each to the one before it, and a question for its end.
        func message(_ jumps: Int) throws -> DNSMessage {
            var bytes: [UInt8] = [0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0]
            var data: [UInt8] = [1, 97, 0]
            var target = UInt8(23)
            for jump in 0..<jumps {
                data += [0xC0, target]
                target = UInt8(26 + 2 * jump)
            }
            bytes += [0, 0, 99, 0, 1, 0, 0, 0, 9, 0, UInt8(data.count)]
            bytes += data
            bytes += [0xC0, target, 0, 99, 0, 1, 0, 0, 0, 9, 0, 0]
            return try DNSMessage(bytes)
        }
        #expect(try message(15).answers.last?.name == name("a"))
        #expect(throws: DNSError.invalidName) { try message(16) }
    }

    @Test func lengthsThatLieAreRefused() throws {
        let record: [UInt8] = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
        // TXT of 4 bytes whose string says it has 9; of 9 bytes of which there are 4; an A record of 3 bytes.
        #expect(throws: DNSError.invalidRecord) {
            try DNSMessage(record + [0, 16, 0, 1, 0, 0, 0, 9, 0, 4, 9, 97, 97, 97])
        }
        #expect(throws: DNSError.truncated) { try DNSMessage(record + [0, 16, 0, 1, 0, 0, 0, 9, 0, 9, 3, 97, 97, 97]) }
        #expect(throws: DNSError.invalidRecord) { try DNSMessage(record + [0, 1, 0, 1, 0, 0, 0, 9, 0, 3, 1, 2, 3]) }
        // A PTR record whose name ends before, or after, its data do.
        #expect(throws: DNSError.invalidRecord) { try DNSMessage(record + [0, 12, 0, 1, 0, 0, 0, 9, 0, 2, 0, 0]) }
        #expect(throws: DNSError.invalidRecord) { try DNSMessage(record + [0, 12, 0, 1, 0, 0, 0, 9, 0, 1, 1, 97, 0]) }
        #expect(try DNSMessage(record + [0, 99, 0, 1, 0, 0, 0, 9, 0, 3, 1, 2, 3]).answers.first?.content == .other)
    }

    @Test func asManyQuestionsRecordsAndBytesAsAllowedAndOneMore() throws {
        var limits = DNSLimits(messageBytes: 200, questions: 2, records: 3)
        let asked = DNSQuestion(name: service, type: .pointer)
        let record = DNSRecord(name: service, type: .ip4, lifetime: 1, content: .ip4(1))
        func read(_ questions: Int, _ answers: Int, _ additionals: Int) throws {
            let message = DNSMessage(
                questions: Array(repeating: asked, count: questions), answers: Array(repeating: record, count: answers),
                additionals: Array(repeating: record, count: additionals))
            _ = try DNSMessage(message.bytes, limits: limits)
        }
        try read(2, 1, 2)
        #expect(throws: DNSError.tooMany) { try read(3, 0, 0) }
        #expect(throws: DNSError.tooMany) { try read(0, 2, 2) }
        let bytes = DNSMessage(answers: [record]).bytes
        limits.messageBytes = bytes.count
        #expect(try DNSMessage(bytes, limits: limits).answers.count == 1)
        limits.messageBytes -= 1
        #expect(throws: DNSError.tooMany) { try DNSMessage(bytes, limits: limits) }
    }

    // MARK: Any bytes at all

    private static let seeds: [[UInt8]] = {
        let addresses = ["/ip4/10.77.0.1/tcp/4001", "/ip6/fd00::1/tcp/4001"].map { Array("dnsaddr=\($0)/p2p/x".utf8) }
        let peer = DNSName("abcdefghijklmnopqrstuvwxyz012345._p2p._udp.local")!
        let answer = DNSMessage(
            flags: 0x8400,
            answers: [
                DNSRecord(name: MDNSMessages.service, type: .pointer, lifetime: 600, content: .pointer(peer)),
                DNSRecord(name: peer, type: .text, lifetime: 600, content: .text(addresses)),
                DNSRecord(name: peer, type: .service, lifetime: 600, content: .service(port: 1, host: peer)),
                DNSRecord(name: peer, type: .ip6, lifetime: 600, content: .ip6(high: 1, low: 2)),
            ])
        return [answer.bytes] + MDNSMessages.query(known: [(peer, 9)], limit: 1).map(\.bytes)
    }()

    @Test func messagesCutAnywhere() {
        for seed in Self.seeds { for cut in 0...seed.count { #expect(dnsFailure(Array(seed[..<cut])) == nil) } }
    }

    @Test func changedMessages() {
        let seed: UInt64 = 0xd15
        var generator = SplitMix64(seed: seed)
        for round in 0..<20_000 {
            var bytes = Self.seeds[Int(generator.next() % UInt64(Self.seeds.count))]
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let index = Int.random(in: bytes.indices, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes[index] = [0, 1, 63, 64, 0x80, 0xC0, 0xFF].randomElement(using: &generator) ?? 0
                case 2: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: index)
                default: if bytes.count > 1 { bytes.remove(at: index) }
                }
            }
            #expect(dnsFailure(bytes) == nil, "seed \(seed), round \(round): \(bytes)")
        }
    }

    /// Tests/Fuzz/FailCases/dns/*: inputs that failed once.
    @Test func whatFailedOnce() throws {
        let directory = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Fuzz/FailCases/dns")
        for file in (try? FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)) ?? []
        {
            #expect(dnsFailure([UInt8](try Data(contentsOf: file))) == nil, "\(file.lastPathComponent)")
        }
    }
}
