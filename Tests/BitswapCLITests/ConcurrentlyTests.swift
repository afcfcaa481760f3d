import NIOConcurrencyHelpers
import Testing

@testable import BitswapCLI

@Suite struct ConcurrentlyTests {
    private struct Failure: Error, Equatable {
        let input: Int
    }

    @Test(arguments: [1, 2, 7, 100]) func keepsTheOrderAndTheLimit(limit: Int) async throws {
        let counts = NIOLockedValueBox((now: 0, most: 0))
        var emitted: [Int] = []
        try await forEachConcurrently(Array(0..<50), limit: limit) { input in
            counts.withLockedValue { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
            // The earlier ones take longer.
            for _ in 0..<(50 - input) { await Task.yield() }
            counts.withLockedValue { $0.now -= 1 }
            return input * 2
        } emit: {
            emitted.append($0)
        }
        #expect(emitted == (0..<50).map { $0 * 2 })
        #expect((1...limit).contains(counts.withLockedValue(\.most)))
    }

    @Test func whatStandsBeforeAFailureIsEmitted() async throws {
        let begun = NIOLockedValueBox(0)
        var emitted: [Int] = []
        await #expect(throws: Failure(input: 5)) {
            try await forEachConcurrently(Array(0..<1_000), limit: 4) { input in
                begun.withLockedValue { $0 += 1 }
                if input >= 5 { throw Failure(input: input) }
                for _ in 0..<20 { await Task.yield() }
                return input
            } emit: {
                emitted.append($0)
            }
        }
        #expect(emitted == [0, 1, 2, 3, 4])
        #expect(begun.withLockedValue { $0 } <= 9)
    }

    @Test func nothingIsEmittedOfNothing() async throws {
        var count = 0
        try await forEachConcurrently([Int](), limit: 4) {
            $0
        } emit: { _ in
            count += 1
        }
        #expect(count == 0)
    }
}
