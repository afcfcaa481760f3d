import TestSupport

/// A story told on a simulated network, with what it is judged by.
public protocol Scenario: Sendable {
    /// What it is called on the command line.
    static var name: String { get }
    init(size: ScenarioSize)
    /// Plays it once.
    ///
    /// - Throws: ``SimulationError`` when it does not come to its end.
    func play(seed: UInt64, replay: String) async throws -> Outcome
}

/// How large it all is: the story is the same.
public enum ScenarioSize: String, Sendable, CaseIterable {
    case full
    /// For many seeds in a short time: fewer nodes, fewer blocks, and blocks and links of a 64th.
    case small

    /// What sizes and rates are divided by.
    public var divisor: Int {
        switch self {
        case .full: 1
        case .small: 64
        }
    }
}

/// What came out of one run.
public struct Outcome: Sendable {
    public var figures: [Figure]
    /// The same in every run with the same seed.
    public var trace: UInt64

    public init(_ figures: [Figure], trace: UInt64) {
        self.figures = figures
        self.trace = trace
    }
}

/// One number that came out of a scenario.
public struct Figure: Sendable {
    public var name: String
    public var value: Double
    /// What nobody could do better than; nil when that is unknown.
    public var ideal: Double?
    /// The value must not be larger; nil when it only informs.
    public var bound: Double?

    public init(_ name: String, _ value: Double, ideal: Double? = nil, bound: Double? = nil) {
        self.name = name
        self.value = value
        self.ideal = ideal
        self.bound = bound
    }

    public var isGood: Bool { bound.map { value <= $0 } ?? true }
}

extension Scenario {
    /// Plays it and names the command that plays it again in reports.
    public static func play(seed: UInt64, size: ScenarioSize) async throws -> Outcome {
        let command = "make simulate SCENARIO=\(name) SEED=\(seed)" + (size == .full ? "" : " SIZE=\(size.rawValue)")
        return try await Self(size: size).play(seed: seed, replay: command)
    }
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
