package import Bitswap
package import Multiformats
import NIOCore
import NIOPosix
package import PeerIdentity
import NIOConcurrencyHelpers

/// Asks the node that serves from a repository. Any number of requests may be under way at once.
///
/// Requests throw ``ControlFailure`` when the node says no, `NodeError.stopped` when it goes away before it has answered,
/// and `CancellationError`. The node gives up a cancelled request at once.
package final class ControlClient: Sendable {
    private let repository: Repository
    private let outgoing = AsyncStream.makeStream(of: ByteBuffer.self)
    private let limits: ControlLimits
    private let state = NIOLockedValueBox(State())

    private struct State {
        var lastID: UInt64 = 0
        var requests: [UInt64: Request] = [:]
        /// Why there will be no more answers.
        var end: (any Error)?
    }

    private enum Request {
        case sent
        case awaited(CheckedContinuation<ControlAnswer, any Error>)
        case answered(Result<ControlAnswer, any Error>)
    }

    private init(_ repository: Repository, _ limits: ControlLimits) {
        self.repository = repository
        self.limits = limits
    }

    /// Connects to the node that serves from `repository`, for the time of `body`.
    ///
    /// - Throws: `notRunning` when no node does; what `body` throws.
    package static func withConnection<R: Sendable>(
        to repository: Repository, limits: ControlLimits = ControlLimits(),
        _ body: (ControlClient) async throws -> R
    ) async throws -> R {
        let channel = try await connect(to: repository)
        return try await channel.executeThenClose { inbound, outbound in
            let client = ControlClient(repository, limits)
            return try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await client.read(inbound) }
                group.addTask { await client.write(outbound) }
                defer { group.cancelAll() }
                return try await body(client)
            }
        }
    }

    private static func connect(to repository: Repository) async throws -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
        guard let socket = try ControlSocket.connected(to: repository.controlPath) else {
            throw NodeError(
                .notRunning,
                "no node is running on \(repository.path); start one with: bitswap serve --repo \(repository.path)")
        }
        return try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).withConnectedSocket(socket) {
            channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
    }

    // MARK: Requests

    package func status() async throws -> NodeStatus {
        guard case .status(let status) = try await ask(.status) else { throw unexpectedAnswer }
        return status
    }

    /// The blocks that the node waits for, or those that a connected peer wants of it.
    ///
    /// - Throws: a failure of the kind `notConnected`.
    package func wantlist(of peer: PeerID? = nil) async throws -> WantlistStatus {
        guard case .wantlist(let wantlist) = try await ask(.wantlist(peer: peer)) else { throw unexpectedAnswer }
        return wantlist
    }

    /// What a connected peer and the node have given each other.
    ///
    /// - Throws: a failure of the kind `notConnected`.
    package func ledger(of peer: PeerID) async throws -> LedgerStatus {
        guard case .ledger(let ledger) = try await ask(.ledger(peer: peer)) else { throw unexpectedAnswer }
        return ledger
    }

    package func peers() async throws -> [PeerStatus] {
        guard case .peers(let peers) = try await ask(.peers) else { throw unexpectedAnswer }
        return peers
    }

    /// Has the node dial an address. Returns who is there.
    package func connect(to address: Multiaddr) async throws -> PeerID {
        guard case .connected(let peer) = try await ask(.connect(address: address)) else { throw unexpectedAnswer }
        return peer
    }

    /// Has the node bring a block into the repository's store.
    package func get(_ cid: CID, timeout: Duration?) async throws -> FetchStatus {
        let request = ControlRequest.get(cid: cid, milliseconds: timeout.map(\.wholeMilliseconds))
        guard case .fetched(let fetched) = try await ask(request) else { throw unexpectedAnswer }
        return fetched
    }

    /// Tells the node of blocks that were put into the repository's store.
    package func offer(_ cids: [CID]) async throws {
        var batch: [CID] = []
        var batchBytes = 0
        for cid in cids {
            let length = cid.description.utf8.count + 3
            if batchBytes + length > limits.offerBytes, !batch.isEmpty {
                _ = try await ask(.offer(cids: batch))
                (batch, batchBytes) = ([], 0)
            }
            batch.append(cid)
            batchBytes += length
        }
        if !batch.isEmpty { _ = try await ask(.offer(cids: batch)) }
    }

    private var unexpectedAnswer: ControlFailure {
        ControlFailure(.failed, "the node on \(repository.path) gave an answer that does not fit the question")
    }

    private func ask(_ request: ControlRequest) async throws -> ControlAnswer {
        let id = try state.withLockedValue { state in
            if let end = state.end { throw end }
            state.lastID += 1
            state.requests[state.lastID] = .sent
            return state.lastID
        }
        do {
            try send(request, id: id)
        } catch {
            state.withLockedValue { $0.requests[id] = nil }
            throw unexpectedAnswer
        }
        let answer = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let answered: Result<ControlAnswer, any Error>? = state.withLockedValue { state in
                    if case .answered(let result) = state.requests[id] {
                        state.requests[id] = nil
                        return result
                    }
                    state.requests[id] = .awaited(continuation)
                    return nil
                }
                if let answered { continuation.resume(with: answered) }
            }
        } onCancel: {
            if settle(id, .failure(CancellationError())) { cancel(id) }
        }
        if case .failed(let failure) = answer { throw failure }
        return answer
    }

    private func send(_ request: ControlRequest, id: UInt64) throws {
        let line = ControlRequestLine(version: ControlProtocol.version, id: id, request: request)
        outgoing.continuation.yield(try ControlCodec.encode(line))
    }

    /// Tells the node that nobody waits for the answer to a request any more. Its answer to this is passed over.
    private func cancel(_ id: UInt64) {
        let number = state.withLockedValue { state in
            state.lastID += 1
            return state.lastID
        }
        try? send(.cancel(id: id), id: number)
    }

    /// Ends a request; only the first end counts. Returns whether this was it.
    @discardableResult
    private func settle(_ id: UInt64, _ result: Result<ControlAnswer, any Error>) -> Bool {
        let (isFirst, continuation) = state.withLockedValue {
            state -> (Bool, CheckedContinuation<ControlAnswer, any Error>?) in
            switch state.requests[id] {
            case .sent:
                state.requests[id] = .answered(result)
                return (true, nil)
            case .awaited(let continuation):
                state.requests[id] = nil
                return (true, continuation)
            case .answered, nil:
                return (false, nil)
            }
        }
        continuation?.resume(with: result)
        return isFirst
    }

    // MARK: Answers

    private func read(_ inbound: NIOAsyncChannelInboundStream<ByteBuffer>) async {
        var end: any Error = NodeError(
            .stopped, "the node on \(repository.path) stopped before it had answered")
        do {
            var lines = LineBuffer(limit: limits.answerBytes)
            for try await bytes in inbound {
                lines.append(bytes)
                while let line = try lines.next() {
                    let answer = try ControlCodec.decode(ControlAnswerLine.self, from: line)
                    if answer.id == 0, case .failed(let failure) = answer.answer { throw failure }
                    settle(answer.id, .success(answer.answer))
                }
            }
        } catch let failure as ControlFailure {
            end = failure
        } catch is DecodingError {
            end = ControlFailure(
                .failed,
                "the node on \(repository.path) speaks another version of the control protocol; "
                    + "use the bitswap command that it was started with")
        } catch is LineBuffer.LineTooLong {
            end = ControlFailure(.failed, "the node on \(repository.path) gave an answer that is too long")
        } catch {
            // The connection broke: the same as if it had ended.
        }
        self.end(with: end)
    }

    private func write(_ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>) async {
        do {
            for await line in outgoing.stream { try await outbound.write(line) }
        } catch {
            // The connection broke, or is closed because nobody asks any more. Whoever reads from it knows why.
        }
    }

    /// There will be no more answers.
    private func end(with error: any Error) {
        let open = state.withLockedValue { state in
            state.end = error
            return Array(state.requests.keys)
        }
        for id in open { settle(id, .failure(error)) }
    }
}

extension Duration {
    /// Rounded up, so that what is not nothing stays so; at most what fits.
    package var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
        if overflow { return seconds < 0 ? .min : .max }
        let part = (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        let (sum, sumOverflow) = whole.addingReportingOverflow(part)
        return sumOverflow ? .max : sum
    }
}
