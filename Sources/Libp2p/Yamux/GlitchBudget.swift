import NIOCore

/// Counts frames that cost work and bring nothing, and forgives them over time.
struct GlitchBudget {
    private let capacity: Double
    private let forgivenPerSecond: Double
    private var level = 0.0
    private var updatedAt: NIODeadline?

    init(capacity: Int, forgivenPerSecond: Int) {
        self.capacity = Double(max(0, capacity))
        self.forgivenPerSecond = Double(max(0, forgivenPerSecond))
    }

    /// Charges one glitch. Returns false once there are too many.
    mutating func charge(now: NIODeadline) -> Bool {
        if let updatedAt, now > updatedAt {
            let seconds = Double((now - updatedAt).nanoseconds) / 1e9
            level = max(0, level - seconds * forgivenPerSecond)
        }
        updatedAt = now
        level += 1
        return level <= capacity
    }
}
