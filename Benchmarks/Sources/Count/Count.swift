import Foundation
import Markers
import Parts

/// Runs every part a few times between two marks, and prints a line for each: its name, how many rounds, and the calls of
/// malloc and the bytes copied in a round if Counter/counter.c was loaded; where it was not, for valgrind, only those parts
/// whose instructions count. Words narrow to the parts whose names hold them.
@main
struct Count {
    private typealias ReadCounts = @convention(c) (UnsafeMutablePointer<UInt64>) -> Void

    /// Not asynchronous: the main thread of such a program ends before the program, which valgrind does not survive. Detached,
    /// as this is on the main actor, whose thread waits here.
    static func main() throws {
        let ended = DispatchSemaphore(value: 0)
        Task.detached {
            do {
                try await count()
            } catch {
                FileHandle.standardError.write(Data("\(error)\n".utf8))
                exit(1)
            }
            ended.signal()
        }
        ended.wait()
    }

    private static func count() async throws {
        let counter = dlopen(nil, RTLD_NOW).flatMap { dlsym($0, "bitswap_counts") }
            .map { unsafeBitCast($0, to: ReadCounts.self) }
        func counts() -> (allocations: Double, copiedBytes: Double) {
            var counts: [UInt64] = [0, 0, 0, 0]
            counter?(&counts)
            return (Double(counts[0]), Double(counts[3]))
        }
        let words = CommandLine.arguments.dropFirst().map { $0.lowercased() }
        let parts = allParts.filter { part in
            (counter != nil || part.counting == .all) && words.allSatisfy { part.name.lowercased().contains($0) }
        }
        for part in parts {
            let work = try await part.make()
            // What is made once and kept.
            try await work.prepare(2)
            try await work.run(2)
            try await work.prepare(part.countedRounds)
            let before = counts()
            bitswap_count_begin()
            try await work.run(part.countedRounds)
            bitswap_count_end()
            let after = counts()
            try await work.end()
            let rounds = Double(part.countedRounds)
            let allocations = (after.allocations - before.allocations) / rounds
            let copied = (after.copiedBytes - before.copiedBytes) / rounds
            print("\(part.name)\t\(part.countedRounds)\t\(allocations)\t\(copied)")
            fflush(nil)
        }
    }
}
