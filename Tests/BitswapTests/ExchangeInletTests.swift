import Blockstore
import Logging
import NIOCore
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import Bitswap

@Suite(.timeLimit(.minutes(5))) struct ExchangeInletTests {
    private let blocks = (1...3).map { block(String(repeating: "\($0)", count: 600)) }

    /// An exchange that wants the blocks of peer 1 and does not store anything before it runs.
    private func exchange(unstoredBytes: Int, logger: Logger = Logger(label: "test")) -> Exchange {
        var configuration = Exchange.Configuration()
        configuration.limits.unstoredBytesPerStream = unstoredBytes
        let exchange = Exchange(
            store: WatchedStore(), network: MemoryNetwork().face(of: peer(0)), configuration: configuration,
            time: ManualClock().timeSource, logger: logger)
        exchange.connected(peer(1))
        exchange.client.withLockedValue { client in
            for block in blocks {
                let waiter = client.register(block.cid, providers: .any, deadline: nil, now: .zero)
                _ = client.open([waiter], now: .zero)
            }
            _ = client.takeEntries(for: peer(1), limit: 9, version: .v1_2_0, now: .zero)
        }
        return exchange
    }

    private func inlet(
        of exchange: Exchange, release: @escaping @Sendable (Int) -> Void = { _ in },
        reset: @escaping @Sendable () -> Void = {}
    ) -> ExchangeInlet {
        ExchangeInlet(exchange, peer: peer(1), release: release, reset: reset)
    }

    private func frame(_ block: Block) -> ByteBuffer {
        var encoder = MessageEncoder(version: .v1_2_0, entries: [], isFull: false, capacity: 0)
        block.bytes.withUnsafeReadableBytes { encoder.append(block: $0, cid: block.cid) }
        return encoder.finish(pendingBytes: 0)
    }

    @Test func theWindowStaysShutWhileTooMuchWaitsForTheStore() async throws {
        let frames = blocks.map(frame)
        let sizes = frames.map(\.readableBytes)
        // What two messages hold, their length prefixes not counted, is the limit: the third is one too many.
        let exchange = exchange(unstoredBytes: sizes[0] + sizes[1] - 4)
        let released = NIOLockedValueBox(0)
        let inlet = inlet(of: exchange) { count in released.withLockedValue { $0 += count } }
        try inlet.receive(frames[0])
        try inlet.receive(frames[1])
        #expect(released.withLockedValue { $0 } == sizes[0] + sizes[1])
        #expect(exchange.statistics.limitHits == [:])
        try inlet.receive(frames[2])
        #expect(released.withLockedValue { $0 } == sizes[0] + sizes[1])
        #expect(exchange.statistics.limitHits == ["unstoredBytesPerStream": 1])
        try inlet.receive(ByteBuffer(bytes: [4]))
        #expect(exchange.statistics.limitHits == ["unstoredBytesPerStream": 1], "it is stopped already")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await exchange.run() }
            try await eventually("all is stored and released") { released.withLockedValue { $0 } == sizes.reduce(1, +) }
            group.cancelAll()
        }
        #expect(exchange.statistics.limitHits == ["unstoredBytesPerStream": 1])
    }

    @Test func partsOfAMessageAreReleasedAsTheyCome() throws {
        let exchange = exchange(unstoredBytes: 0)
        let released = NIOLockedValueBox(0)
        let inlet = inlet(of: exchange) { count in released.withLockedValue { $0 += count } }
        var whole = frame(blocks[0])
        let part = whole.readSlice(length: 100) ?? whole
        try inlet.receive(part)
        #expect(released.withLockedValue { $0 } == 100, "a message may be larger than the window")
    }

    @Test func aPartOfAMessageCountsUntilItIsWholeOrItsStreamIsGone() throws {
        let exchange = exchange(unstoredBytes: 0)
        var whole = frame(blocks[0])
        var (first, second) = (inlet(of: exchange), Optional(inlet(of: exchange)))
        let part = whole.readSlice(length: 500) ?? whole
        try first.receive(part)
        try second?.receive(part)
        let held = exchange.intake.bytes
        #expect(held >= 1_000)
        try first.receive(whole)
        #expect(exchange.intake.bytes < held, "one is whole; its block waits for the store")
        second = nil
        first = inlet(of: exchange)
        #expect(exchange.intake.bytes == blocks[0].bytes.readableBytes)
    }

    @Test func aFewBytesDoNotKeepTheMemoryOfTheManyTheyCameWith() throws {
        let exchange = exchange(unstoredBytes: 0)
        let inlet = inlet(of: exchange)
        var piece = ByteBuffer(repeating: 0, count: 64 << 10)
        piece.moveReaderIndex(to: piece.writerIndex - 3)
        piece.setBytes([0xff, 0x01, 0x0a], at: piece.readerIndex)
        try inlet.receive(piece)
        #expect(exchange.intake.bytes < 2_048)
    }

    @Test func withTooManyPartsOfMessagesStreamsAreReset() throws {
        let exchange = exchange(unstoredBytes: 0)
        let resets = NIOLockedValueBox(0)
        var piece = ByteBuffer()
        piece.writeBytes([0x80, 0x92, 0xf4, 0x01])  // 4,000,000
        piece.writeRepeatingByte(0x42, count: 250_000)
        let inlets = (0..<200).map { _ in inlet(of: exchange, reset: { resets.withLockedValue { $0 += 1 } }) }
        for inlet in inlets { try inlet.receive(piece) }
        #expect(resets.withLockedValue { $0 } > 0)
        #expect(exchange.intake.bytes <= exchange.configuration.limits.incomingBytes)
        #expect(exchange.statistics.limitHits["incomingBytes", default: 0] == resets.withLockedValue { $0 })
    }

    @Test func aStreamThatEndsInTheMiddleOfAMessageIsMalformed() throws {
        let exchange = exchange(unstoredBytes: 0)
        let inlet = inlet(of: exchange)
        try inlet.finish()
        var whole = frame(blocks[0])
        try inlet.receive(whole.readSlice(length: 100) ?? whole)
        #expect(throws: ExchangeError.self) { try inlet.finish() }
        #expect(exchange.statistics.malformedMessages == 1)
    }

    @Test func aPeerThatSendsRubbishCannotFillTheLog() throws {
        let lines = NIOLockedValueBox<[Logger.Metadata]>([])
        let exchange = exchange(unstoredBytes: 0, logger: Logger(label: "test") { _ in LineCounter(lines: lines) })
        for _ in 0..<1_000 {
            let inlet = inlet(of: exchange)
            #expect(throws: ExchangeError.self) { try inlet.receive(ByteBuffer(bytes: [1, 0xff])) }
        }
        #expect(exchange.statistics.malformedMessages == 1_000)
        let told = lines.withLockedValue { $0.compactMap { $0["offences"] } }
        #expect(told == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map { .string("\($0)") })
    }
}

private struct LineCounter: LogHandler {
    let lines: NIOLockedValueBox<[Logger.Metadata]>
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        lines.withLockedValue { $0.append(event.metadata ?? [:]) }
    }
}
