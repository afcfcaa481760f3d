import Dispatch

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The program was told to end by a signal.
struct Interrupt: Error {
    let signal: Int32
}

/// Runs `body` so that Ctrl-C (or SIGTERM) cancels it and lets it tidy up; a second one ends the program at once.
///
/// - Throws: ``Interrupt`` after a signal; what `body` throws.
func cancelledBySignals<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) async throws -> R {
    let (signals, continuation) = AsyncStream.makeStream(of: Int32.self)
    let sources = [SIGINT, SIGTERM].map { number in
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number)
        source.setEventHandler {
            // One-shot: from here on the system's own handling is back.
            signal(number, SIG_DFL)
            continuation.yield(number)
        }
        source.resume()
        return source
    }
    defer {
        for source in sources { source.cancel() }
        for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
    }
    return try await withThrowingTaskGroup(of: R.self) { group in
        group.addTask { try await body() }
        group.addTask {
            for await number in signals { throw Interrupt(signal: number) }
            throw CancellationError()
        }
        defer { group.cancelAll() }
        guard let result = try await group.next() else { throw CancellationError() }
        return result
    }
}
