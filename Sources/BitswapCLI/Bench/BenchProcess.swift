#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// This very program in a process of its own: it is told what to do by lines on its standard input, and answers by lines
/// on its standard output. It ends when its input does, so it never outlives this process.
final class BenchProcess: Sendable {
    private let process: pid_t
    private let input: Int32
    private let name: String
    private let lines: LineReader

    /// - Parameter environment: set in addition to this process's own.
    init(_ name: String, arguments: [String], environment: [String: String] = [:]) throws {
        let own = try Self.executablePath()
        let (toChild, fromChild) = (try Pipe(), try Pipe())
        defer {
            close(toChild.reading)
            close(fromChild.writing)
        }
        process = try Self.spawn(
            [own] + arguments, environment: environment, input: toChild.reading, output: fromChild.writing)
        input = toChild.writing
        lines = LineReader(fromChild.reading)
        self.name = name
    }

    /// Sends a line, and gives the one that answers it.
    ///
    /// - Throws: ``CommandFailure`` when the process ends instead, or says that it failed.
    func ask(_ line: BenchLine, for word: String) async throws -> BenchLine {
        let text = line.description + "\n"
        let number = Array(text.utf8).withUnsafeBytes { writeAll($0, to: input) }
        guard number == 0 else { throw CommandFailure(message: "the \(name) of the benchmark has ended") }
        return try await answer(word)
    }

    /// The next line, which is to begin with this word.
    func answer(_ word: String) async throws -> BenchLine {
        for await text in lines {
            guard let line = BenchLine(parsing: text) else { continue }
            guard line.word == word else {
                throw CommandFailure(message: "the \(name) of the benchmark says \"\(text)\" instead of \"\(word)\"")
            }
            return line
        }
        try Task.checkCancellation()
        throw CommandFailure(message: "the \(name) of the benchmark ended before its time")
    }

    /// Ends the process at once, and waits for its end.
    func end() {
        kill(process, SIGKILL)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        close(input)
    }

    private struct Pipe {
        let reading: Int32
        let writing: Int32

        init() throws {
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0 else {
                throw CommandFailure(message: "cannot make a pipe: \(String(cString: strerror(errno)))")
            }
            // Another process of the benchmark must not keep them open.
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            (reading, writing) = (ends[0], ends[1])
        }
    }

    private static func spawn(
        _ arguments: [String], environment: [String: String], input: Int32, output: Int32
    ) throws -> pid_t {
        #if canImport(Darwin)
            var actions: posix_spawn_file_actions_t?
            var attributes: posix_spawnattr_t?
        #else
            var actions = posix_spawn_file_actions_t()
            var attributes = posix_spawnattr_t()
        #endif
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        // This process has some signals ignored; the other one begins with none.
        var defaults = sigset_t()
        sigemptyset(&defaults)
        for number in [SIGINT, SIGTERM, SIGPIPE] { sigaddset(&defaults, number) }
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))

        var variables: [String] = []
        var pointer = environ
        while let variable = pointer.pointee {
            let text = String(cString: variable)
            if !environment.keys.contains(where: { text.hasPrefix($0 + "=") }) { variables.append(text) }
            pointer += 1
        }
        variables += environment.map { "\($0.key)=\($0.value)" }

        let argumentPointers = arguments.map { strdup($0) } + [nil]
        let variablePointers = variables.map { strdup($0) } + [nil]
        defer { for pointer in argumentPointers + variablePointers { free(pointer) } }
        var process: pid_t = 0
        let number = posix_spawn(&process, arguments[0], &actions, &attributes, argumentPointers, variablePointers)
        guard number == 0 else {
            throw CommandFailure(message: "cannot start \(arguments[0]): \(String(cString: strerror(number)))")
        }
        return process
    }

    private static func executablePath() throws -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        #if canImport(Darwin)
            var size = UInt32(buffer.count)
            let found = _NSGetExecutablePath(&buffer, &size) == 0
        #else
            let found = readlink("/proc/self/exe", &buffer, buffer.count - 1) > 0
        #endif
        guard found else { throw CommandFailure(message: "cannot tell where this program is") }
        return buffer.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    }
}

/// Ends this process as one side of a benchmark: whoever started it is done with it, or gone, and there is nothing to keep.
@Sendable func leave() { exit(0) }
