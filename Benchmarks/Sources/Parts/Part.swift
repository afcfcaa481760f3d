/// A part of a block's way that is measured by itself.
public struct Part: Sendable {
    public let name: String
    /// A round takes about a microsecond or less.
    public let isShort: Bool
    /// What is counted of it.
    public let counting: Counting
    /// Rounds in which they are counted.
    public let countedRounds: Int
    /// Makes what the rounds need. A fresh one for every measurement.
    public let make: @Sendable () async throws -> sending Work

    init(
        _ name: String, isShort: Bool = false, counting: Counting = .all, countedRounds: Int = 10,
        make: @escaping @Sendable () async throws -> sending Work
    ) {
        self.name = name
        self.isShort = isShort
        self.counting = counting
        self.countedRounds = countedRounds
        self.make = make
    }
}

/// What a round of a part takes about as much of each time.
public enum Counting: Sendable {
    case all
    /// Allocations and copies; instructions depend on the disk, or take too long to count.
    case calls
}

/// A part that is ready to run.
public struct Work {
    /// Makes what so many rounds use up. Not measured.
    public let prepare: (Int) async throws -> Void
    /// Runs so many rounds.
    public let run: (Int) async throws -> Void
    /// Tidies up.
    public let end: () async throws -> Void

    init(
        prepare: @escaping (Int) async throws -> Void = { _ in }, _ run: @escaping (Int) async throws -> Void,
        end: @escaping () async throws -> Void = {}
    ) {
        self.prepare = prepare
        self.run = run
        self.end = end
    }

    /// A round that does not wait for anything.
    init(round: @escaping () throws -> Void) {
        self.init { rounds in for _ in 0..<rounds { try round() } }
    }
}

public let allParts: [Part] = namingParts + hashingParts + wireParts + transportParts + storeParts + decisionParts

/// Keeps the compiler from leaving out what nobody looks at.
@inline(never)
func keep(_ value: some Any) {}
