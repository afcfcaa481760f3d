public import Bitswap
import Foundation
import Multiformats
import NIOConcurrencyHelpers
import PeerIdentity

/// A network of exchanges in one process, in virtual time: what happens in it is a function of its seed.
///
///     try await Simulation.run(seed: 17) { simulation in
///         let server = simulation.node()
///         let client = simulation.node()
///         simulation.connect(server, client, LinkProperties(latency: .milliseconds(20), bandwidth: 10_000_000))
///         try await server.store.put(block)
///         let fetched = try await client.exchange.want(block.cid)
///         #expect(fetched.elapsed >= .milliseconds(40))
///     }
///
/// All tasks of the nodes, and the body, run on one thread, one job after the other in the order in which they became
/// ready. When none is ready, the next event happens (a message comes in, a timer ends), and time jumps there; computing
/// takes no time. When nothing is left that could happen while the body waits, ``run(seed:configuration:replay:function:_:)``
/// throws a ``SimulationError`` that says who waits for what.
///
/// What the body calls must not wait for anything outside of the simulation: a thread of a pool, an event loop, the system's
/// clock. A simulation and what it makes are confined to the body (and therefore Sendable) and end with it.
public final class Simulation: @unchecked Sendable {
    public struct Configuration: Sendable {
        /// Virtual time after which a run is given up.
        public var timeLimit: Duration = .seconds(24 * 3_600)
        /// Jobs and events after which a run is given up.
        public var stepLimit = 100_000_000
        /// What goes on a link at once takes the slowest part of its way this long: the grain of fairness.
        public var slice: Duration = .milliseconds(5)
        /// A message that is under way for longer is passed on in pieces.
        public var readInterval: Duration = .milliseconds(100)

        public init() {}
    }

    public let seed: UInt64
    /// The seeded source of all that is random in the body.
    public var random: SplitMix64
    /// Virtual time, for whatever else the body runs.
    public var timeSource: TimeSource {
        TimeSource(now: { [self] in now }, sleep: { [self] in try await sleep(for: $0) })
    }

    let executor = SimulationExecutor()
    let configuration: Configuration
    let sliceSeconds: Double
    let readNanoseconds: Int64
    /// Nanoseconds since the start.
    private(set) var clock: Int64 = 0
    private(set) var isStopping = false
    private let replay: String
    let pool = BlockPool()
    private var events = EventQueue()
    var peers: [SimulatedPeer] = []
    var peersByID: [PeerID: SimulatedPeer] = [:]
    var trace: Trace
    private var sleepers: [UInt64: (EventQueue.ID, CheckedContinuation<Void, any Error>)] = [:]
    private var watchers: [Watcher] = []
    private var lastSerial: UInt64 = 0
    /// Events of the network that are still to happen.
    private var networkEvents = 0
    private var steps = 0
    private var hasEnded = false
    private let isCancelled = NIOLockedValueBox(false)

    private struct Watcher {
        var serial: UInt64
        var what: String
        /// Nil waits for the network to be quiet.
        var condition: (() -> Bool)?
        var continuation: CheckedContinuation<Void, any Error>
    }

    private init(seed: UInt64, configuration: Configuration, replay: String) {
        self.seed = seed
        self.configuration = configuration
        self.replay = replay
        random = SplitMix64(seed: seed)
        sliceSeconds = Double(configuration.slice.nanoseconds) / 1e9
        readNanoseconds = configuration.readInterval.nanoseconds
        trace = Trace(path: ProcessInfo.processInfo.environment["SIMULATION_TRACE"])
    }

    // MARK: A run

    /// Runs `body` in a network of its own, and what the nodes do for it, until it ends.
    ///
    /// Cancelling the calling task cancels the body's.
    ///
    /// - Parameters:
    ///   - seed: the environment's `SIMULATION_SEED` takes its place, if there is one.
    ///   - replay: the command that plays a run again, for reports of failures.
    /// - Throws: what the body throws, or a ``SimulationError`` when the body does not end.
    public static func run<Result: Sendable>(
        seed: UInt64, configuration: Configuration = Configuration(), replay: String? = nil,
        function: String = #function, _ body: @escaping @Sendable (Simulation) async throws -> Result
    ) async throws -> Result {
        let seed = ProcessInfo.processInfo.environment["SIMULATION_SEED"].flatMap(UInt64.init) ?? seed
        let name = function.prefix { $0 != "(" }
        let simulation = Simulation(
            seed: seed, configuration: configuration,
            replay: replay ?? "SIMULATION_SEED=\(seed) swift test --filter '\(name)'")
        let main = Task(executorPreference: simulation.executor) { () async -> Swift.Result<Result, any Error> in
            let result: Swift.Result<Result, any Error>
            do { result = .success(try await body(simulation)) } catch { result = .failure(error) }
            await simulation.stop()
            simulation.hasEnded = true
            return result
        }
        let failure = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let thread = Thread {
                    continuation.resume(returning: simulation.loop { main.cancel() })
                }
                thread.name = "simulation"
                thread.stackSize = 8 << 20
                thread.start()
            }
        } onCancel: {
            simulation.isCancelled.withLockedValue { $0 = true }
        }
        if let failure { throw failure }
        return try await main.value.get()
    }

    private func stop() async {
        isStopping = true
        for peer in peers { await peer.stop() }
    }

    /// Lets happen what happens until the body has ended and all nodes have.
    private func loop(cancel: () -> Void) -> SimulationError? {
        executor.adopt()
        defer {
            executor.leave()
            events = EventQueue()
            for peer in peers { peer.forgetLinks() }
        }
        let failure = proceed(
            timeLimit: configuration.timeLimit.nanoseconds, stepLimit: configuration.stepLimit, cancel)
        guard let failure else { return nil }
        // What is cancelled should end by itself. What does not is left as it is.
        let error = self.error(failure)
        cancel()
        failWatchers(with: error)
        _ = proceed(timeLimit: clock + 3_600_000_000_000, stepLimit: steps + 1_000_000, {})
        return error
    }

    private func proceed(timeLimit: Int64, stepLimit: Int, _ cancel: () -> Void) -> SimulationError.Code? {
        var isCancelling = false
        while true {
            while case let count = executor.runReady(), count > 0 {
                steps += count
                if steps > stepLimit { return .stepLimit }
            }
            if hasEnded { return nil }
            if !isCancelling, isCancelled.withLockedValue({ $0 }) {
                isCancelling = true
                cancel()
                continue
            }
            if wakeWatchers() { continue }
            guard let event = events.next() else { return isStopping ? .tasksLeft : .stuck }
            if event.due > timeLimit { return .timeLimit }
            clock = max(clock, event.due)
            steps += 1
            event.action()
        }
    }

    private func error(_ code: SimulationError.Code) -> SimulationError {
        var waiting = watchers.map { "the body waits until \($0.what)" } + peers.compactMap(\.waiting)
        if executor.foreignJobs > 0 {
            waiting.append("\(executor.foreignJobs) times somebody waited for something outside of the simulation")
        }
        return SimulationError(code: code, seed: seed, time: now, replay: replay, waiting: waiting)
    }

    // MARK: Time

    /// Virtual time since the start.
    public var now: Duration { .nanoseconds(clock) }

    /// Suspends for a while of virtual time, rounded up to nanoseconds; throws `CancellationError` when the task is cancelled.
    public func sleep(for duration: Duration) async throws {
        checkThread()
        lastSerial += 1
        let serial = lastSerial
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                guard !Task.isCancelled else { return continuation.resume(throwing: CancellationError()) }
                let event = events.schedule(at: clock &+ max(0, duration.nanosecondsRoundedUp)) { [self] in
                    sleepers.removeValue(forKey: serial)?.1.resume()
                }
                sleepers[serial] = (event, continuation)
            }
        } onCancel: {
            checkThread()
            guard let (event, continuation) = sleepers.removeValue(forKey: serial) else { return }
            events.cancel(event)
            continuation.resume(throwing: CancellationError())
        }
    }

    /// Does something after a while of virtual time, unless the body has ended by then.
    public func after(_ duration: Duration, _ action: @escaping () -> Void) {
        checkThread()
        events.schedule(at: clock + max(0, duration.nanoseconds)) { [self] in
            if !isStopping { action() }
        }
    }

    /// Suspends until `condition` holds; it is looked at whenever something has happened.
    ///
    /// - Throws: ``SimulationError`` when it never will, `CancellationError`.
    public func until(_ what: String, _ condition: @escaping () -> Bool) async throws {
        checkThread()
        if condition() { return }
        try await watch(what, condition)
    }

    /// Suspends until no task has anything to do and nothing is under way on the network. Timers may still be set.
    public func settle() async throws {
        checkThread()
        try await watch("the network is quiet", nil)
    }

    private func watch(_ what: String, _ condition: (() -> Bool)?) async throws {
        lastSerial += 1
        let serial = lastSerial
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                guard !Task.isCancelled else { return continuation.resume(throwing: CancellationError()) }
                watchers.append(
                    Watcher(serial: serial, what: what, condition: condition, continuation: continuation))
            }
        } onCancel: {
            checkThread()
            guard let index = watchers.firstIndex(where: { $0.serial == serial }) else { return }
            watchers.remove(at: index).continuation.resume(throwing: CancellationError())
        }
    }

    private func wakeWatchers() -> Bool {
        guard !watchers.isEmpty else { return false }
        let met = watchers.filter { $0.condition?() ?? (networkEvents == 0) }
        watchers.removeAll { watcher in met.contains { $0.serial == watcher.serial } }
        for watcher in met { watcher.continuation.resume() }
        return !met.isEmpty
    }

    private func failWatchers(with error: SimulationError) {
        let failed = watchers
        watchers = []
        for watcher in failed { watcher.continuation.resume(throwing: error) }
    }

    /// Schedules an event of the network.
    func schedule(at due: Int64, _ action: @escaping () -> Void) {
        networkEvents += 1
        events.schedule(at: due) { [self] in
            networkEvents -= 1
            action()
        }
    }

    // MARK: What happened

    /// A number for all that happened so far, and when: equal in two runs that did the same.
    public var traceHash: UInt64 { trace.hash }

    func note(_ event: Trace.Event, _ pipe: Pipe, bytes: Int = 0, content: UInt64 = 0) {
        trace.note(event, at: clock, pipe.sender.number, pipe.receiver.number, bytes: bytes, content: content)
    }

    /// Whoever touches a simulation does so from its body.
    func checkThread() {
        precondition(executor.isCurrent, "a simulation was used from outside of its body")
    }
}
