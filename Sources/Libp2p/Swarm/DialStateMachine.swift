import Multiformats

/// Decides which address of a dial is tried when: one at the start, the next after a pause or as soon as one fails,
/// until one works, none is left, or the dial is stopped. Pure: no channel, no clock.
struct DialStateMachine {
    /// One try of one address.
    typealias AttemptID = Int

    enum Action: Equatable {
        case start(AttemptID, Multiaddr)
        /// Call ``pauseEnded()`` after the pause. At most one pause runs at a time.
        case startPause
        /// The dial is over with this attempt; close the others.
        case succeed(AttemptID, abandon: [AttemptID])
        /// The dial is over without a connection; close what is left.
        case fail(abandon: [AttemptID])
    }

    /// What was tried and why it did not work.
    struct Failure {
        let address: Multiaddr
        let error: Libp2pError
    }

    private var waiting: [Multiaddr] = []
    private var seen: Set<Multiaddr> = []
    private var running: [AttemptID: Multiaddr] = [:]
    private var nextID = 0
    private var pauseRuns = false
    private var budget: Int
    private var begun = false
    private(set) var isOver = false
    private(set) var failures: [Failure] = []

    /// - Parameter budget: how many addresses are tried at most.
    init(addresses: [Multiaddr], budget: Int) {
        self.budget = budget
        enqueue(addresses, first: false)
    }

    mutating func begin() -> [Action] {
        begun = true
        return startNext()
    }

    /// Another caller knows more addresses of the same peer.
    mutating func add(_ addresses: [Multiaddr]) -> [Action] {
        guard !isOver else { return [] }
        enqueue(addresses, first: false)
        return begun && !pauseRuns ? startNext() : []
    }

    mutating func pauseEnded() -> [Action] {
        pauseRuns = false
        return isOver || waiting.isEmpty ? [] : startNext()
    }

    mutating func attemptFailed(_ id: AttemptID, _ error: Libp2pError) -> [Action] {
        guard let address = running.removeValue(forKey: id), !isOver else { return [] }
        failures.append(Failure(address: address, error: error))
        return startNext()
    }

    /// The address was a name; these are what it stands for, and they come before what waits.
    mutating func attemptResolved(_ id: AttemptID, to addresses: [Multiaddr]) -> [Action] {
        guard running.removeValue(forKey: id) != nil, !isOver else { return [] }
        enqueue(addresses, first: true)
        return startNext()
    }

    mutating func attemptSucceeded(_ id: AttemptID) -> [Action] {
        guard running.removeValue(forKey: id) != nil, !isOver else { return [] }
        return [.succeed(id, abandon: finish())]
    }

    /// The time is up, or nobody wants the connection any more. What is under way has failed for that reason.
    mutating func stop(_ reason: Libp2pError) -> [Action] {
        guard !isOver else { return [] }
        for (_, address) in running.sorted(by: { $0.key < $1.key }) {
            failures.append(Failure(address: address, error: reason))
        }
        return [.fail(abandon: finish())]
    }

    private mutating func startNext() -> [Action] {
        guard !waiting.isEmpty else {
            return running.isEmpty ? [.fail(abandon: finish())] : []
        }
        let address = waiting.removeFirst()
        let id = nextID
        nextID += 1
        running[id] = address
        guard !pauseRuns else { return [.start(id, address)] }
        pauseRuns = true
        return [.start(id, address), .startPause]
    }

    private mutating func enqueue(_ addresses: [Multiaddr], first: Bool) {
        var new: [Multiaddr] = []
        for address in addresses where budget > 0 && seen.insert(address).inserted {
            budget -= 1
            new.append(address)
        }
        waiting.insert(contentsOf: new, at: first ? 0 : waiting.count)
    }

    private mutating func finish() -> [AttemptID] {
        isOver = true
        waiting = []
        let left = running.keys.sorted()
        running = [:]
        return left
    }
}
