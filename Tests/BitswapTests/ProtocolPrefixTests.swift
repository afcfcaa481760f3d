import Libp2p
import Testing

@testable import Bitswap

@Suite struct ProtocolPrefixTests {
    @Test(arguments: ["/chain", "/a", "/a/b.c-d_e~1", "//a"])
    func isPutBeforeTheNameOfEachVersion(_ text: String) throws {
        let prefix = try ProtocolPrefix(text)
        #expect(prefix.text == text && "\(prefix)" == text)
        let names = ["/ipfs/bitswap", "/ipfs/bitswap/1.0.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.2.0"]
        #expect(BitswapVersion.allCases.map { $0.protocolID(prefix: prefix).name } == names.map { text + $0 })
        #expect(BitswapVersion.allCases.map { $0.protocolID(prefix: nil).name } == names)
        for version in BitswapVersion.allCases {
            #expect(BitswapVersion(version.protocolID(prefix: prefix), prefix: prefix) == version)
            #expect(BitswapVersion(version.protocolID, prefix: prefix) == nil)
            #expect(BitswapVersion(version.protocolID(prefix: prefix)) == nil)
        }
    }

    @Test(arguments: [
        ("", "begin"), ("chain", "begin"), (" /chain", "begin"), ("/", "ends"), ("/chain/", "ends"),
        ("/a b", "space"), ("/a\n", "control"), ("/a\u{7F}", "control"), ("/ä", "ASCII"),
    ])
    func whatIsNoneIsRefusedWithTheReason(_ text: String, _ reason: String) {
        let error = #expect(throws: ExchangeError.self) { try ProtocolPrefix(text) }
        #expect(error?.code == .invalidProtocolPrefix)
        #expect(error?.message.contains(reason) == true)
    }

    @Test func itsLengthHasALimit() throws {
        let longest = "/" + String(repeating: "x", count: ProtocolPrefix.maximumBytes - 1)
        #expect(try ProtocolPrefix(longest).text.utf8.count == ProtocolPrefix.maximumBytes)
        let error = #expect(throws: ExchangeError.self) { try ProtocolPrefix(longest + "x") }
        #expect(error?.message.contains("128 are the most") == true)
    }
}
