import Bitswap
import DequeModule
import NIOCore

/// Why a message was not sent over a simulated network.
public enum SimulatedNetworkError: Error, Sendable, Hashable {
    case notConnected
    /// The connection was lost with the message on it.
    case disconnected
    /// The receiver has closed the stream, because what came on it made no sense to it.
    case reset
}

/// One stream of messages from one peer to another: the outlet at the sender, and what the receiver has not read.
///
/// Confined to the simulation's thread, and therefore Sendable.
final class SimulatedStream: ExchangeOutlet, @unchecked Sendable {
    typealias Version = BitswapVersion

    private struct Frame {
        var bytes: ByteBuffer
        var facts: FrameFacts
        var completion: @Sendable ((any Error)?) -> Void
        /// Bytes that have begun to leave, and those that have left.
        var taken = 0
        var left = 0
    }

    private struct Arriving {
        var bytes: ByteBuffer
        var facts: FrameFacts
        var length: Int
        /// Bytes that have come, and those that were passed on.
        var come = 0
        var read = 0
        /// When the first of those that came and were not passed on did.
        var since: Int64 = 0
        /// How it is passed on; decided with its first piece.
        var inPieces: Bool?
    }

    let version: Version
    private let pipe: Pipe
    /// Frames of which the last byte has not left.
    private var outgoing: Deque<Frame> = []
    /// How many of them have been taken whole.
    private var takenFrames = 0
    private var credit: Int
    private var arriving: Deque<Arriving> = []
    private var unreadBytes = 0
    private var released = 0
    private var prepaid = 0
    private var inbox: (any Inbox)?
    private var error: (any Error)?
    private var isClosing = false

    init(pipe: Pipe, version: Version) {
        self.pipe = pipe
        self.version = version
        credit = pipe.window
    }

    private var simulation: Simulation { pipe.sender.simulation }

    var isOpen: Bool { error == nil && !isClosing }

    // MARK: The sender's end

    func write(_ frame: ByteBuffer, completion: @escaping @Sendable ((any Error)?) -> Void) {
        write(frame, isLie: false, completion: completion)
    }

    func write(_ frame: ByteBuffer, isLie: Bool, completion: @escaping @Sendable ((any Error)?) -> Void) {
        simulation.checkThread()
        if let error = error ?? (isClosing ? SimulatedNetworkError.notConnected : nil) {
            return simulation.schedule(at: simulation.clock) { completion(error) }
        }
        guard frame.readableBytes > 0 else { return simulation.schedule(at: simulation.clock) { completion(nil) } }
        var facts = FrameFacts(frame)
        facts.isLie = isLie
        simulation.note(.written, pipe, bytes: frame.readableBytes, content: facts.content)
        outgoing.append(Frame(bytes: frame, facts: facts, completion: completion))
        pipe.kick()
    }

    func close() {
        simulation.checkThread()
        isClosing = true
        finishIfDone()
    }

    /// Whether there is something to send, and room for it at the receiver. A piece much smaller than it might be is not
    /// worth sending.
    var canSend: Bool {
        guard error == nil, takenFrames < outgoing.count else { return false }
        let frame = outgoing[takenFrames]
        return credit >= min(frame.bytes.readableBytes - frame.taken, max(1, pipe.window / 8))
    }

    func takePiece(atMost bytes: Int) -> Int {
        let frame = outgoing[takenFrames]
        let piece = min(bytes, credit, frame.bytes.readableBytes - frame.taken)
        if frame.taken == 0 {
            arriving.append(Arriving(bytes: frame.bytes, facts: frame.facts, length: frame.bytes.readableBytes))
        }
        outgoing[takenFrames].taken += piece
        credit -= piece
        if outgoing[takenFrames].taken == frame.bytes.readableBytes { takenFrames += 1 }
        return piece
    }

    func pieceLeft(_ bytes: Int) {
        guard error == nil, !outgoing.isEmpty else { return }
        outgoing[0].left += bytes
        guard outgoing[0].left == outgoing[0].bytes.readableBytes else { return }
        let frame = outgoing.removeFirst()
        takenFrames -= 1
        pipe.sender.traffic.sent(frame.facts)
        frame.completion(nil)
        finishIfDone()
    }

    private func finishIfDone() {
        guard isClosing, error == nil, outgoing.isEmpty, arriving.isEmpty else { return }
        error = SimulatedNetworkError.notConnected
        inbox?.finish()
        inbox = nil
        pipe.remove(self)
    }

    /// Ends the stream: what has not left is not going to.
    func fail(with error: any Error) {
        guard self.error == nil else { return }
        self.error = error
        let lost = outgoing
        outgoing = []
        arriving = []
        takenFrames = 0
        inbox = nil
        for frame in lost {
            simulation.note(.lost, pipe, bytes: frame.bytes.readableBytes)
            simulation.schedule(at: simulation.clock) { frame.completion(error) }
        }
    }

    /// What it carried is nobody's any more.
    func forget() {
        outgoing = []
        arriving = []
        inbox = nil
    }

    // MARK: The receiver's end

    func arrived(_ bytes: Int) {
        guard error == nil else { return }
        unreadBytes += bytes
        // Pieces come in order, so they are of the first frame that is not whole.
        if let index = arriving.firstIndex(where: { $0.come < $0.length }) {
            if arriving[index].come == arriving[index].read { arriving[index].since = simulation.clock }
            arriving[index].come += bytes
        }
        read()
    }

    /// Passes on what has come, unless the receiver does not read. A message comes in one piece when it is whole soon; one
    /// that is long under way comes bit by bit.
    func read() {
        guard !pipe.isUnread else { return }
        while error == nil, let frame = arriving.first {
            let isWhole = frame.come == frame.length
            let isDue = simulation.clock - frame.since >= simulation.readNanoseconds || unreadBytes >= pipe.window / 2
            guard isWhole || frame.come > frame.read && isDue else { break }
            let inbox = self.inbox ?? pipe.receiver.makeInbox(from: pipe.sender, on: self)
            self.inbox = inbox
            let inPieces = frame.inPieces ?? inbox.takesPieces
            let count = frame.come - frame.read
            unreadBytes -= count
            if isWhole {
                arriving.removeFirst()
                pipe.receiver.received(frame.facts)
                simulation.note(.delivered, pipe, bytes: frame.length)
            } else {
                arriving[0].read = frame.come
                arriving[0].inPieces = inPieces
            }
            if inPieces {
                let start = frame.bytes.readerIndex + frame.read
                let piece = frame.bytes.getSlice(at: start, length: count) ?? ByteBuffer()
                if !inbox.receive(piece: piece) { return reset() }
            } else {
                release(count)
                if isWhole, !inbox.receive(message: frame.bytes) { return reset() }
            }
        }
        finishIfDone()
    }

    /// The receiver has dealt with so many bytes: the sender hears of it one latency later.
    func release(_ bytes: Int) {
        simulation.checkThread()
        guard error == nil else { return }
        let isPaid = min(bytes, prepaid)
        prepaid -= isPaid
        guard bytes > isPaid else { return }
        released += bytes - isPaid
        guard released == bytes - isPaid else { return }
        simulation.schedule(at: simulation.clock) { [self] in
            let bytes = released
            released = 0
            simulation.schedule(at: simulation.clock + pipe.latency) { [self] in
                credit += bytes
                pipe.kick()
            }
        }
    }

    /// The next so many bytes that are released were released before.
    func prepay(_ bytes: Int) { prepaid += bytes }

    func reset() {
        simulation.checkThread()
        guard error == nil else { return }
        simulation.note(.reset, pipe)
        pipe.remove(self)
        fail(with: SimulatedNetworkError.reset)
    }
}

/// Where the bytes of one stream go at the receiver. What throws them back as senseless returns false.
protocol Inbox: AnyObject {
    /// Whether the next message may come in pieces; else it comes whole.
    var takesPieces: Bool { get }
    /// Takes the next bytes; the inbox releases them to the stream when it has dealt with them.
    func receive(piece: ByteBuffer) -> Bool
    /// Takes one message, of which all bytes are released.
    func receive(message: ByteBuffer) -> Bool
    func finish()
}

extension Duration {
    /// Rounded toward zero; durations of more than 292 years are cut.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : product &+ attoseconds / 1_000_000_000
    }

    var nanosecondsRoundedUp: Int64 {
        let whole = nanoseconds
        return self > .nanoseconds(whole) ? whole + 1 : whole
    }
}
