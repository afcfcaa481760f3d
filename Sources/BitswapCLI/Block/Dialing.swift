import Multiformats
import PeerIdentity

extension Fetching {
    /// Dials the peers that were named, all at once, and begins `body` when the first is there.
    ///
    /// Those that cannot be reached are warned of.
    ///
    /// - Throws: ``CommandFailure`` when none can be reached; what `body` throws.
    func whileDialing(_ source: some BlockSource, _ body: () async throws -> Void) async throws {
        let (outcomes, continuation) = AsyncStream.makeStream(of: Result<PeerID, any Error>.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask { [peers] in
                await withDiscardingTaskGroup { dials in
                    for address in peers {
                        dials.addTask {
                            do { continuation.yield(.success(try await source.connect(to: address))) } catch {
                                continuation.yield(.failure(error))
                            }
                        }
                    }
                }
                continuation.finish()
            }
            var failures: [String] = []
            var first: PeerID?
            for await outcome in outcomes {
                do {
                    first = try outcome.get()
                    break
                } catch {
                    failures.append(reason(of: error))
                }
            }
            guard let first else {
                try Task.checkCancellation()
                throw CommandFailure(
                    message: failures.count == 1
                        ? failures[0] : "no peer could be reached: \(failures.joined(separator: "; "))")
            }
            for failure in failures { Console.warning(failure) }
            narration.say("asking \(first)")
            group.addTask {
                for await outcome in outcomes {
                    do { narration.say("asking \(try outcome.get())") } catch {
                        if !Task.isCancelled { Console.warning(reason(of: error)) }
                    }
                }
            }
            try await body()
        }
    }
}
