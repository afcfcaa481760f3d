import DequeModule
import Foundation
import NIOConcurrencyHelpers

/// Runs the jobs of all tasks of one simulation on one thread, in the order in which they became ready.
final class SimulationExecutor: TaskExecutor {
    private struct State {
        var jobs: Deque<UnownedJob> = []
        /// The thread that runs the jobs, while one does.
        var thread: UInt?
        var foreignJobs = 0
    }

    private let state = NIOLockedValueBox(State())

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let thread = Self.currentThread
        state.withLockedValue { state in
            state.jobs.append(job)
            if let own = state.thread, own != thread { state.foreignJobs += 1 }
        }
    }

    /// Makes the calling thread the one that runs the jobs, until ``leave()``.
    func adopt() {
        let thread = Self.currentThread
        state.withLockedValue { $0.thread = thread }
    }

    func leave() { state.withLockedValue { $0.thread = nil } }

    /// Jobs that another thread made ready: the order of what follows is not the seed's alone.
    var foreignJobs: Int { state.withLockedValue { $0.foreignJobs } }

    /// Runs what is ready now, not what becomes ready by it. Returns the number of jobs.
    func runReady() -> Int {
        let jobs = state.withLockedValue { state in
            let jobs = state.jobs
            state.jobs = []
            return jobs
        }
        for job in jobs { job.runSynchronously(on: asUnownedTaskExecutor()) }
        return jobs.count
    }

    /// Whether the calling thread runs the jobs.
    var isCurrent: Bool {
        let thread = Self.currentThread
        return state.withLockedValue { $0.thread == thread }
    }

    private static var currentThread: UInt {
        #if canImport(Darwin)
            UInt(bitPattern: pthread_self())
        #else
            UInt(pthread_self())
        #endif
    }
}
