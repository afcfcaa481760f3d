import Foundation
import Testing

@testable import BitswapCLI

@Suite struct JSONTests {
    @Test func keepsTheOrderOfMembers() {
        let value = JSON.object([
            ("b", .integer(-1)), ("a", .array([.null, .bool(true), .number(0.5)])), ("c", .object([])),
            ("d", .array([])),
        ])
        #expect(value.description == #"{"b":-1,"a":[null,true,0.5],"c":{},"d":[]}"#)
        #expect(JSON.number(.nan).description == "null")
    }

    @Test func everyStringComesBackFromFoundationsDecoder() throws {
        let special: [Unicode.Scalar] = ["\u{1F600}", "/", "\\", "\"", "é", "\u{2028}", "\u{FEFF}", "a"]
        let all = (0...0xFF).map { Unicode.Scalar(UInt8($0)) } + special
        for first in all {
            let text = String(String.UnicodeScalarView([first] + special + [first, first]))
            let data = Data(JSON.array([.string(text)]).description.utf8)
            #expect(try JSONDecoder().decode([String].self, from: data) == [text])
            #expect(!data.contains { $0 < 0x20 })
        }
    }
}
