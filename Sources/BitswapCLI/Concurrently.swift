/// Transforms inputs several at a time, and gives the outputs to `emit` in the order of the inputs, each as soon as those
/// before it are out.
///
/// The first failure, in that order, is thrown once everything before it was emitted; nothing is begun after it is known.
///
/// - Parameter limit: inputs that are begun and not yet emitted.
func forEachConcurrently<Input: Sendable, Output: Sendable>(
    _ inputs: [Input], limit: Int, transform: @escaping @Sendable (Input) async throws -> Output,
    emit: (Output) async throws -> Void
) async throws {
    try await withThrowingTaskGroup(of: (Int, Result<Output, any Error>).self) { group in
        var begun = 0
        var emitted = 0
        var waiting: [Int: Result<Output, any Error>] = [:]
        var hasFailed = false
        while emitted < inputs.count {
            while begun < inputs.count, begun - emitted < limit, !hasFailed {
                let index = begun
                group.addTask {
                    do { return (index, .success(try await transform(inputs[index]))) } catch {
                        return (index, .failure(error))
                    }
                }
                begun += 1
            }
            guard let (index, result) = try await group.next() else { break }
            if case .failure = result { hasFailed = true }
            waiting[index] = result
            while let result = waiting.removeValue(forKey: emitted) {
                try await emit(result.get())
                emitted += 1
            }
        }
    }
}
