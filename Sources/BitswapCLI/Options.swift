import ArgumentParser
import BitswapNode
import Logging

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// What every command takes.
struct CommonOptions: ParsableArguments {
    @Option(name: .customLong("repo"), help: ArgumentHelp("The repository.", valueName: "directory"))
    var repositoryPath: String?

    @Flag(name: .customLong("json"), help: "Print one JSON object a line.")
    var printsJSON = false

    @Option(
        help: ArgumentHelp(
            "How much to log to standard error. (default: info for serve, warning otherwise)", valueName: "level"))
    var logLevel: LogLevel?

    func validate() throws {
        if repositoryPath?.isEmpty == true { throw ValidationError("--repo is empty; name a directory") }
    }

    var repository: Repository {
        get throws {
            if let repositoryPath { return Repository(path: repositoryPath) }
            if let path = environment("BITSWAP_PATH") { return Repository(path: path) }
            guard let home = environment("HOME") else {
                throw CommandFailure(message: "there is no home directory for a repository; name one with --repo")
            }
            return Repository(path: home + "/.bitswap")
        }
    }

    /// The repository, which must have been made.
    var existingRepository: Repository {
        get throws {
            let repository = try repository
            guard repository.exists else {
                throw CommandFailure(
                    message: "there is no repository at \(repository.path); make one with: "
                        + "bitswap init --repo \(repository.path)")
            }
            return repository
        }
    }

    /// Asks the node that runs on the repository.
    func askingNode<R: Sendable>(
        _ body: @escaping @Sendable (ControlClient) async throws -> R
    ) async throws -> R {
        let repository = try existingRepository
        return try await cancelledBySignals { try await ControlClient.withConnection(to: repository, body) }
    }

    var logger: Logger { logger(default: .warning) }

    func logger(default level: LogLevel) -> Logger {
        var logger = Logger(label: "bitswap") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = (logLevel ?? level).level
        return logger
    }

    private func environment(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }
}
