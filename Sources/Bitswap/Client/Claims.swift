import HeapModule

/// Wants that a peer could give the block of, waiting until it has room: fair between sessions, and within one first those
/// that have to come in order, then the rarest. Pure.
struct Claims {
    struct Claim: Comparable {
        /// Low comes first: 0 for wants in order, else more by one than the number of peers known to hold the block.
        var rarity: Int
        var tie: UInt64
        let want: Want

        static func < (a: Claim, b: Claim) -> Bool {
            (a.rarity, a.tie, a.want.id) < (b.rarity, b.tie, b.want.id)
        }
        static func == (a: Claim, b: Claim) -> Bool {
            (a.rarity, a.tie, a.want.id) == (b.rarity, b.tie, b.want.id)
        }
    }

    private struct Turn: Comparable {
        var time: UInt64
        var session: SessionState.ID

        static func < (a: Turn, b: Turn) -> Bool { (a.time, a.session) < (b.time, b.session) }
    }

    private var queues: [SessionState.ID: Heap<Claim>] = [:]
    /// Every session with a queue, once.
    private var turns: Heap<Turn> = []

    /// Those that are out of date among them.
    private(set) var count = 0
    var isEmpty: Bool { count == 0 }

    mutating func insert(_ claim: Claim, of session: SessionState.ID, at time: UInt64) {
        if queues[session] == nil { turns.insert(Turn(time: time, session: session)) }
        queues[session, default: []].insert(claim)
        count += 1
    }

    mutating func removeAll() {
        queues = [:]
        turns = []
        count = 0
    }

    /// Takes out claims, best first, until `take` takes one.
    ///
    /// - Parameters:
    ///   - time: the virtual time of a session, which grows with what it was given; nil when it has ended.
    ///   - take: says what to do with a claim.
    mutating func pop(time: (SessionState.ID) -> UInt64?, _ take: (Claim) -> Verdict) -> (Claim, SessionState.ID)? {
        while let turn = turns.min {
            guard let now = time(turn.session) else {
                turns.removeMin()
                count -= queues.removeValue(forKey: turn.session)?.count ?? 0
                continue
            }
            guard now <= turn.time else {
                turns.removeMin()
                turns.insert(Turn(time: now, session: turn.session))
                continue
            }
            while let claim = queues[turn.session]?.popMin() {
                count -= 1
                switch take(claim) {
                case .take:
                    endIfEmpty(turn)
                    return (claim, turn.session)
                case .drop: break
                case .rarity(let rarity):
                    queues[turn.session]?.insert(Claim(rarity: rarity, tie: claim.tie, want: claim.want))
                    count += 1
                }
            }
            endIfEmpty(turn)
        }
        return nil
    }

    enum Verdict {
        case take
        /// It is out of date.
        case drop
        /// More peers hold the block by now.
        case rarity(Int)
    }

    /// Only for the session whose turn it is.
    private mutating func endIfEmpty(_ turn: Turn) {
        guard queues[turn.session]?.isEmpty == true else { return }
        queues[turn.session] = nil
        turns.removeMin()
    }

    /// Drops claims that are out of date, when there may be many of them.
    mutating func compact(_ isLive: (Want) -> Bool) {
        queues = queues.compactMapValues { queue in
            let live = Heap(queue.unordered.filter { isLive($0.want) })
            return live.isEmpty ? nil : live
        }
        turns = Heap(turns.unordered.filter { queues[$0.session] != nil })
        count = queues.values.reduce(0) { $0 + $1.count }
    }
}
