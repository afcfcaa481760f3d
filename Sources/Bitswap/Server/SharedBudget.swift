/// A budget of bytes for all peers together, shared so that however much each wants, something is left for the next. Pure.
struct SharedBudget {
    /// What all peers take.
    var bytes = 0
    let limit: Int
    /// What each peer may take however much others do.
    var least = 0

    init(limit: Int, least: Int = 0) {
        self.limit = limit
        self.least = least
    }

    /// What one peer may take in all that takes so much: never more on top of it than it leaves free.
    func room(for own: Int) -> Int { max(least, own + max(0, (limit - bytes - own) / 2)) }

    /// Takes up to `wanted` for a peer that takes so much. Returns what it was given.
    mutating func reserve(_ wanted: Int, for own: Int) -> Int {
        let given = min(wanted, max(0, room(for: own) - own))
        bytes += given
        return given
    }
}
