import NIOCore
import TestSupport
import Testing

@testable import BitswapNode

@Suite struct LineBufferTests {
    private func lines(of chunks: [String], limit: Int = 1_024) throws -> [String] {
        var buffer = LineBuffer(limit: limit)
        var lines: [String] = []
        for chunk in chunks {
            buffer.append(ByteBuffer(string: chunk))
            while let line = try buffer.next() { lines.append(String(buffer: line)) }
        }
        return lines
    }

    @Test func cutsLinesHoweverTheyArrive() throws {
        #expect(try lines(of: ["one\ntwo\n\nthree\n"]) == ["one", "two", "", "three"])
        #expect(try lines(of: ["o", "ne", "\n", "tw", "o\nthr", "ee", "\nrest"]) == ["one", "two", "three"])
        #expect(try lines(of: []) == [])
    }

    @Test(arguments: 0..<64) func cutsTheSameLinesWhateverTheChunks(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let wanted = (0..<20).map { _ in String(repeating: "x", count: Int.random(in: 0...99, using: &random)) }
        var rest = wanted.map { $0 + "\n" }.joined()[...]
        var chunks: [String] = []
        while !rest.isEmpty {
            let chunk = rest.prefix(Int.random(in: 1...70, using: &random))
            chunks.append(String(chunk))
            rest = rest.dropFirst(chunk.count)
        }
        #expect(try lines(of: chunks, limit: 100) == wanted, "seed \(seed)")
    }

    @Test func aLineMayFillTheLimitAndNoMore() throws {
        let full = String(repeating: "x", count: 9)
        #expect(try lines(of: [full + "\n", full, "\n"], limit: 10) == [full, full])
        #expect(throws: LineBuffer.LineTooLong.self) { try lines(of: [full + "x\n"], limit: 10) }
        // It is not waited for the newline of a line that is too long already.
        #expect(throws: LineBuffer.LineTooLong.self) { try lines(of: [full, "x"], limit: 10) }
    }
}
