import Foundation
import NIOConcurrencyHelpers
import Testing

/// A process of `BlockstoreTestChild` and the lines it prints.
final class ChildProcess: Sendable {
    private struct Output {
        var rest: [UInt8] = []
        var lines: [String] = []
        var isAtEnd = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let process = Process()
    private let input = Pipe()
    private let output = NIOLockedValueBox(Output())

    /// - Parameter shell: run through `sh -c` in a mount namespace of its own, with the child's path as `$0`.
    init(_ arguments: [String], shell: String? = nil) throws {
        let child = try ChildProcess.executable()
        if let shell {
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["unshare", "--mount", "sh", "-c", shell, child] + arguments
        } else {
            process.executableURL = URL(fileURLWithPath: child)
            process.arguments = arguments
        }
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardInput = input
        try process.run()
        // A thread of its own reads to the end, so that what is read stays in order.
        Thread.detachNewThread { [self] in
            let handle = pipe.fileHandleForReading
            while case let data = handle.availableData, !data.isEmpty { received(Array(data)) }
            process.waitUntilExit()
            received([])
        }
    }

    private func received(_ bytes: [UInt8]) {
        let waiter = output.withLockedValue { output in
            output.isAtEnd = bytes.isEmpty
            output.rest += bytes
            while let end = output.rest.firstIndex(of: UInt8(ascii: "\n")) {
                output.lines.append(String(decoding: output.rest[..<end], as: UTF8.self))
                output.rest.removeSubrange(...end)
            }
            defer { output.waiter = nil }
            return output.waiter
        }
        waiter?.resume()
    }

    /// Waits until there are so many lines, or no more come; gives all so far.
    func lines(_ count: Int) async -> [String] {
        while true {
            let found = output.withLockedValue { $0.lines.count >= count || $0.isAtEnd ? $0.lines : nil }
            if let found { return found }
            await withCheckedContinuation { continuation in
                let isThere = output.withLockedValue { output in
                    if output.lines.count >= count || output.isAtEnd { return true }
                    output.waiter = continuation
                    return false
                }
                if isThere { continuation.resume() }
            }
        }
    }

    /// All lines, when the process has ended.
    func end() async -> [String] {
        await lines(.max)
    }

    /// Ends the standard input of the child.
    func release() throws {
        try input.fileHandleForWriting.close()
    }

    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
    }

    /// The executable lies beside the test bundle, which is named on the command line or is the program itself.
    private static func executable() throws -> String {
        var directories: [String] = []
        for argument in CommandLine.arguments + [Bundle.main.bundlePath, Bundle.main.executablePath ?? ""] {
            var url = URL(fileURLWithPath: argument)
            while url.path.count > 1 {
                url.deleteLastPathComponent()
                directories.append(url.path)
            }
        }
        let candidates = directories.map { "\($0)/BlockstoreTestChild" }
        return try #require(candidates.first { FileManager.default.isExecutableFile(atPath: $0) })
    }

    /// Whether this process may make mount namespaces, and so small file systems.
    static let canMount: Bool = {
        guard geteuid() == 0 else { return false }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()
}
