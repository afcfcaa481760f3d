#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// State that threads of the store share and wait for: a lock with a condition.
///
/// Sendable because the state is only reached under the lock.
final class Monitor<State: Sendable>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var state: State

    init(_ state: State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        #if canImport(Darwin)
            pthread_cond_init(condition, nil)
        #else
            var attributes = pthread_condattr_t()
            pthread_condattr_init(&attributes)
            pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
            pthread_cond_init(condition, &attributes)
            pthread_condattr_destroy(&attributes)
        #endif
    }

    deinit {
        pthread_cond_destroy(condition)
        condition.deallocate()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func withLock<R>(_ body: (inout State) -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&state)
    }

    /// Changes the state, then wakes one waiting thread when `body` says that there is something for it.
    func signal(_ body: (inout State) -> Bool) {
        if withLock(body) { pthread_cond_signal(condition) }
    }

    /// Changes the state, then wakes every waiting thread.
    func broadcast(_ body: (inout State) -> Void) {
        withLock(body)
        pthread_cond_broadcast(condition)
    }

    /// Waits until `body` gives something. It is asked again after every wake-up, and when the deadline has passed that
    /// it set itself in its second argument.
    func wait<R>(_ body: (inout State, _ deadline: inout ContinuousClock.Instant?) -> R?) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            var deadline: ContinuousClock.Instant?
            if let result = body(&state, &deadline) { return result }
            if let deadline {
                wait(for: deadline - .now)
            } else {
                pthread_cond_wait(condition, mutex)
            }
        }
    }

    private func wait(for duration: Duration) {
        guard duration > .zero else { return }
        let (seconds, attoseconds) = duration.components
        var time = timespec()
        #if canImport(Darwin)
            time.tv_sec = Int(clamping: seconds)
            time.tv_nsec = Int(clamping: attoseconds / 1_000_000_000)
            pthread_cond_timedwait_relative_np(condition, mutex, &time)
        #else
            clock_gettime(CLOCK_MONOTONIC, &time)
            let nanoseconds = time.tv_nsec + Int(clamping: attoseconds / 1_000_000_000)
            // A century is as good as for ever, and does not overflow.
            time.tv_sec += Int(clamping: min(seconds, 3_153_600_000)) + nanoseconds / 1_000_000_000
            time.tv_nsec = nanoseconds % 1_000_000_000
            pthread_cond_timedwait(condition, mutex, &time)
        #endif
    }
}
