import Multiformats
import NIOCore
import NIOPosix
import PeerIdentity

private enum DialOutcome: Sendable {
    case connected(PeerID, Multiaddr)
    case failed(String, Multiaddr)
}

extension Fetching {
    /// Dials the peers that were named, all at once, and begins `body` when the first is there.
    ///
    /// Those that cannot be reached are warned of. None has longer than the time allowed for a block.
    ///
    /// - Throws: ``CommandFailure`` when none can be reached; what `body` throws.
    func whileDialing(_ source: some BlockSource, _ body: () async throws -> Void) async throws {
        let (outcomes, continuation) = AsyncStream.makeStream(of: DialOutcome.self)
        let deadline = MultiThreadedEventLoopGroup.singleton.next().scheduleTask(in: TimeAmount(timeout)) {
            continuation.finish()
        }
        defer { deadline.cancel() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask { [peers] in
                await withDiscardingTaskGroup { dials in
                    for address in peers {
                        dials.addTask {
                            let outcome: DialOutcome
                            do { outcome = .connected(try await source.connect(to: address), address) } catch {
                                outcome = .failed(reason(of: error), address)
                            }
                            continuation.yield(outcome)
                        }
                    }
                }
                continuation.finish()
            }
            var failures: [String] = []
            var unanswered = Set(peers)
            var first: PeerID?
            search: for await outcome in outcomes {
                switch outcome {
                case .connected(let peer, _):
                    first = peer
                    break search
                case .failed(let reason, let address):
                    failures.append(reason)
                    unanswered.remove(address)
                }
            }
            guard let first else {
                try Task.checkCancellation()
                failures += peers.filter(unanswered.contains).map { "\($0) did not answer within \(timeoutText)" }
                if await source.findsOthers {
                    // Perhaps somebody else has it.
                    for failure in failures { Console.warning(failure) }
                    return try await body()
                }
                throw CommandFailure(
                    message: failures.count == 1
                        ? failures[0] : "no peer could be reached: \(failures.joined(separator: "; "))")
            }
            deadline.cancel()
            for failure in failures { Console.warning(failure) }
            narration.say("asking \(first)")
            group.addTask {
                for await outcome in outcomes {
                    switch outcome {
                    case .connected(let peer, _): narration.say("asking \(peer)")
                    case .failed(let reason, _): if !Task.isCancelled { Console.warning(reason) }
                    }
                }
            }
            try await body()
        }
    }
}
