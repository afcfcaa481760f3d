/// Numbers as a person reads them.
enum Quantity {
    /// `1,234,567`
    static func count(_ number: Int) -> String {
        let digits = String(number.magnitude)
        var text = number < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index).isMultiple(of: 3) { text += "," }
            text.append(digit)
        }
        return text
    }

    /// `1 block`, `2 blocks`
    static func count(_ number: Int, _ noun: String) -> String { "\(count(number)) \(noun)\(number == 1 ? "" : "s")" }

    /// `512 bytes`, `1.5 KiB`, `64.0 MiB`
    static func bytes(_ number: Int) -> String {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var value = Double(number)
        guard value.magnitude >= 1_024 else { return count(number, "byte") }
        var unit = -1
        // What would be printed as 1,024.0 is 1.0 of the next unit.
        while value.magnitude >= 1_023.95, unit < units.count - 1 {
            value /= 1_024
            unit += 1
        }
        return "\(fixed(value, 1)) \(units[unit])"
    }

    /// `250 µs`, `12.5 ms`, `3.20 s`
    static func time(microseconds: Int) -> String {
        switch Double(microseconds) {
        case ..<1_000: "\(microseconds) µs"
        case ..<999_950: "\(fixed(Double(microseconds) / 1_000, 1)) ms"
        default: "\(fixed(Double(microseconds) / 1_000_000, 2)) s"
        }
    }

    /// `42 s`, `3 min 5 s`, `2 h 10 min`, `5 d 3 h`
    static func time(seconds: Int) -> String {
        func joined(_ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String) -> String {
            small == 0 ? "\(large) \(largeUnit)" : "\(large) \(largeUnit) \(small) \(smallUnit)"
        }
        return switch seconds {
        case ..<60: "\(seconds) s"
        case ..<3_600: joined(seconds / 60, "min", seconds % 60, "s")
        case ..<86_400: joined(seconds / 3_600, "h", seconds / 60 % 60, "min")
        default: joined(seconds / 86_400, "d", seconds / 3_600 % 24, "h")
        }
    }

    /// `1.2 %`
    static func share(_ part: Double) -> String { "\(fixed(part * 100, part < 0.01 ? 2 : 1)) %" }

    /// A ratio, with two digits behind the point.
    static func ratio(_ value: Double) -> String { fixed(value, 2) }

    /// With so many digits behind the point: `1,234.5`
    static func fixed(_ value: Double, _ places: Int) -> String {
        var scale: UInt = 1
        for _ in 0..<places { scale *= 10 }
        guard value.isFinite, value.magnitude * Double(scale) < 1e18 else { return "\(value)" }
        let whole = Int((value * Double(scale)).rounded())
        let digits = String(whole.magnitude % scale)
        let rest = places == 0 ? "" : "." + String(repeating: "0", count: places - digits.count) + digits
        return "\(whole < 0 ? "-" : "")\(count(Int(whole.magnitude / scale)))\(rest)"
    }
}

/// Lines of text whose columns stand below each other.
struct Table {
    private var rows: [[String]] = []
    /// Columns from this one on end below each other, as numbers do.
    private let numbersFrom: Int

    init(numbersFrom: Int = .max) { self.numbersFrom = numbersFrom }

    mutating func row(_ cells: String...) { rows.append(cells) }

    mutating func row(_ cells: [String]) { rows.append(cells) }

    var lines: [String] {
        var widths: [Int] = []
        for row in rows {
            // The last cell of a row may be as long as it likes, unless it is a number.
            for (column, cell) in (row.count > numbersFrom ? row[...] : row.dropLast()).enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        return rows.map { row in
            row.enumerated().map { column, cell in
                if column >= numbersFrom {
                    let space = widths[column] - cell.count + (column > numbersFrom ? 2 : 0)
                    return String(repeating: " ", count: space) + cell
                }
                if column == row.count - 1 { return cell }
                return cell + String(repeating: " ", count: widths[column] - cell.count + 2)
            }.joined()
        }
    }
}
