import Multiformats
import Testing

@Suite struct CIDTests {
    @Test func helloBlock() throws {
        let multihash = try Multihash.hash("Hello Bitswap from Rust Helia".utf8, with: .sha2_256)
        let cid = CID(codec: .raw, multihash: multihash)
        #expect(cid.description == "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq")
        #expect(try CID(cid.description) == cid)
        #expect(try CID(bytes: cid.bytes) == cid)
    }
}
