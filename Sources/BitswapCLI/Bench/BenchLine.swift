/// One line between the processes of a benchmark: a word, and then `name=value` each.
struct BenchLine: Equatable, CustomStringConvertible {
    let word: String
    private var fields: [(name: String, value: String)] = []

    init(_ word: String) { self.word = word }

    /// Nil for an empty line, and for one with a field that has no value.
    init?(parsing text: String) {
        let parts = text.split(separator: " ")
        guard let word = parts.first else { return nil }
        self.word = String(word)
        for part in parts.dropFirst() {
            guard let sign = part.firstIndex(of: "=") else { return nil }
            fields.append((String(part[..<sign]), String(part[part.index(after: sign)...])))
        }
    }

    /// The value must not contain a space.
    mutating func set(_ name: String, _ value: some CustomStringConvertible) {
        fields.append((name, value.description))
    }

    mutating func set(_ name: String, _ value: Double?) {
        if let value { fields.append((name, "\(value)")) }
    }

    func text(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    func number(_ name: String) -> Double? { text(name).flatMap(Double.init) }

    var description: String {
        ([word] + fields.map { "\($0.name)=\($0.value)" }).joined(separator: " ")
    }

    static func == (a: BenchLine, b: BenchLine) -> Bool { a.description == b.description }
}
