import Testing

@testable import Simulate

/// The scenarios of `make simulate`, with fewer nodes and small blocks: the engine is compiled for debugging here.
@Suite(.serialized, .timeLimit(.minutes(1))) struct ScenarioTests {
    private func play(_ scenario: some Scenario, seed: UInt64) async throws {
        let name = type(of: scenario).name
        let outcome = try await scenario.play(
            seed: seed, replay: "SIMULATION_SEED=\(seed) swift test --filter ScenarioTests.*\(name)")
        withKnownIssue("peers are not chosen by what they deliver yet", isIntermittent: true) {
            for figure in outcome.figures where !figure.isGood {
                Issue.record("seed \(seed): \(figure.name) is \(figure.value), past \(figure.bound ?? 0)")
            }
        }
    }

    @Test(arguments: 1...5) func swarm(_ seed: UInt64) async throws {
        var swarm = Swarm(size: .small)
        swarm.nodes = 10
        swarm.blocks = 64
        try await play(swarm, seed: seed)
    }

    @Test(arguments: 1...10) func hostile(_ seed: UInt64) async throws {
        var hostile = Hostile(size: .small)
        hostile.swarm.nodes = 11
        hostile.swarm.blocks = 64
        hostile.swarm.silent = 2
        hostile.swarm.lying = 2
        hostile.swarm.leaving = 2
        try await play(hostile, seed: seed)
    }

    @Test func stalled() async throws { try await play(Stalled(size: .small), seed: 1) }
    @Test func absent() async throws { try await play(Absent(size: .small), seed: 1) }
}
