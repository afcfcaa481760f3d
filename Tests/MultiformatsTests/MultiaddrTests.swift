import Multiformats
import Testing

@Suite struct MultiaddrTests {
    @Test func peerAddress() throws {
        let text = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV"
        let address = try Multiaddr(text)
        #expect(address.description == text)
        #expect(try Multiaddr(bytes: address.bytes) == address)
        #expect(address.removingPeer()?.description == "/ip4/127.0.0.1/tcp/4001")
    }
}
