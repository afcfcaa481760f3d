import Foundation
import TestSupport

/// Plays scenarios on the simulated network and prints what came out as a table.
///
///     simulate all|SCENARIO [--seed 17 | --seeds 1-100] [--size full|small] [--jobs 2]
@main struct Main {
    static let scenarios: [any Scenario.Type] = [Swarm.self, Hostile.self, Stalled.self, Absent.self]

    static func main() async {
        guard let request = Request(CommandLine.arguments.dropFirst()) else {
            FileHandle.standardError.write(Data((usage + "\n").utf8))
            exit(64)
        }
        var isGood = true
        for scenario in request.scenarios {
            let began = Date()
            print("\(scenario.name), size \(request.size.rawValue)")
            let results = await request.play(scenario)
            for case .failure(let error) in results.map(\.outcome) { print(error) }
            let report = Report(
                runs: results.compactMap { result in
                    (try? result.outcome.get()).map { Report.Run(seed: result.seed, outcome: $0) }
                })
            print(report.table)
            print(String(format: "%d runs in %.1f s\n", results.count, Date().timeIntervalSince(began)))
            isGood = isGood && report.isGood && report.runs.count == results.count
        }
        exit(isGood ? 0 : 1)
    }

    private static var usage: String {
        let names = scenarios.map { $0.name }.joined(separator: "|")
        return "simulate all|\(names) [--seed 17 | --seeds 1-100] [--size full|small] [--jobs 2]"
    }

    // Not a tuple: an optimized build of Swift 6.3 takes other bytes for the seed of one that a task group gives.
    struct Played {
        var seed: UInt64
        var outcome: Result<Outcome, any Error>
    }

    struct Request {
        var scenarios: [any Scenario.Type]
        var seeds: ClosedRange<UInt64> = 1...1
        var size = ScenarioSize.full
        var jobs = ProcessInfo.processInfo.activeProcessorCount

        init?(_ arguments: some Collection<String>) {
            var arguments = Array(arguments)[...]
            guard let name = arguments.popFirst() else { return nil }
            scenarios = Main.scenarios.filter { name == "all" || $0.name == name }
            guard !scenarios.isEmpty else { return nil }
            while let option = arguments.popFirst() {
                guard let value = arguments.popFirst() else { return nil }
                let numbers = value.split(separator: "-").compactMap { UInt64($0) }
                switch option {
                case "--seed", "--seeds":
                    guard let first = numbers.first, let last = numbers.last, first <= last else { return nil }
                    seeds = first...last
                case "--size":
                    guard let size = ScenarioSize(rawValue: value) else { return nil }
                    self.size = size
                case "--jobs":
                    guard let jobs = Int(value), jobs > 0 else { return nil }
                    self.jobs = jobs
                default: return nil
                }
            }
        }

        /// Plays all seeds, so many at once.
        func play(_ scenario: any Scenario.Type) async -> [Played] {
            await withTaskGroup(of: Played.self) { group in
                var seeds = Array(seeds)[...]
                func begin() {
                    guard let seed = seeds.popFirst() else { return }
                    group.addTask {
                        do {
                            let outcome = try await scenario.play(seed: seed, size: size)
                            return Played(seed: seed, outcome: .success(outcome))
                        } catch { return Played(seed: seed, outcome: .failure(error)) }
                    }
                }
                for _ in 0..<jobs { begin() }
                var results: [Played] = []
                for await result in group {
                    results.append(result)
                    begin()
                }
                return results.sorted { $0.seed < $1.seed }
            }
        }
    }
}
