import NIOCore
import NIOEmbedded
import Testing

@testable import Libp2p

private let header = Array(MultistreamSelect.message("/multistream/1.0.0").readableBytesView)
private let noise = Array(MultistreamSelect.message("/noise").readableBytesView)
private let yamux = Array(MultistreamSelect.message("/yamux/1.0.0").readableBytesView)
private let na = Array(MultistreamSelect.message("na").readableBytesView)

/// What comes out of the top of the pipeline.
private final class NegotiationRecorder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    var completed: [ProtocolID] = []
    var bytes: [UInt8] = []
    var errors: [Libp2pError] = []
    var onCompleted: ((ChannelHandlerContext) -> Void)?

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? NegotiationCompleted {
            completed.append(event.protocolID)
            onCompleted?(context)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        bytes += Array(unwrapInboundIn(data).readableBytesView)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? Libp2pError { errors.append(error) }
    }
}

private struct Fixture {
    let channel: EmbeddedChannel
    let loop = EmbeddedEventLoop()
    let recorder = NegotiationRecorder()

    init(_ role: NegotiationHandler.Role, _ protocols: [ProtocolID]) throws {
        channel = EmbeddedChannel(loop: loop)
        try channel.pipeline.syncOperations.addHandlers([
            NegotiationHandler(role: role, protocols: protocols, timeLimit: .seconds(5)), recorder,
        ])
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    }

    func sent() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let buffer = try channel.readOutbound(as: ByteBuffer.self) { bytes += Array(buffer.readableBytesView) }
        return bytes
    }

    func feed(_ bytes: [UInt8]) throws {
        try channel.writeInbound(ByteBuffer(bytes: bytes))
    }

    var hasLeft: Bool {
        (try? channel.pipeline.syncOperations.handler(type: NegotiationHandler.self)) == nil
    }
}

@Suite struct NegotiationHandlerTests {
    @Test func initiatorCompletesLeavesAndPassesOnTheRest() throws {
        let fixture = try Fixture(.initiator, ["/noise"])
        #expect(try fixture.sent() == header + noise)
        try fixture.feed(header + noise + [7, 8])
        #expect(fixture.recorder.completed == ["/noise"])
        #expect(fixture.recorder.bytes == [7, 8])
        #expect(fixture.hasLeft)
        try fixture.feed([9])
        #expect(fixture.recorder.bytes == [7, 8, 9])
    }

    @Test func responderAcceptsTheSecondProposalInOneFlight() throws {
        let fixture = try Fixture(.responder, ["/yamux/1.0.0"])
        #expect(try fixture.sent().isEmpty)
        try fixture.feed(header + noise + yamux + [1])
        #expect(try fixture.sent() == header + na + yamux)
        #expect(fixture.recorder.completed == ["/yamux/1.0.0"])
        #expect(fixture.recorder.bytes == [1])
        #expect(fixture.hasLeft)
    }

    @Test func everySplitCompletes() throws {
        let flight = header + noise + yamux + [1, 2]
        for split in 0...flight.count {
            let fixture = try Fixture(.responder, ["/yamux/1.0.0"])
            try fixture.feed(Array(flight[..<split]))
            try fixture.feed(Array(flight[split...]))
            #expect(fixture.recorder.completed == ["/yamux/1.0.0"])
            #expect(fixture.recorder.bytes == [1, 2])
        }
    }

    @Test func handlersAddedInTheEventSeeTheRest() throws {
        final class Next: ChannelInboundHandler {
            typealias InboundIn = ByteBuffer
            var bytes: [UInt8] = []
            func channelRead(context: ChannelHandlerContext, data: NIOAny) {
                bytes += Array(unwrapInboundIn(data).readableBytesView)
            }
        }
        let fixture = try Fixture(.responder, ["/noise"])
        let next = Next()
        fixture.recorder.onCompleted = { context in
            try? context.pipeline.syncOperations.addHandler(next, position: .before(fixture.recorder))
        }
        try fixture.feed(header + noise + [4, 5])
        #expect(next.bytes == [4, 5])
        #expect(fixture.recorder.bytes.isEmpty)
    }

    @Test func nothingInCommonClosesWithAnError() throws {
        let fixture = try Fixture(.initiator, ["/noise"])
        try fixture.feed(header + na)
        #expect(fixture.recorder.errors.map(\.code) == [.protocolNotSupported])
        #expect(!fixture.channel.isActive)
    }

    @Test func nonsenseClosesWithAnError() throws {
        let fixture = try Fixture(.responder, ["/noise"])
        try fixture.feed(Array("GET / HTTP/1.1\r\n\r\n".utf8))
        #expect(fixture.recorder.errors.map(\.code) == [.protocolViolation])
        #expect(!fixture.channel.isActive)
    }

    @Test func silenceClosesInTime() throws {
        let fixture = try Fixture(.responder, ["/noise"])
        fixture.loop.advanceTime(by: .seconds(5) - .nanoseconds(1))
        #expect(fixture.channel.isActive)
        fixture.loop.advanceTime(by: .nanoseconds(1))
        #expect(fixture.recorder.errors.map(\.code) == [.timeout])
        #expect(!fixture.channel.isActive)
    }

    @Test func timeLimitIsOffAfterAgreement() throws {
        let fixture = try Fixture(.responder, ["/noise"])
        try fixture.feed(header + noise)
        fixture.loop.advanceTime(by: .seconds(60))
        #expect(fixture.channel.isActive)
        #expect(fixture.recorder.errors.isEmpty)
    }

    @Test func aPeerThatLeavesIsAnError() throws {
        let fixture = try Fixture(.initiator, ["/noise"])
        fixture.channel.close(promise: nil)
        fixture.loop.run()
        #expect(fixture.recorder.errors.map(\.code) == [.connectionClosed])
    }
}
