import Foundation

/// The figures of some runs of one scenario, as a table.
struct Report {
    struct Run {
        var seed: UInt64
        var outcome: Outcome
    }

    let runs: [Run]

    var isGood: Bool { runs.allSatisfy { $0.outcome.figures.allSatisfy(\.isGood) } }

    var table: String {
        guard let first = runs.first else { return "" }
        var rows = [["", "ideal", "bound"] + (runs.count == 1 ? ["measured"] : ["least", "median", "most"]) + [""]]
        for (index, figure) in first.outcome.figures.enumerated() {
            let values = runs.map { $0.outcome.figures[index].value }.sorted()
            let shown = runs.count == 1 ? values : [values[0], values[values.count / 2], values[values.count - 1]]
            let bad = runs.filter { !$0.outcome.figures[index].isGood }.map(\.seed)
            rows.append(
                [figure.name, figure.ideal.map(Self.text) ?? "", figure.bound.map(Self.text) ?? ""]
                    + shown.map(Self.text)
                    + [
                        bad.isEmpty
                            ? "" : "past its bound, seeds: " + bad.prefix(10).map(String.init).joined(separator: " ")
                    ])
        }
        let trace = String(runs.reduce(0) { $0 &* 31 &+ $1.outcome.trace }, radix: 16)
        rows.append(["trace", "", ""] + (runs.count == 1 ? [trace] : ["", "", trace]) + [""])
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            zip(row, widths).enumerated().map { column, cell in
                let padding = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 || column == row.count - 1 ? cell.0 + padding : padding + cell.0
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    private static func text(_ value: Double) -> String {
        value == value.rounded() ? String(format: "%.0f", value) : String(format: "%.4g", value)
    }
}
