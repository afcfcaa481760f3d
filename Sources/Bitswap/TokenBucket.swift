/// A budget of bytes a second, with some saved up. Pure.
///
/// What is taken may pass what there is: the bucket is then in debt, and empty until that is paid. So anything fits, and
/// the rate holds over time.
struct TokenBucket {
    /// Bytes a second.
    let rate: Int
    /// What is saved up when nobody takes anything, in bytes: a quarter of a second, so that pauses are short.
    let capacity: Int
    private var level: Double
    private var filledAt: Duration

    init(rate: Int, now: Duration) {
        self.rate = max(1, rate)
        capacity = max(self.rate / 4, 1_024)
        level = Double(capacity)
        filledAt = now
    }

    /// Whether something may be taken now.
    mutating func isOpen(at now: Duration) -> Bool {
        fill(now)
        return level > 0
    }

    mutating func take(_ bytes: Int, now: Duration) {
        fill(now)
        level -= Double(bytes)
    }

    /// What was taken was not needed.
    mutating func giveBack(_ bytes: Int) { level = min(Double(capacity), level + Double(bytes)) }

    /// When something may be taken again, if nobody takes anything before.
    func opens(after now: Duration) -> Duration {
        guard level <= 0 else { return now }
        return max(now, filledAt + .seconds((1 - level) / Double(rate)))
    }

    private mutating func fill(_ now: Duration) {
        guard now > filledAt else { return }
        let elapsed = now - filledAt
        level = min(Double(capacity), level + elapsed.inSeconds * Double(rate))
        filledAt = now
    }
}

extension Duration {
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}
