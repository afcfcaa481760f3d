/// Why a simulation was given up before its body had ended.
public struct SimulationError: Error, Sendable, CustomStringConvertible {
    /// What went wrong; more may be added, so a `switch` over it needs a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String
        /// The body waits, and nothing is left that could happen.
        public static let stuck = Code(description: "stuck")
        /// The body has not ended within ``Simulation/Configuration/timeLimit``.
        public static let timeLimit = Code(description: "time limit")
        /// The body has not ended within ``Simulation/Configuration/stepLimit``.
        public static let stepLimit = Code(description: "step limit")
        /// The body has ended, but what the nodes had begun has not, although it was cancelled.
        public static let tasksLeft = Code(description: "tasks left")
    }

    public let code: Code
    public let seed: UInt64
    /// The virtual time at which it was given up.
    public let time: Duration
    /// The command that plays the run again.
    public let replay: String
    /// What each node and the body waited for, a line each.
    public let waiting: [String]

    public var description: String {
        let reason =
            switch code {
            case .stuck: "nothing is left that could happen here, and the body still waits"
            case .timeLimit: "the time limit is over, and the body still waits"
            case .stepLimit: "the step limit is reached, and the body still waits"
            case .tasksLeft: "the body has ended, but not what the nodes had begun"
            default: code.description
            }
        var lines = ["simulation with seed \(seed), at \(time): \(reason)"]
        lines += waiting.map { "  " + $0 }
        lines.append("  again: " + replay)
        return lines.joined(separator: "\n")
    }
}
