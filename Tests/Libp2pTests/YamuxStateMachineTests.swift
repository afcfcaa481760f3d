import NIOCore
import Testing

@testable import Libp2p

private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

extension YamuxStateMachine {
    /// Opens a stream that is expected to open.
    fileprivate mutating func mustOpen(now: NIODeadline = start) throws -> UInt32 {
        guard case .opened(let header) = open(now: now) else {
            throw YamuxFailure(.internalError, "did not open")
        }
        return header.streamID
    }

    fileprivate mutating func receive(
        _ kind: YamuxHeader.Kind, _ flags: YamuxHeader.Flags = [], _ streamID: UInt32 = 0, _ value: UInt32 = 0,
        now: NIODeadline = start
    ) -> Action {
        receive(YamuxHeader(kind, flags, streamID: streamID, value: value), now: now)
    }

    /// A data frame with its whole payload.
    fileprivate mutating func receiveData(
        _ flags: YamuxHeader.Flags = [], _ streamID: UInt32, _ count: UInt32, now: NIODeadline = start
    ) -> (Action, target: UInt32?, end: Action) {
        let action = receive(.data, flags, streamID, count, now: now)
        var target: UInt32?
        if case .stream(let id, let changes) = action, !changes.contains(.reset) { target = id }
        return (action, target, payloadEnded())
    }
}

@Suite struct YamuxStateMachineTests {
    // MARK: Opening

    @Test func clientOpensOddAndServerEven() throws {
        var client = YamuxStateMachine(role: .client)
        var server = YamuxStateMachine(role: .server)
        #expect(client.open(now: start) == .opened(YamuxHeader(.windowUpdate, .syn, streamID: 1)))
        #expect(client.open(now: start) == .opened(YamuxHeader(.windowUpdate, .syn, streamID: 3)))
        #expect(server.open(now: start) == .opened(YamuxHeader(.windowUpdate, .syn, streamID: 2)))
        #expect(server.open(now: start) == .opened(YamuxHeader(.windowUpdate, .syn, streamID: 4)))
    }

    @Test(arguments: [YamuxHeader.Kind.data, .windowUpdate])
    func peerOpensAndIsAcknowledgedOnce(kind: YamuxHeader.Kind) {
        var server = YamuxStateMachine(role: .server)
        #expect(server.receive(kind, .syn, 1) == .stream(1, .opened))
        #expect(server.pendingInboundCount == 1)
        #expect(server.acknowledge(1) == YamuxHeader(.windowUpdate, .ack, streamID: 1))
        #expect(server.acknowledge(1) == nil)
        #expect(server.pendingInboundCount == 0)
        #expect(server.inboundCount == 1)
    }

    @Test func peerMayOpenOutOfOrder() {
        var server = YamuxStateMachine(role: .server)
        #expect(server.receive(.windowUpdate, .syn, 5) == .stream(5, .opened))
        #expect(server.receive(.windowUpdate, .syn, 3) == .stream(3, .opened))
    }

    @Test func peerOpensWithPayloadAndEndInOneFrame() {
        var client = YamuxStateMachine(role: .client)
        let (action, target, end) = client.receiveData([.syn, .fin], 2, 10)
        #expect(action == .stream(2, .opened))
        #expect(target == 2)
        #expect(end == .stream(2, .ended))
        #expect(client.streams[2]?.unconsumed == 10)
    }

    @Test func peerOpensAndEndsWithoutPayload() {
        var client = YamuxStateMachine(role: .client)
        #expect(client.receive(.windowUpdate, [.syn, .fin], 2) == .stream(2, [.opened, .ended]))
    }

    @Test func openingOurNumberIsAProtocolError() {
        var client = YamuxStateMachine(role: .client)
        guard case .fail(let failure) = client.receive(.windowUpdate, .syn, 1) else {
            Issue.record("taken")
            return
        }
        #expect(failure.goAway == .protocolError)
    }

    @Test func openingTwiceIsAProtocolError() {
        var server = YamuxStateMachine(role: .server)
        _ = server.receive(.windowUpdate, .syn, 1)
        guard case .fail(let failure) = server.receive(.windowUpdate, .syn, 1) else {
            Issue.record("taken")
            return
        }
        #expect(failure.goAway == .protocolError)
    }

    @Test(arguments: [YamuxHeader.Kind.data, .windowUpdate])
    func streamZeroIsAProtocolError(kind: YamuxHeader.Kind) {
        var client = YamuxStateMachine(role: .client)
        guard case .fail(let failure) = client.receive(kind, .syn, 0) else {
            Issue.record("taken")
            return
        }
        #expect(failure.goAway == .protocolError)
    }

    @Test func largerInitialWindowIsGrantedWithSynAndAck() {
        var limits = YamuxLimits()
        limits.initialReceiveWindow = 1024 * 1024
        let extra = UInt32(1024 * 1024 - 256 * 1024)
        var client = YamuxStateMachine(role: .client, limits: limits)
        #expect(client.open(now: start) == .opened(YamuxHeader(.windowUpdate, .syn, streamID: 1, value: extra)))
        _ = client.receive(.windowUpdate, .syn, 2)
        // Until the acknowledgement the peer has the window of the specification.
        #expect(client.streams[2]?.receiveCredit == 256 * 1024)
        #expect(client.acknowledge(2) == YamuxHeader(.windowUpdate, .ack, streamID: 2, value: extra))
        #expect(client.streams[2]?.receiveCredit == 1024 * 1024)
    }

    @Test func peersLargerWindowCountsWithSynAndAck() throws {
        var client = YamuxStateMachine(role: .client)
        #expect(client.receive(.windowUpdate, .syn, 2, 1000) == .stream(2, [.opened, .windowOpened]))
        #expect(client.sendWindow(of: 2) == 256 * 1024 + 1000)
        let id = try client.mustOpen()
        #expect(client.receive(.windowUpdate, .ack, id, 5) == .stream(id, [.acknowledged, .windowOpened]))
        #expect(client.sendWindow(of: id) == 256 * 1024 + 5)
    }

    @Test func acknowledgementMayComeWithData() throws {
        var client = YamuxStateMachine(role: .client)
        let id = try client.mustOpen()
        #expect(client.unacknowledgedCount == 1)
        let (action, target, end) = client.receiveData(.ack, id, 3)
        #expect(action == .stream(id, .acknowledged))
        #expect(target == id)
        #expect(end == .none)
        #expect(client.unacknowledgedCount == 0)
    }

    @Test func acknowledgementBacklogAtTheLimitAndPastIt() throws {
        var client = YamuxStateMachine(role: .client)
        for _ in 0..<256 { _ = try client.mustOpen() }
        #expect(client.open(now: start) == .wait)
        _ = client.receive(.windowUpdate, .ack, 1)
        #expect(try client.mustOpen() == 513)
        #expect(client.open(now: start) == .wait)
        // A refusal, and a reset of our own, make room too.
        _ = client.receive(.windowUpdate, .rst, 3)
        #expect(try client.mustOpen() == 515)
        _ = client.reset(5)
        #expect(try client.mustOpen() == 517)
        #expect(client.open(now: start) == .wait)
    }

    @Test func outboundStreamsAtTheLimitAndPastIt() throws {
        var limits = YamuxLimits()
        limits.outboundStreams = 3
        var client = YamuxStateMachine(role: .client, limits: limits)
        for _ in 0..<3 { _ = try client.mustOpen() }
        guard case .refused(let failure) = client.open(now: start) else {
            Issue.record("opened")
            return
        }
        #expect(failure.limit == .outboundStreams)
        _ = client.reset(1)
        _ = try client.mustOpen()
    }

    @Test func inboundStreamsAtTheLimitAndPastIt() {
        var limits = YamuxLimits()
        limits.inboundStreams = 3
        var server = YamuxStateMachine(role: .server, limits: limits)
        for id: UInt32 in [1, 3, 5] { #expect(server.receive(.windowUpdate, .syn, id) == .stream(id, .opened)) }
        #expect(
            server.receive(.windowUpdate, .syn, 7)
                == .reply(YamuxHeader(.windowUpdate, .rst, streamID: 7), limit: .inboundStreams))
        #expect(server.inboundCount == 3)
        _ = server.receive(.windowUpdate, .rst, 1)
        #expect(server.receive(.windowUpdate, .syn, 9) == .stream(9, .opened))
    }

    @Test func pendingInboundStreamsAtTheLimitAndPastIt() {
        var limits = YamuxLimits()
        limits.pendingInboundStreams = 2
        var server = YamuxStateMachine(role: .server, limits: limits)
        _ = server.receive(.windowUpdate, .syn, 1)
        _ = server.receive(.windowUpdate, .syn, 3)
        #expect(
            server.receive(.windowUpdate, .syn, 5)
                == .reply(YamuxHeader(.windowUpdate, .rst, streamID: 5), limit: .pendingInboundStreams))
        _ = server.acknowledge(1)
        #expect(server.receive(.windowUpdate, .syn, 7) == .stream(7, .opened))
    }

    // MARK: Closing

    @Test func bothEndsCloseInEitherOrder() throws {
        var client = YamuxStateMachine(role: .client)
        let first = try client.mustOpen()
        let sentMade = client.finish(first)
        let sent = try #require(sentMade)
        #expect(sent.header == YamuxHeader(.windowUpdate, .fin, streamID: first) && !sent.isClosed)
        #expect(client.finish(first) == nil)
        #expect(client.receive(.windowUpdate, .fin, first) == .stream(first, [.ended, .closed]))

        let second = try client.mustOpen()
        #expect(client.receive(.windowUpdate, .fin, second) == .stream(second, .ended))
        let answerMade = client.finish(second)
        let answer = try #require(answerMade)
        #expect(answer.isClosed)
        #expect(client.streams.isEmpty)
        #expect(client.outboundCount == 0)
        #expect(client.windowBytes == 0)
    }

    @Test func finOnDataCountsAfterThePayload() throws {
        var client = YamuxStateMachine(role: .client)
        let id = try client.mustOpen()
        _ = client.finish(id)
        #expect(client.receive(.data, .fin, id, 4) == .stream(id, []))
        #expect(client.streams[id] != nil)
        #expect(client.payloadEnded() == .stream(id, [.ended, .closed]))
        #expect(client.unconsumedBytes == 0)
    }

    @Test func emptyDataWithFinEnds() throws {
        var client = YamuxStateMachine(role: .client)
        let id = try client.mustOpen()
        #expect(client.receive(.data, .fin, id) == .stream(id, .ended))
    }

    @Test func nothingIsSentAfterOurEnd() throws {
        var client = YamuxStateMachine(role: .client)
        let id = try client.mustOpen()
        _ = client.finish(id)
        #expect(client.data(id, available: 10) == nil)
        #expect(client.sendWindow(of: id) == 0)
        // The peer still sends, and gets its window back.
        _ = client.receiveData([], id, 200_000)
        #expect(client.consume(id, byteCount: 200_000, now: start)?.value == 200_000)
    }

    @Test func windowUpdateWithFinGrantsAndEnds() throws {
        var client = YamuxStateMachine(role: .client)
        let id = try client.mustOpen()
        #expect(client.receive(.windowUpdate, .fin, id, 7) == .stream(id, [.windowOpened, .ended]))
        #expect(client.sendWindow(of: id) == 256 * 1024 + 7)
    }

    @Test func dataAfterThePeersEndResetsTheStreamOnly() throws {
        var client = YamuxStateMachine(role: .client)
        let id = try client.mustOpen()
        _ = client.receive(.windowUpdate, .fin, id)
        let (action, target, end) = client.receiveData([], id, 4)
        guard case .abort(id, YamuxHeader(.windowUpdate, .rst, streamID: id), let failure) = action else {
            Issue.record("\(action)")
            return
        }
        #expect(failure.limit == nil)
        #expect(target == nil)
        #expect(end == .none)
    }

    @Test(arguments: [YamuxHeader.Kind.data, .windowUpdate])
    func peerResets(kind: YamuxHeader.Kind) throws {
        var client = YamuxStateMachine(role: .client)
        let id = try client.mustOpen()
        let (action, target, end) = client.receiveData([.rst, .fin], id, kind == .data ? 4 : 0)
        #expect(action == .stream(id, .reset))
        #expect(target == nil)
        #expect(end == .none)
        #expect(client.streams.isEmpty)
        #expect(client.unacknowledgedCount == 0)
    }

    @Test func resettingInTheMiddleOfAPayloadDropsTheRest() throws {
        var client = YamuxStateMachine(role: .client)
        let id = try client.mustOpen()
        _ = client.receive(.data, .fin, id, 100)
        #expect(client.reset(id) == YamuxHeader(.windowUpdate, .rst, streamID: id))
        #expect(client.streams[id] == nil)
        #expect(client.payloadEnded() == .none)
        #expect(client.unconsumedBytes == 0)
        #expect(client.reset(id) == nil)
    }

    @Test func framesInFlightAfterOurResetAreFree() throws {
        var limits = YamuxLimits()
        limits.glitches = 0
        var client = YamuxStateMachine(role: .client, limits: limits)
        let id = try client.mustOpen()
        _ = client.reset(id)
        // The whole window may be under way, also in small frames, and what belongs to the end of a stream.
        for _ in 0..<256 { #expect(client.receiveData([], id, 1024).0 == .none) }
        #expect(client.receive(.windowUpdate, [], id, 100) == .none)
        #expect(client.receive(.windowUpdate, .ack, id, 0) == .none)
        #expect(client.receive(.windowUpdate, .fin, id) == .none)
        #expect(client.receive(.windowUpdate, .rst, id) == .none)
        // One byte past the window is not.
        guard case .fail(let failure) = client.receive(.data, [], id, 1) else {
            Issue.record("taken")
            return
        }
        #expect(failure.limit == .glitches)
    }

    @Test func framesForStreamsThatNeverWereAreCharged() {
        var limits = YamuxLimits()
        limits.glitches = 2
        var client = YamuxStateMachine(role: .client, limits: limits)
        #expect(client.receiveData([], 77, 10).0 == .none)
        #expect(client.receive(.windowUpdate, .fin, 4) == .none)
        guard case .fail = client.receive(.windowUpdate, .rst, 4) else {
            Issue.record("taken")
            return
        }
    }

    @Test func rememberedStreamsAreBounded() throws {
        var limits = YamuxLimits()
        limits.rememberedStreams = 3
        limits.glitches = 0
        var client = YamuxStateMachine(role: .client, limits: limits)
        for _ in 0..<4 { _ = client.reset(try client.mustOpen()) }
        #expect(client.closedStreams.keys.sorted() == [3, 5, 7])
        #expect(client.receiveData([], 3, 10).0 == .none)
        guard case .fail = client.receive(.data, [], 1, 10) else {
            Issue.record("forgotten stream was free")
            return
        }
    }

    @Test func aRefusedStreamsPayloadIsFree() {
        var limits = YamuxLimits()
        limits.inboundStreams = 0
        limits.glitches = 1
        var server = YamuxStateMachine(role: .server, limits: limits)
        let (action, target, _) = server.receiveData(.syn, 1, 1000)
        #expect(action == .reply(YamuxHeader(.windowUpdate, .rst, streamID: 1), limit: .inboundStreams))
        #expect(target == nil)
        #expect(server.receiveData([], 1, 256 * 1024 - 1000).0 == .none)
        #expect(server.receive(.windowUpdate, .fin, 1) == .none)
    }

    // MARK: Ping and go-away

    @Test func pingIsAnsweredWithItsValue() {
        var client = YamuxStateMachine(role: .client)
        #expect(
            client.receive(.ping, .syn, 0, 0xDEAD_BEEF)
                == .reply(YamuxHeader(.ping, .ack, value: 0xDEAD_BEEF), limit: nil))
    }

    @Test func ourPingMeasures() throws {
        var client = YamuxStateMachine(role: .client)
        let pingMade = client.sendPing(now: start)
        let ping = try #require(pingMade)
        #expect(ping == YamuxHeader(.ping, .syn, value: 0))
        #expect(client.sendPing(now: start) == nil)
        #expect(client.receive(.ping, .ack, 0, 99, now: start + .milliseconds(1)) == .none)
        #expect(client.roundTrip == nil)
        #expect(client.receive(.ping, .ack, 0, 0, now: start + .milliseconds(10)) == .measured(.milliseconds(10)))
        #expect(client.roundTrip == .milliseconds(10))
        #expect(client.pingSentAt == nil)
        #expect(client.sendPing(now: start) == YamuxHeader(.ping, .syn, value: 1))
        _ = client.receive(.ping, .ack, 0, 1, now: start + .milliseconds(20))
        let smoothed = try #require(client.roundTrip)
        #expect(smoothed > .milliseconds(14) && smoothed < .milliseconds(16))
    }

    @Test(arguments: [0, 1, 2, 3, 4101] as [UInt32])
    func goAwayIsPassedOn(code: UInt32) throws {
        var client = YamuxStateMachine(role: .client)
        let id = try client.mustOpen()
        #expect(client.receive(.goAway, [], 0, code) == .goAway(YamuxGoAway(rawValue: code)))
        guard case .refused = client.open(now: start) else {
            Issue.record("opened after go-away")
            return
        }
        // What is open goes on.
        #expect(client.data(id, available: 10)?.value == 10)
        #expect(client.receive(.windowUpdate, .syn, 2) == .stream(2, .opened))
    }

    @Test func afterOurGoAwayNewStreamsAreReset() {
        var server = YamuxStateMachine(role: .server)
        #expect(server.sendGoAway(.normal) == YamuxHeader(.goAway, value: 0))
        #expect(
            server.receive(.windowUpdate, .syn, 1) == .reply(YamuxHeader(.windowUpdate, .rst, streamID: 1), limit: nil))
        guard case .refused = server.open(now: start) else {
            Issue.record("opened")
            return
        }
    }
}
