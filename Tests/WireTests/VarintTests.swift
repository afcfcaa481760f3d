import CWire
import CWireGenerated
import Testing

@Suite struct VarintTests {
    @Test func imports() {
        #expect(cwire_uvarint_size(300) == 2)
        #expect(swift_bitswap__keys__public_key__descriptor.sizeof_message > 0)
    }
}
