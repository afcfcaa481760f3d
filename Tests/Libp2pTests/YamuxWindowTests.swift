import NIOCore
import Testing

@testable import Libp2p

private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
private let window = 256 * 1024

private func machineWithStream(_ limits: YamuxLimits = .init()) -> YamuxStateMachine {
    var machine = YamuxStateMachine(role: .client, limits: limits)
    _ = machine.open(now: start)
    return machine
}

private func receive(_ machine: inout YamuxStateMachine, _ count: Int, stream: UInt32 = 1) -> YamuxStateMachine.Action {
    machine.receive(YamuxHeader(.data, streamID: stream, value: UInt32(count)), now: start)
}

@Suite struct YamuxWindowTests {
    // MARK: What the peer sends

    @Test func theWholeWindowMayComeAndNotOneByteMore() {
        var machine = machineWithStream()
        #expect(receive(&machine, window) == .stream(1, []))
        guard case .fail(let failure) = receive(&machine, 1) else {
            Issue.record("taken")
            return
        }
        #expect(failure.goAway == .protocolError)
        #expect(failure.limit == .receiveWindow)

        var other = machineWithStream()
        guard case .fail = receive(&other, window + 1) else {
            Issue.record("taken")
            return
        }
    }

    @Test func hugeLengthsAreRefused() {
        var machine = machineWithStream()
        guard
            case .fail(let failure) = machine.receive(YamuxHeader(.data, streamID: 1, value: .max), now: start)
        else {
            Issue.record("taken")
            return
        }
        #expect(failure.goAway == .protocolError)
    }

    @Test func windowIsGivenBackFromHalfOn() {
        var machine = machineWithStream()
        _ = receive(&machine, window)
        #expect(machine.consume(1, byteCount: window / 2 - 1, now: start) == nil)
        #expect(
            machine.consume(1, byteCount: 1, now: start)
                == YamuxHeader(.windowUpdate, streamID: 1, value: UInt32(window / 2)))
        // Exactly that much may come again.
        #expect(receive(&machine, window / 2) == .stream(1, []))
        guard case .fail = receive(&machine, 1) else {
            Issue.record("taken")
            return
        }
    }

    @Test func consumingMoreThanCameGrantsNothingMore() {
        var machine = machineWithStream()
        _ = receive(&machine, 10)
        #expect(machine.consume(1, byteCount: .max, now: start) == nil)
        #expect(machine.consume(1, byteCount: -5, now: start) == nil)
        #expect(machine.unconsumedBytes == 0)
        #expect(machine.streams[1]?.receiveCredit == window - 10)
        #expect(machine.consume(99, byteCount: 5, now: start) == nil)
    }

    @Test func noWindowIsGivenAfterThePeersEnd() {
        var machine = machineWithStream()
        _ = receive(&machine, window)
        _ = machine.receive(YamuxHeader(.windowUpdate, .fin, streamID: 1), now: start)
        #expect(machine.consume(1, byteCount: window, now: start) == nil)
        #expect(machine.unconsumedBytes == 0)
    }

    @Test func receiveBufferAtTheLimitAndPastIt() {
        var limits = YamuxLimits()
        limits.receiveBuffer = 1000
        var machine = machineWithStream(limits)
        _ = machine.open(now: start)
        #expect(receive(&machine, 600, stream: 1) == .stream(1, []))
        #expect(receive(&machine, 400, stream: 3) == .stream(3, []))
        guard case .abort(3, _, let failure) = receive(&machine, 1, stream: 3) else {
            Issue.record("taken")
            return
        }
        #expect(failure.limit == .receiveBuffer)
        // The reset stream's bytes no longer count.
        #expect(machine.unconsumedBytes == 600)
        #expect(receive(&machine, 400, stream: 1) == .stream(1, []))
    }

    // MARK: Growth

    @Test func windowDoublesWhileEpochsAreShort() throws {
        var machine = machineWithStream()
        let pingMade = machine.sendPing(now: start)
        let ping = try #require(pingMade)
        var now = start + .milliseconds(10)
        _ = machine.receive(YamuxHeader(.ping, .ack, value: ping.value), now: now)
        var current = window
        for _ in 0..<7 {
            now = now + .milliseconds(29)
            _ = receive(&machine, current / 2)
            let updateMade = machine.consume(1, byteCount: current / 2, now: now)
            let update = try #require(updateMade)
            #expect(Int(update.value) == current / 2 + current)
            current *= 2
            #expect(machine.streams[1]?.receiveWindow == current)
        }
        #expect(current == 32 * 1024 * 1024)
        // That was the maximum.
        now = now + .milliseconds(1)
        _ = receive(&machine, current / 2)
        #expect(machine.consume(1, byteCount: current / 2, now: now)?.value == UInt32(current / 2))
        #expect(machine.windowBytes == current)
    }

    @Test func windowStaysWhenAnEpochTakesFourRoundTrips() throws {
        var machine = machineWithStream()
        _ = machine.sendPing(now: start)
        _ = machine.receive(YamuxHeader(.ping, .ack, value: 0), now: start + .milliseconds(10))
        _ = receive(&machine, window)
        // Just within: it grows. At four round trips: it stays.
        var grown = machine
        #expect(grown.consume(1, byteCount: window / 2, now: start + .milliseconds(39))?.value == 393_216)
        #expect(machine.consume(1, byteCount: window / 2, now: start + .milliseconds(40))?.value == 131_072)
    }

    @Test func windowStaysWithoutARoundTrip() {
        var machine = machineWithStream()
        _ = receive(&machine, window)
        #expect(machine.consume(1, byteCount: window, now: start)?.value == UInt32(window))
    }

    @Test func growthStopsAtTheReceiveBuffer() {
        var limits = YamuxLimits()
        limits.receiveBuffer = 3 * window
        var machine = machineWithStream(limits)
        _ = machine.open(now: start)
        _ = machine.sendPing(now: start)
        _ = machine.receive(YamuxHeader(.ping, .ack, value: 0), now: start + .seconds(1))
        _ = receive(&machine, window, stream: 1)
        #expect(machine.consume(1, byteCount: window, now: start)?.value == UInt32(2 * window))
        _ = receive(&machine, window, stream: 3)
        #expect(machine.consume(3, byteCount: window, now: start)?.value == UInt32(window))
        #expect(machine.windowBytes == 3 * window)
        _ = machine.reset(1)
        #expect(machine.windowBytes == window)
    }

    // MARK: What is sent

    @Test func sendingStopsAtTheWindow() {
        var limits = YamuxLimits()
        limits.framePayload = 100_000
        var machine = machineWithStream(limits)
        #expect(machine.data(1, available: 1_000_000)?.value == 100_000)
        #expect(machine.data(1, available: 1_000_000)?.value == 100_000)
        #expect(machine.data(1, available: 1_000_000)?.value == 62_144)
        #expect(machine.data(1, available: 1_000_000) == nil)
        #expect(
            machine.receive(YamuxHeader(.windowUpdate, streamID: 1, value: 5), now: start) == .stream(1, .windowOpened))
        #expect(machine.data(1, available: 3)?.value == 3)
        #expect(machine.data(1, available: 3)?.value == 2)
        #expect(machine.data(1, available: 0) == nil)
        #expect(machine.data(7, available: 1) == nil)
    }

    @Test func sendWindowAtFourGiBAndPastIt() {
        var machine = machineWithStream()
        let most = UInt32.max - UInt32(window)
        #expect(
            machine.receive(YamuxHeader(.windowUpdate, streamID: 1, value: most), now: start)
                == .stream(1, .windowOpened))
        #expect(machine.sendWindow(of: 1) == Int(UInt32.max))
        guard case .fail(let failure) = machine.receive(YamuxHeader(.windowUpdate, streamID: 1, value: 1), now: start)
        else {
            Issue.record("taken")
            return
        }
        #expect(failure.goAway == .protocolError)
    }

    // MARK: Glitches

    @Test(arguments: [
        YamuxHeader(.data, streamID: 1),  // empty data
        YamuxHeader(.windowUpdate, streamID: 1),  // an update of nothing
        YamuxHeader(.windowUpdate, .ack, streamID: 1),  // a second acknowledgement
        YamuxHeader(.windowUpdate, .fin, streamID: 1),  // a second end
        YamuxHeader(.ping, .syn, value: 1), YamuxHeader(.ping, .ack, value: 1),
        YamuxHeader(.windowUpdate, .rst, streamID: 101), YamuxHeader(.data, streamID: 102),
        YamuxHeader(.windowUpdate, [.syn, .rst], streamID: 4),
    ])
    func framesWithoutProgressAtTheLimitAndPastIt(header: YamuxHeader) {
        var limits = YamuxLimits()
        limits.glitches = 10
        var machine = machineWithStream(limits)
        _ = machine.receive(YamuxHeader(.windowUpdate, [.ack, .fin], streamID: 1), now: start)
        for _ in 0..<10 {
            if case .fail(let failure) = machine.receive(header, now: start) { Issue.record("\(failure)") }
        }
        guard case .fail(let failure) = machine.receive(header, now: start) else {
            Issue.record("taken")
            return
        }
        #expect(failure.goAway == .protocolError)
        #expect(failure.limit == .glitches)
    }

    @Test func glitchesAreForgivenOverTime() {
        var budget = GlitchBudget(capacity: 10, forgivenPerSecond: 5)
        for _ in 0..<10 { #expect(budget.charge(now: start) == true) }
        #expect(budget.charge(now: start) == false)
        #expect(budget.charge(now: start + .seconds(1)) == true)
        #expect(budget.charge(now: start + .seconds(1)) == true)
        // Time that runs backwards forgives nothing and breaks nothing.
        #expect(budget.charge(now: start) == true)
    }

    @Test func openingAndResettingInTurnIsCharged() {
        var limits = YamuxLimits()
        limits.glitches = 50
        var machine = YamuxStateMachine(role: .server, limits: limits)
        var rounds = 0
        for id in stride(from: UInt32(1), to: 1001, by: 2) {
            _ = machine.receive(YamuxHeader(.windowUpdate, .syn, streamID: id), now: start)
            if case .fail = machine.receive(YamuxHeader(.windowUpdate, .rst, streamID: id), now: start) { break }
            rounds += 1
        }
        #expect(rounds == 50)
    }

    @Test func smallWindowUpdatesForWhatWasSentAreFree() {
        var limits = YamuxLimits()
        limits.glitches = 0
        var machine = machineWithStream(limits)
        // A peer that gives back every message by itself, in up to four pieces.
        for _ in 0..<1000 {
            _ = machine.data(1, available: 40)
            for _ in 0..<4 {
                #expect(
                    machine.receive(YamuxHeader(.windowUpdate, streamID: 1, value: 10), now: start)
                        == .stream(1, .windowOpened))
            }
        }
        // Eight more were free from the start.
        for _ in 0..<8 { _ = machine.receive(YamuxHeader(.windowUpdate, streamID: 1, value: 1), now: start) }
        guard case .fail = machine.receive(YamuxHeader(.windowUpdate, streamID: 1, value: 1), now: start) else {
            Issue.record("taken")
            return
        }
    }
}
