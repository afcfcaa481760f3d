/// Why a node could not do what it was asked to.
public struct NodeError: Error, Sendable, CustomStringConvertible {
    /// What went wrong; more may be added, so a `switch` over it needs a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String
        package init(_ description: String) { self.description = description }

        /// There is no repository at the path.
        public static let noRepository = Code("no repository")
        /// There is one already.
        public static let repositoryExists = Code("repository exists")
        /// A directory or a file could not be made.
        public static let cannotCreate = Code("cannot create")
        /// Another node serves from the same repository.
        public static let alreadyRunning = Code("already running")
        /// No node serves from the repository, so there is nobody to ask.
        public static let notRunning = Code("not running")
        /// The node was stopped, or ``BitswapNode/run()`` was never called.
        public static let stopped = Code("stopped")
    }

    /// What went wrong.
    public let code: Code
    /// What was wrong, with the path if there is one, and what to do about it.
    public let message: String
    /// The error beneath, if there was one.
    public let underlying: (any Error)?

    package init(_ code: Code, _ message: String, underlying: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.underlying = underlying
    }

    public var description: String { underlying.map { "\(message): \($0)" } ?? message }
}
