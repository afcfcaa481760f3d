import Metrics
import NIOConcurrencyHelpers

/// Keeps count of what one exchange does: the only place where its statistics and its metrics change, so that the two
/// agree. An event is a message or a batch of blocks, each of which costs one lock; of a single block only that it is
/// wanted, and how long it took, go to the metrics.
final class Account: Sendable {
    private let totals = NIOLockedValueBox(ExchangeStatistics())
    private let metrics: ExchangeMetrics

    init(_ factory: any MetricsFactory) { metrics = ExchangeMetrics(factory) }

    var statistics: ExchangeStatistics { totals.withLockedValue { $0 } }

    // MARK: What comes

    /// A message was decoded. Its blocks are counted by ``blocksReceived(_:)``, when it is known what they are worth.
    func messageReceived(_ message: Message) {
        let entries = Entries(message.entries)
        let haves = message.presences.count(where: \.has)
        let dontHaves = message.presences.count - haves
        totals.withLockedValue {
            $0.incomingMessages.record(message.byteCount)
            $0.wantBlocksReceived += entries.wantBlocks
            $0.wantHavesReceived += entries.wantHaves
            $0.cancelsReceived += entries.cancels
            $0.havesReceived += haves
            $0.dontHavesReceived += dontHaves
        }
        metrics.messagesReceived.increment()
        metrics.incomingMessages.record(message.byteCount)
        metrics.wantBlocksReceived.add(entries.wantBlocks)
        metrics.wantHavesReceived.add(entries.wantHaves)
        metrics.cancelsReceived.add(entries.cancels)
        metrics.havesReceived.add(haves)
        metrics.dontHavesReceived.add(dontHaves)
    }

    /// What the blocks of one message turned out to be.
    struct Arrivals {
        var blocks = 0
        var bytes = 0
        var duplicateBlocks = 0
        var duplicateBytes = 0
    }

    func blocksReceived(_ arrivals: Arrivals) {
        totals.withLockedValue {
            $0.blocksReceived += arrivals.blocks
            $0.bytesReceived += arrivals.bytes
            $0.duplicateBlocksReceived += arrivals.duplicateBlocks
            $0.duplicateBytesReceived += arrivals.duplicateBytes
        }
        metrics.blocksReceived.add(arrivals.blocks)
        metrics.blockBytesReceived.add(arrivals.bytes)
        metrics.duplicateBlocksReceived.add(arrivals.duplicateBlocks)
        metrics.duplicateBlockBytesReceived.add(arrivals.duplicateBytes)
    }

    func blocksRefused(_ count: Int) {
        totals.withLockedValue { $0.refusedBlocks += count }
        metrics.blocksRefused.add(count)
    }

    /// A message could not be decoded, for the sake of a limit if one is given.
    func messageMalformed(_ limit: BitswapLimit?) {
        totals.withLockedValue { $0.malformedMessages += 1 }
        metrics.messagesMalformed.increment()
        if let limit { hit(limit) }
    }

    /// Fetched blocks are stored; `waits` says how long each had been waited for.
    func blocksFetched(after waits: [Duration]) {
        guard !waits.isEmpty else { return }
        totals.withLockedValue { for wait in waits { $0.timeToBlock.record(wait.wholeMicroseconds) } }
        for wait in waits { metrics.timeToBlock.record(duration: wait) }
    }

    // MARK: What goes

    /// A message with a wantlist was written.
    func wantlistSent(_ entries: Entries, bytes: Int) {
        totals.withLockedValue {
            $0.outgoingMessages.record(bytes)
            $0.wantlistBytesSent += bytes
            $0.wantBlocksSent += entries.wantBlocks
            $0.wantHavesSent += entries.wantHaves
            $0.cancelsSent += entries.cancels
        }
        messageSent(bytes: bytes)
        metrics.wantlistBytesSent.add(bytes)
        metrics.wantBlocksSent.add(entries.wantBlocks)
        metrics.wantHavesSent.add(entries.wantHaves)
        metrics.cancelsSent.add(entries.cancels)
    }

    /// What a message with answers held.
    struct Answers {
        var blocks = 0
        /// Of the blocks.
        var bytes = 0
        var haves = 0
        var dontHaves = 0
    }

    /// A message with answers was written; `waits` says how long each of its wants had waited.
    func answersSent(_ answers: Answers, bytes: Int, after waits: some Sequence<Duration>) {
        totals.withLockedValue {
            $0.outgoingMessages.record(bytes)
            $0.blocksSent += answers.blocks
            $0.bytesSent += answers.bytes
            $0.havesSent += answers.haves
            $0.dontHavesSent += answers.dontHaves
            for wait in waits { $0.queueWait.record(wait.wholeMicroseconds) }
        }
        messageSent(bytes: bytes)
        metrics.blocksSent.add(answers.blocks)
        metrics.blockBytesSent.add(answers.bytes)
        metrics.havesSent.add(answers.haves)
        metrics.dontHavesSent.add(answers.dontHaves)
        for wait in waits { metrics.queueWait.record(duration: wait) }
    }

    private func messageSent(bytes: Int) {
        metrics.messagesSent.increment()
        metrics.outgoingMessages.record(bytes)
    }

    // MARK: Limits and levels

    /// Something was refused, dropped or put off because of a limit.
    func hit(_ limit: BitswapLimit, times: Int = 1) {
        guard times > 0 else { return }
        totals.withLockedValue { $0.limitHits[limit.rawValue, default: 0] += times }
        metrics.limitHits[limit]?.add(times)
    }

    /// Wants of a peer were dropped for want of room, by this limit.
    func wantsDropped(_ count: Int, by limit: BitswapLimit) {
        guard count > 0 else { return }
        totals.withLockedValue { $0.wantsDropped += count }
        metrics.wantsDropped.add(count)
        hit(limit, times: count)
    }

    /// Wants of a peer were ignored, or treated as if their blocks were not here, by the access policy.
    func wantsDenied(_ count: Int) {
        guard count > 0 else { return }
        totals.withLockedValue { $0.wantsDenied += count }
        metrics.wantsDenied.add(count)
    }

    func peerCame() { metrics.peers.increment() }
    func peerWent() { metrics.peers.decrement() }

    /// A caller waits for a block.
    func wantOpened() { metrics.wants.increment() }

    /// So many callers wait no longer.
    func wantsEnded(_ count: Int) {
        if count > 0 { metrics.wants.decrement(by: Double(count)) }
    }

    /// The entries of a wantlist by their kind.
    struct Entries: Sendable, Hashable {
        var wantBlocks = 0
        var wantHaves = 0
        var cancels = 0

        init(_ entries: [Message.Entry]) {
            for entry in entries {
                switch entry.kind {
                case .want(.block, _): wantBlocks += 1
                case .want(.have, _): wantHaves += 1
                case .cancel: cancels += 1
                }
            }
        }
    }
}

extension Account.Answers {
    init(_ envelope: Ledger.Envelope) {
        self.init(
            blocks: envelope.blocks.count, bytes: envelope.blockBytes,
            haves: envelope.haves.count, dontHaves: envelope.dontHaves.count)
    }
}

extension Duration {
    fileprivate var wholeMicroseconds: Int {
        let (seconds, attoseconds) = components
        guard (0..<(1 << 40)).contains(seconds) else { return seconds < 0 ? 0 : .max }
        return Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000)
    }
}
