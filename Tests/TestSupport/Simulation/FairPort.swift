import HeapModule

/// One direction of a node's own connection to the network: all its links go through it and share it fairly, byte for
/// byte, those with little to send not behind those with much (start-time fair queueing). Pure.
struct FairPort {
    /// What one link has had of the port.
    struct Share {
        fileprivate var finish: Int64 = 0
        fileprivate(set) var isQueued = false
    }

    private struct Turn: Comparable {
        var start: Int64
        var serial: UInt64
        var pipe: Pipe

        static func < (a: Turn, b: Turn) -> Bool { a.start != b.start ? a.start < b.start : a.serial < b.serial }
        static func == (a: Turn, b: Turn) -> Bool { a.serial == b.serial }
    }

    /// Bytes a second; nil is no limit.
    var rate: Int?
    private var turns: Heap<Turn> = []
    private var lastSerial: UInt64 = 0
    /// The start of what is being served, in bytes a link would have had if it had always taken its share.
    private var progress: Int64 = 0
    /// Nanoseconds since the start of the simulation at which the port is free again.
    private(set) var freeAt: Int64 = 0
    /// A visit at ``freeAt`` is scheduled.
    var isVisitPending = false

    init(rate: Int?) { self.rate = rate }

    var hasTurns: Bool { !turns.isEmpty }

    mutating func enqueue(_ pipe: Pipe, _ share: inout Share) {
        lastSerial += 1
        share.isQueued = true
        turns.insert(Turn(start: max(progress, share.finish), serial: lastSerial, pipe: pipe))
    }

    /// The link whose turn it is. What it does with it, it says by ``serve(_:_:now:)``.
    mutating func takeTurn() -> Pipe? {
        guard let turn = turns.popMin() else { return nil }
        progress = max(progress, turn.start)
        return turn.pipe
    }

    mutating func giveTurnBack(_ share: inout Share) { share.isQueued = false }

    /// Takes so many bytes of one link. Returns the nanoseconds for which the port is busy with them.
    mutating func serve(_ bytes: Int, _ share: inout Share, now: Int64) -> Int64 {
        share.isQueued = false
        share.finish = max(progress, share.finish) + Int64(bytes)
        let duration = rate.map { transmissionTime(bytes, rate: $0) } ?? 0
        freeAt = now + duration
        return duration
    }
}

/// Nanoseconds that it takes to send so many bytes at so many bytes a second.
func transmissionTime(_ bytes: Int, rate: Int) -> Int64 {
    let (seconds, rest) = bytes.quotientAndRemainder(dividingBy: rate)
    return Int64(seconds) * 1_000_000_000 + Int64((Double(rest) * 1e9 / Double(rate)).rounded(.up))
}
