import DequeModule
import NIOConcurrencyHelpers

/// The requests of one control connection: a bounded number is worked on at a time, further ones wait their turn, and each
/// can be cancelled by its number.
///
/// Work is done by as many tasks as there are requests worked on; each goes on with the next one that waits. The connection
/// owns these tasks, and the task of the request that each awaits: cancelling the one cancels the other.
final class ControlConversation: Sendable {
    typealias Responder = @Sendable (ControlRequest) async -> ControlAnswer

    private struct State {
        var running: [UInt64: Task<ControlAnswer, Never>] = [:]
        var waiting: Deque<ControlRequestLine> = []
        var workers = 0
    }

    private let limit: Int
    private let responder: Responder
    private let state = NIOLockedValueBox(State())
    private let hasRoom = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    /// - Parameter limit: how many requests are worked on at a time; as many again may wait.
    init(limit: Int, responder: @escaping Responder) {
        self.limit = limit
        self.responder = responder
    }

    /// A request that is worked on.
    struct Work {
        let id: UInt64
        fileprivate let task: Task<ControlAnswer, Never>

        var answer: ControlAnswer {
            get async {
                await withTaskCancellationHandler {
                    await task.value
                } onCancel: {
                    task.cancel()
                }
            }
        }
    }

    /// What a request asks of the connection.
    enum Step {
        /// A task more is to do this, and then what ``next(after:)`` gives it.
        case work(Work)
        case wait
        /// Answered at once. `ended` was cancelled before it was begun.
        case answer(ControlAnswer, ended: UInt64?)
    }

    func receive(_ line: ControlRequestLine) -> Step {
        if case .cancel(let id) = line.request { return .answer(.done, ended: cancel(id)) }
        return state.withLockedValue { state in
            guard state.workers < limit else {
                state.waiting.append(line)
                return .wait
            }
            state.workers += 1
            return .work(begin(line, &state))
        }
    }

    /// Suspends while as many requests wait as may. To be called by one task, before each ``receive(_:)``.
    ///
    /// - Throws: `CancellationError`.
    func room() async throws {
        while state.withLockedValue({ $0.waiting.count >= limit }) {
            for await _ in hasRoom.stream { break }
            try Task.checkCancellation()
        }
    }

    /// What the task that has finished a request is to do now; nil: nothing more.
    func next(after work: Work) -> Work? {
        state.withLockedValue { state in
            if state.running[work.id] == work.task { state.running[work.id] = nil }
            if !Task.isCancelled, let line = state.waiting.popFirst() {
                hasRoom.continuation.yield()
                return begin(line, &state)
            }
            state.workers -= 1
            return nil
        }
    }

    private func begin(_ line: ControlRequestLine, _ state: inout State) -> Work {
        let task = Task { [responder] in await responder(line.request) }
        state.running[line.id] = task
        return Work(id: line.id, task: task)
    }

    /// Returns the number if the request had not been begun.
    private func cancel(_ id: UInt64) -> UInt64? {
        let (running, wasWaiting) = state.withLockedValue { state -> (Task<ControlAnswer, Never>?, Bool) in
            let count = state.waiting.count
            state.waiting.removeAll { $0.id == id }
            return (state.running[id], state.waiting.count < count)
        }
        running?.cancel()
        return wasWaiting ? id : nil
    }
}
