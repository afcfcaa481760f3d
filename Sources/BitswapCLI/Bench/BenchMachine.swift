import Libp2p

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where a benchmark ran.
struct BenchMachine: Equatable, CustomStringConvertible {
    var processors: Int
    /// The model; nil where it cannot be told.
    var processor: String?
    var system: String
    var version: String

    static var current: BenchMachine {
        var names = utsname()
        uname(&names)
        func text(_ field: some Any) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return BenchMachine(
            processors: max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))), processor: processorName,
            system: "\(text(names.sysname)) \(text(names.release))", version: SwarmConfiguration().agentVersion)
    }

    private static var processorName: String? {
        guard let file = fopen("/proc/cpuinfo", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 1024)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = line.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
            guard text.hasPrefix("model name"), let colon = text.firstIndex(of: ":") else { continue }
            return text[text.index(after: colon)...].split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
        return nil
    }

    var description: String {
        let count = Quantity.count(processors, "processor")
        return "\(version), \(count)\(processor.map { " (\($0))" } ?? ""), \(system)"
    }
}
