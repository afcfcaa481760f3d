import Multiformats
import NIOCore
import PeerIdentity
import TestSupport
import Testing

@testable import BitswapNode

@Suite struct ControlCodecTests {
    private static let cid = "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq"

    private func rejection(of line: String) -> ControlRejection? {
        guard case .failure(let rejection) = ControlCodec.decodeRequest(ByteBuffer(string: line)) else { return nil }
        return rejection
    }

    @Test func everyRequestComesBackAsItWas() throws {
        let cid = try CID(Self.cid)
        let peer = try PeerID("12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN")
        let requests: [ControlRequest] = [
            .status, .peers, .connect(address: try Multiaddr("/ip4/127.0.0.1/tcp/4001")),
            .get(cid: cid, milliseconds: 30_000), .get(cid: cid, milliseconds: nil), .offer(cids: []),
            .offer(cids: [cid, cid]), .wantlist(peer: nil), .wantlist(peer: peer), .ledger(peer: peer), .cancel(id: 7),
        ]
        for (id, request) in requests.enumerated() {
            var line = try ControlCodec.encode(
                ControlRequestLine(version: ControlProtocol.version, id: UInt64(id), request: request))
            #expect(line.readableBytesView.last == UInt8(ascii: "\n"))
            #expect(line.readableBytesView.count(where: { $0 == UInt8(ascii: "\n") }) == 1)
            line.moveWriterIndex(to: line.writerIndex - 1)
            let decoded = try ControlCodec.decodeRequest(line).get()
            #expect(decoded.request == request)
            #expect(decoded.id == UInt64(id))
        }
    }

    /// What a script or an older command sends: the form must not change within a version.
    @Test func theFormOfTheFirstVersion() throws {
        let line = ByteBuffer(
            string: #"{"version":1,"id":7,"request":{"get":{"cid":"\#(Self.cid)","milliseconds":500}}}"#)
        let decoded = try ControlCodec.decodeRequest(line).get()
        #expect(decoded.id == 7)
        #expect(decoded.request == .get(cid: try CID(Self.cid), milliseconds: 500))
        let answer = try ControlCodec.encode(
            ControlAnswerLine(version: 1, id: 7, answer: .failed(ControlFailure(.timedOut, "no"))))
        #expect(
            String(buffer: answer)
                == #"{"answer":{"failed":{"_0":{"kind":"timedOut","message":"no"}}},"id":7,"version":1}"# + "\n")
    }

    @Test func saysWhatIsWrongWithARequest() throws {
        let version = try #require(rejection(of: #"{"version":2,"id":9,"request":{"status":{}}}"#))
        #expect(version.id == 9)
        #expect(version.reason.contains("version 1"))
        let unknown = try #require(rejection(of: #"{"version":1,"id":9,"request":{"dance":{}}}"#))
        #expect(unknown.id == 9)
        let cid = try #require(rejection(of: #"{"version":1,"id":9,"request":{"get":{"cid":"nonsense"}}}"#))
        #expect(cid.id == 9)
        #expect(cid.reason.contains("nonsense"))
        for text in ["", "nonsense", "{", "[]", #"{"version":1}"#, #"{"id":1,"version":"1"}"#, "\u{0}"] {
            #expect(rejection(of: text)?.id == 0, "\(text)")
        }
    }

    @Test func randomAndMutatedLinesAreRequestsOrRejected() throws {
        var random = SplitMix64(seed: 1)
        let good = Array(#"{"version":1,"id":7,"request":{"get":{"cid":"\#(Self.cid)","milliseconds":500}}}"#.utf8)
        var rejected = 0
        for _ in 0..<2_000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                if Bool.random(using: &random) {
                    bytes[index] = UInt8.random(in: 0...255, using: &random)
                } else {
                    bytes.removeSubrange(index...min(index + 3, bytes.count - 1))
                }
            }
            if case .failure(let rejection) = ControlCodec.decodeRequest(ByteBuffer(bytes: bytes)) {
                rejected += 1
                #expect(!rejection.reason.isEmpty)
            }
        }
        #expect(rejected > 1_000)
    }

    @Test func durationsBecomeMilliseconds() {
        #expect(Duration.zero.wholeMilliseconds == 0)
        #expect(Duration.nanoseconds(1).wholeMilliseconds == 1)
        #expect(Duration.milliseconds(1_500).wholeMilliseconds == 1_500)
        #expect(Duration.seconds(Int64.max).wholeMilliseconds == .max)
    }
}
