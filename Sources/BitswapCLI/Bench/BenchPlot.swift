/// A drawing of how near the runs came to their ceilings, by block size: one line for each security and number of
/// connections.
enum BenchPlot {
    private static let (width, height) = (760.0, 460.0)
    private static let (left, right, top, bottom) = (70.0, 180.0, 40.0, 60.0)
    private static let colours = [
        "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f",
    ]

    /// An SVG document.
    static func svg(_ results: [BenchResult]) -> String {
        var sizes: [Int] = []
        var series: [(name: String, points: [(size: Int, share: Double)])] = []
        for result in results {
            if !sizes.contains(result.run.blockSize) { sizes.append(result.run.blockSize) }
            let name = "\(result.run.security.rawValue), \(result.run.connections)"
            let index = series.firstIndex { $0.name == name } ?? series.endIndex
            if index == series.endIndex { series.append((name, [])) }
            series[index].points.append((result.run.blockSize, result.share))
        }
        sizes.sort()
        let most = max(1, results.map(\.share).filter(\.isFinite).max() ?? 1)

        func x(_ size: Int) -> Double {
            let place = Double(sizes.firstIndex(of: size) ?? 0) / Double(max(1, sizes.count - 1))
            return left + place * (width - left - right)
        }
        func y(_ share: Double) -> Double { height - bottom - share / most * (height - top - bottom) }

        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(text(width))\" height=\"\(text(height))\" "
                + "font-family=\"sans-serif\" font-size=\"12\">",
            "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
            label("Share of the ceiling that the parts of the path set", left, 24),
        ]
        for step in 0...Int((most * 5).rounded(.down)) {
            let share = Double(step) / 5
            let stroke = step == 5 ? "#444" : "#ddd"
            lines.append(line(left, y(share), width - right, y(share), stroke))
            lines.append(label("\(step * 20) %", left - 8, y(share) + 4, anchor: "end"))
        }
        for size in sizes {
            lines.append(label(BenchReport.sizeText(size), x(size), height - bottom + 20, anchor: "middle"))
        }
        lines.append(label("block size", (left + width - right) / 2, height - 14, anchor: "middle"))
        for (index, series) in series.enumerated() {
            let colour = colours[index % colours.count]
            let points = series.points.filter(\.share.isFinite).sorted { $0.size < $1.size }
            let path = points.map { "\(text(x($0.size))),\(text(y($0.share)))" }.joined(separator: " ")
            lines.append("<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\"/>")
            for point in points {
                lines.append(
                    "<circle cx=\"\(text(x(point.size)))\" cy=\"\(text(y(point.share)))\" r=\"3\" fill=\"\(colour)\"/>")
            }
            let place = top + 10 + Double(index) * 18
            lines.append(line(width - right + 20, place, width - right + 44, place, colour))
            lines.append(label(series.name, width - right + 50, place + 4))
        }
        lines.append(label("security, connections", width - right + 20, top - 8))
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    private static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ stroke: String) -> String {
        "<line x1=\"\(text(x1))\" y1=\"\(text(y1))\" x2=\"\(text(x2))\" y2=\"\(text(y2))\" stroke=\"\(stroke)\"/>"
    }

    private static func label(_ string: String, _ x: Double, _ y: Double, anchor: String = "start") -> String {
        "<text x=\"\(text(x))\" y=\"\(text(y))\" text-anchor=\"\(anchor)\">\(string)</text>"
    }

    /// At most one digit behind the point.
    private static func text(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
