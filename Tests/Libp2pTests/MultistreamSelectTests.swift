import NIOCore
import TestSupport
import Testing

@testable import Libp2p

/// `\x13/multistream/1.0.0\n` and its kin, byte for byte (multiformats/multistream-select).
private let headerBytes: [UInt8] = [0x13] + Array("/multistream/1.0.0\n".utf8)
private let naBytes: [UInt8] = [0x03, 0x6E, 0x61, 0x0A]
private let lsBytes: [UInt8] = [0x03, 0x6C, 0x73, 0x0A]
private let bitswap: ProtocolID = "/ipfs/bitswap/1.2.0"
private let bitswapBytes: [UInt8] = [0x14] + Array("/ipfs/bitswap/1.2.0\n".utf8)
private let kad: ProtocolID = "/ipfs/kad/1.0.0"
private let kadBytes: [UInt8] = [0x10] + Array("/ipfs/kad/1.0.0\n".utf8)

private func buffer(_ parts: [UInt8]...) -> ByteBuffer { ByteBuffer(bytes: parts.flatMap { $0 }) }

/// Answers proposals and lists as a responder does, and collects what is sent.
private struct Driver {
    var machine: MultistreamSelect
    var supported: [ProtocolID] = []
    var input = ByteBuffer()
    var sent: [UInt8] = []
    var selected: ProtocolID?
    var failure: MultistreamSelect.Failure?

    mutating func feed(_ bytes: some Sequence<UInt8>) {
        input.writeBytes(bytes)
        while selected == nil, failure == nil {
            switch machine.next(from: &input) {
            case .needMoreBytes: return
            case .send(let bytes): sent += Array(bytes.readableBytesView)
            case .proposed(let name):
                let answer = supported.contains(name) ? machine.accept() : machine.refuse()
                sent += Array(answer.readableBytesView)
            case .listRequested: sent += Array(machine.answerList(supported).readableBytesView)
            case .selected(let name): selected = name
            case .failed(let reason): failure = reason
            }
        }
    }
}

@Suite struct MultistreamSelectTests {
    @Test func initiatorSendsHeaderAndFirstProposalInOneFlight() {
        var machine = MultistreamSelect(proposing: [bitswap, kad])
        #expect(machine.start() == buffer(headerBytes, bitswapBytes))
        #expect(machine.start().readableBytes == 0)
    }

    @Test func initiatorIsAnswered() {
        var driver = Driver(machine: MultistreamSelect(proposing: [bitswap]))
        _ = driver.machine.start()
        driver.feed(headerBytes + bitswapBytes + [1, 2, 3])
        #expect(driver.selected == bitswap)
        #expect(driver.sent.isEmpty)
        #expect(Array(driver.input.readableBytesView) == [1, 2, 3])
    }

    @Test func initiatorFallsThroughOnNotAvailable() {
        var driver = Driver(machine: MultistreamSelect(proposing: [bitswap, kad]))
        _ = driver.machine.start()
        driver.feed(headerBytes + naBytes)
        #expect(driver.sent == kadBytes)
        #expect(driver.selected == nil)
        driver.feed(kadBytes)
        #expect(driver.selected == kad)
    }

    @Test func initiatorFailsWhenNothingIsSpoken() {
        var driver = Driver(machine: MultistreamSelect(proposing: [bitswap, kad]))
        _ = driver.machine.start()
        driver.feed(headerBytes + naBytes + naBytes)
        #expect(driver.failure?.reason == .notSupported)
        #expect(driver.failure?.libp2pError.code == .protocolNotSupported)
        // It stays failed.
        #expect(driver.machine.next(from: &driver.input) == .failed(driver.failure!))
    }

    @Test func initiatorWithoutProposalsFails() {
        var driver = Driver(machine: MultistreamSelect(proposing: []))
        #expect(driver.machine.start().readableBytes == 0)
        driver.feed([])
        #expect(driver.failure?.reason == .notSupported)
    }

    @Test(arguments: [
        headerBytes + kadBytes,  // another protocol than proposed
        bitswapBytes,  // no header
        naBytes,
        [0x03, 0x6E, 0x61, 0x20],  // no newline
        [0x00],  // an empty message
        [0x80, 0x00],  // a length in a longer form than needed
        [0x02, 0xFF, 0x0A],  // not UTF-8
    ])
    func initiatorRefusesNonsense(bytes: [UInt8]) {
        var driver = Driver(machine: MultistreamSelect(proposing: [bitswap]))
        _ = driver.machine.start()
        driver.feed(bytes)
        #expect(driver.failure?.reason == .malformed)
        #expect(driver.failure?.libp2pError.code == .protocolViolation)
    }

    @Test func responderAnswersHeaderByItself() {
        var driver = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: [bitswap])
        driver.feed(headerBytes)
        #expect(driver.sent == headerBytes)
        driver.feed(bitswapBytes)
        #expect(driver.sent == headerBytes + bitswapBytes)
        #expect(driver.selected == bitswap)
    }

    @Test func responderTakesLazyFlightAndLeavesThePayload() {
        var driver = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: [bitswap])
        driver.feed(headerBytes + bitswapBytes + [0x13, 0x2F, 0x00])
        #expect(driver.sent == headerBytes + bitswapBytes)
        #expect(driver.selected == bitswap)
        #expect(Array(driver.input.readableBytesView) == [0x13, 0x2F, 0x00])
    }

    @Test func responderRefusesAndListens() {
        var driver = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: [kad])
        driver.feed(headerBytes + bitswapBytes + kadBytes)
        #expect(driver.sent == headerBytes + naBytes + kadBytes)
        #expect(driver.selected == kad)
    }

    @Test func responderLists() {
        var driver = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: [bitswap, kad])
        driver.feed(headerBytes + lsBytes)
        let body = bitswapBytes + kadBytes + [0x0A]
        #expect(driver.sent == headerBytes + [UInt8(body.count)] + body)
        driver.feed(kadBytes)
        #expect(driver.selected == kad)
    }

    @Test func longListHasALongLength() {
        let many = (0..<20).map { ProtocolID("/a/protocol/\($0)") }
        var driver = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: many)
        driver.feed(headerBytes + lsBytes)
        var answer = ByteBuffer(bytes: driver.sent.dropFirst(headerBytes.count))
        let first = answer.readInteger(as: UInt8.self) ?? 0
        let second = answer.readInteger(as: UInt8.self) ?? 0
        #expect(first >= 0x80)
        #expect(Int(first & 0x7F) | Int(second) << 7 == answer.readableBytes)
    }

    @Test func messageLengthAtTheLimitAndPastIt() {
        let longest = String(repeating: "x", count: 1023)
        var driver = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: [ProtocolID(longest)])
        driver.feed(headerBytes + Array(MultistreamSelect.message(longest).readableBytesView))
        #expect(driver.selected == ProtocolID(longest))

        // One past is refused by its length alone, before the bytes come.
        var past = Driver(machine: MultistreamSelect(respondingWith: .init()))
        past.feed(headerBytes + [0x81, 0x08])
        #expect(past.failure?.reason == .limit)
        var huge = Driver(machine: MultistreamSelect(respondingWith: .init()))
        huge.feed(headerBytes + [0xFF, 0xFF])
        #expect(huge.failure?.reason == .limit)
    }

    @Test func proposalsAtTheLimitAndPastIt() {
        var driver = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: [kad])
        driver.feed(headerBytes)
        for _ in 0..<31 { driver.feed(bitswapBytes) }
        var past = driver
        driver.feed(kadBytes)
        #expect(driver.selected == kad)
        past.feed(lsBytes)
        #expect(past.failure == nil)
        past.feed(kadBytes)
        #expect(past.failure?.reason == .limit)
    }

    @Test func totalBytesAtTheLimitAndPastIt() {
        let limits = MultistreamSelect.Limits(totalBytes: headerBytes.count + kadBytes.count)
        var driver = Driver(machine: MultistreamSelect(respondingWith: limits), supported: [kad])
        driver.feed(headerBytes + kadBytes)
        #expect(driver.selected == kad)
        var past = Driver(machine: MultistreamSelect(respondingWith: limits), supported: [bitswap])
        past.feed(headerBytes + bitswapBytes)
        #expect(past.failure?.reason == .limit)
    }

    @Test func everySplitGivesTheSame() {
        let flight = headerBytes + lsBytes + bitswapBytes + kadBytes + [9, 9]
        var whole = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: [kad])
        whole.feed(flight)
        #expect(whole.selected == kad)
        for split in 0...flight.count {
            var driver = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: [kad])
            driver.feed(flight[..<split])
            driver.feed(flight[split...])
            #expect(driver.sent == whole.sent)
            #expect(driver.selected == kad)
            #expect(Array(driver.input.readableBytesView) == [9, 9])
        }
        var drops = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: [kad])
        for byte in flight { drops.feed([byte]) }
        #expect(drops.sent == whole.sent)
        #expect(Array(drops.input.readableBytesView) == [9, 9])
    }

    @Test func twoMachinesAgree() {
        var generator = SplitMix64(seed: 7)
        for _ in 0..<300 {
            let names = (0..<Int.random(in: 1...6, using: &generator)).map { ProtocolID("/p/\($0)") }
            let supported = names.filter { _ in Bool.random(using: &generator) }
            var initiator = Driver(machine: MultistreamSelect(proposing: names))
            var responder = Driver(machine: MultistreamSelect(respondingWith: .init()), supported: supported)
            initiator.sent = Array(initiator.machine.start().readableBytesView)
            for _ in 0..<20 {
                let out = initiator.sent
                initiator.sent = []
                responder.feed(out)
                let back = responder.sent
                responder.sent = []
                initiator.feed(back)
            }
            #expect(initiator.selected == supported.first)
            #expect(responder.selected == supported.first)
            #expect((initiator.failure?.reason == .notSupported) == supported.isEmpty)
        }
    }

    @Test func randomBytesNeverTrap() {
        var generator = SplitMix64(seed: 11)
        let pieces = [headerBytes, bitswapBytes, kadBytes, naBytes, lsBytes]
        var ended = 0
        for round in 0..<1500 {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                bytes += pieces[Int.random(in: 0..<pieces.count, using: &generator)]
            }
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            let machine =
                round % 2 == 0
                ? MultistreamSelect(proposing: [bitswap, kad]) : MultistreamSelect(respondingWith: .init())
            var driver = Driver(machine: machine, supported: [kad])
            _ = driver.machine.start()
            driver.feed(bytes)
            if driver.selected != nil || driver.failure != nil { ended += 1 }
            #expect(driver.selected != nil || driver.failure != nil || driver.input.readableBytes <= 1026)
        }
        #expect(ended > 250)
    }
}
