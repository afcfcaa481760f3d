#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A thread of a store: LMDB may wait for the disk, which the shared thread pool must not.
struct StoreThread: Sendable {
    private final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    #if canImport(Darwin)
        // A handle that any thread may join, once.
        private nonisolated(unsafe) let handle: pthread_t
    #else
        private let handle: pthread_t
    #endif

    init(_ body: @escaping @Sendable () -> Void) throws(BlockstoreError) {
        #if canImport(Darwin)
            var created: pthread_t?
        #else
            var created = pthread_t()
        #endif
        let start = Unmanaged.passRetained(Start(body))
        let result = pthread_create(&created, nil, storeThreadMain, start.toOpaque())
        #if canImport(Darwin)
            let thread = created
        #else
            let thread: pthread_t? = created
        #endif
        guard result == 0, let thread else {
            start.release()
            throw BlockstoreError(
                code: .inputOutput,
                message: "The system gives the block store no thread (error \(result)): close other programs, or raise"
                    + " ulimit -u.")
        }
        handle = thread
    }

    /// Waits for the thread to end.
    func join() {
        pthread_join(handle, nil)
    }

    /// Lets the thread end by itself.
    func detach() {
        pthread_detach(handle)
    }

    fileprivate static func run(_ argument: UnsafeMutableRawPointer) {
        Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body()
    }
}

#if canImport(Darwin)
    private func storeThreadMain(_ argument: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
        StoreThread.run(argument)
        return nil
    }
#else
    private func storeThreadMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        if let argument { StoreThread.run(argument) }
        return nil
    }
#endif
