import Testing

@testable import Simulate

/// The scenarios of `make simulate`, small ones and few seeds: `make seeds` plays a hundred.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ScenarioTests {
    private func play(_ scenario: (some Scenario).Type, seed: UInt64) async throws {
        for figure in try await scenario.play(seed: seed, size: .small).figures where !figure.isGood {
            Issue.record("seed \(seed): \(figure.name) is \(figure.value), past \(figure.bound ?? 0)")
        }
    }

    @Test(arguments: 1...2) func swarm(_ seed: UInt64) async throws { try await play(Swarm.self, seed: seed) }
    @Test(arguments: 1...3) func hostile(_ seed: UInt64) async throws { try await play(Hostile.self, seed: seed) }
    @Test func stalled() async throws { try await play(Stalled.self, seed: 1) }
    @Test func absent() async throws { try await play(Absent.self, seed: 1) }

    @Test func theReportNamesTheSeedsPastABound() {
        let runs = (1...3).map { seed in
            Report.Run(
                seed: UInt64(seed), outcome: Outcome([Figure("waste", Double(seed), ideal: 0, bound: 2)], trace: 1))
        }
        let report = Report(runs: runs)
        #expect(!report.isGood)
        #expect(report.table.contains("past its bound, seeds: 3"))
    }
}
