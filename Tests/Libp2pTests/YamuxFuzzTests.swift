import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import Libp2p

/// Frames nobody should send: nothing traps, nothing grows without bound, the books stay balanced.
@Suite struct YamuxFuzzTests {
    private func randomHeader(_ generator: inout SplitMix64) -> YamuxHeader {
        let kind = YamuxHeader.Kind(rawValue: UInt8.random(in: 0...10, using: &generator)) ?? .data
        let flags = YamuxHeader.Flags(
            rawValue: Bool.random(using: &generator)
                ? 1 << UInt16.random(in: 0...4, using: &generator) : .random(in: 0...15, using: &generator))
        let values: [UInt32] = [0, 0, 1, 2, 100, 40_000, 262_144, 262_145, .max]
        var value = values[Int.random(in: 0..<values.count, using: &generator)]
        if value > 100, Int.random(in: 0..<4, using: &generator) > 0 { value = 3 }
        return YamuxHeader(kind, flags, streamID: UInt32.random(in: 0...9, using: &generator), value: value)
    }

    private func check(_ machine: YamuxStateMachine, seed: UInt64) {
        let inbound = machine.streams.filter { !machine.isOurs($0.key) }
        let outbound = machine.streams.filter { machine.isOurs($0.key) }
        let isBalanced =
            machine.inboundCount == inbound.count && machine.outboundCount == outbound.count
            && machine.pendingInboundCount == inbound.values.count(where: \.unacknowledged)
            && machine.unacknowledgedCount == outbound.values.count(where: \.unacknowledged)
            && machine.unconsumedBytes == machine.streams.values.reduce(0) { $0 + $1.unconsumed }
            && machine.windowBytes == machine.streams.values.reduce(0) { $0 + $1.receiveWindow }
            && machine.closedStreams.count <= machine.limits.rememberedStreams
            && machine.unconsumedBytes <= machine.limits.receiveBuffer
            && machine.streams.values.allSatisfy {
                $0.receiveCredit >= 0 && $0.sendWindow >= 0 && $0.unconsumed >= 0
                    && $0.receiveCredit + $0.unconsumed <= $0.receiveWindow
            }
        #expect(isBalanced, "seed \(seed)")
    }

    @Test func machineStaysBalanced() {
        var frames = 0
        for seed in UInt64(1)...60 {
            var generator = SplitMix64(seed: seed)
            var limits = YamuxLimits()
            limits.inboundStreams = 3
            limits.outboundStreams = 4
            limits.rememberedStreams = 4
            limits.receiveBuffer = 600_000
            limits.glitches = 1_000_000
            var machine = YamuxStateMachine(role: seed % 2 == 0 ? .client : .server, limits: limits)
            var now = NIODeadline.uptimeNanoseconds(1)
            for _ in 0..<300 {
                now = now + .microseconds(Int64.random(in: 0...3000, using: &generator))
                let id = UInt32.random(in: 0...9, using: &generator)
                switch Int.random(in: 0..<12, using: &generator) {
                case 0: _ = machine.open(now: now)
                case 1: _ = machine.acknowledge(id)
                case 2: _ = machine.data(id, available: Int.random(in: 0...400_000, using: &generator))
                case 3: _ = machine.consume(id, byteCount: Int.random(in: 0...300_000, using: &generator), now: now)
                case 4: if Int.random(in: 0..<4, using: &generator) == 0 { _ = machine.finish(id) }
                case 5: if Int.random(in: 0..<4, using: &generator) == 0 { _ = machine.reset(id) }
                case 6: _ = machine.sendPing(now: now)
                default:
                    let before = machine
                    if case .fail = machine.receive(randomHeader(&generator), now: now) {
                        // The connection would end here; go on as if the frame had not come.
                        machine = before
                    } else {
                        _ = machine.payloadEnded()
                        frames += 1
                    }
                }
                check(machine, seed: seed)
            }
        }
        #expect(frames > 3000)
    }

    @Test func handlerSurvivesRandomFrames() throws {
        var survivors = 0
        for seed in UInt64(1)...150 {
            var generator = SplitMix64(seed: seed)
            var configuration = YamuxConfiguration()
            configuration.limits.inboundStreams = 4
            configuration.limits.glitches = 30
            let side = try YamuxSide(.server, configuration: configuration)
            side.acceptEcho { handler in
                handler.consumes = seed % 3 != 0
                handler.onBytes = { stream, bytes in
                    if seed % 5 == 0 { stream.reset() } else { stream.writeAndFlush(bytes) }
                }
                handler.onEnded = { $0.finish() }
            }
            _ = side.open([echo], RecordingHandler())
            for _ in 0..<40 where side.channel.isActive {
                var bytes = ByteBuffer()
                if Bool.random(using: &generator) {
                    let id = UInt32.random(in: 0...3, using: &generator) * 2 + 1
                    let payload = proposal(echo) + [1, 2, 3]
                    YamuxHeader(.data, .syn, streamID: id, value: UInt32(payload.count)).write(to: &bytes)
                    bytes.writeBytes(payload)
                } else {
                    let header = randomHeader(&generator)
                    header.write(to: &bytes)
                    if header.kind == .data { bytes.writeRepeatingByte(5, count: min(Int(header.value), 300_000)) }
                }
                if Int.random(in: 0..<30, using: &generator) == 0 {
                    bytes.setInteger(
                        UInt8.random(in: 0...255, using: &generator),
                        at: Int.random(in: 0..<bytes.readableBytes, using: &generator))
                }
                try side.channel.writeInbound(bytes)
                #expect(side.muxer.streamCount <= 5, "seed \(seed)")
                #expect(try side.sentBytes().readableBytes < 2_000_000, "seed \(seed)")
            }
            if side.channel.isActive { survivors += 1 }
            side.channel.close(promise: nil)
            side.loop.run()
            #expect(side.accepted.allSatisfy { $0.closedCount == 1 }, "seed \(seed)")
            #expect(side.muxer.streamCount == 0 && side.muxer.ready.isEmpty && side.muxer.batch.readableBytes == 0)
            #expect(side.closedWith.count == 1)
        }
        #expect(survivors < 150)
    }

    @Test func handlerSurvivesRandomBytes() throws {
        for seed in UInt64(1)...500 {
            var generator = SplitMix64(seed: seed)
            let side = try YamuxSide(.client)
            var bytes = (0..<Int.random(in: 1...200, using: &generator)).map { _ in
                UInt8.random(in: 0...(seed % 2 == 0 ? 255 : 3), using: &generator)
            }
            // Half of them begin well.
            if seed % 4 < 2 { bytes[0] = 0 }
            try side.channel.writeInbound(ByteBuffer(bytes: bytes))
            side.loop.run()
            #expect(side.muxer.streamCount <= 20)
            side.channel.close(promise: nil)
            side.loop.run()
            #expect(side.closedWith.count == 1, "seed \(seed)")
        }
    }

    /// A flood of anything that costs nothing to send ends the connection after a bounded number of frames.
    @Test(arguments: [
        YamuxHeader(.ping, .syn), YamuxHeader(.data, .syn, streamID: 1),
        YamuxHeader(.windowUpdate, streamID: 3, value: 1),
        YamuxHeader(.goAway), YamuxHeader(.windowUpdate, .rst, streamID: 7),
    ])
    func floodsEnd(header: YamuxHeader) throws {
        let side = try YamuxSide(.server)
        side.acceptEcho()
        try side.feedData(3, proposal(echo), .syn)
        var sent = 0
        var frames = 0
        while side.channel.isActive, frames < 5000 {
            try side.feed(header)
            sent += try side.sentBytes().readableBytes
            frames += 1
        }
        #expect(!side.channel.isActive)
        #expect(frames <= 1024 + 16)
        #expect(sent <= 1100 * 12)
    }
}
