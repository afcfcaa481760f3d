import Multiformats
import NIOCore
import Testing

@testable import Blockstore

@Suite struct BlockTests {
    @Test func refusesBytesOfAnotherHash() async throws {
        let cid = try Block(ByteBuffer(string: "right")).cid
        #expect(try Block(verifying: ByteBuffer(string: "right"), cid: cid).cid == cid)
        let error = await expect(.hashMismatch) { try Block(verifying: ByteBuffer(string: "wrong"), cid: cid) }
        #expect(error?.description.contains(cid.description) == true)
        await expect(.hashMismatch) { try Block(verifying: ByteBuffer(), cid: cid) }
    }

    @Test func refusesAHashItDoesNotKnow() async throws {
        let multihash = try Multihash(code: .murmur3, digest: [UInt8](repeating: 0, count: 8))
        let cid = CID(codec: .raw, multihash: multihash)
        await expect(.unsupportedHash) { try Block(verifying: ByteBuffer(string: "x"), cid: cid) }
        await expect(.unsupportedHash) { try Block(ByteBuffer(string: "x"), hash: .murmur3) }
    }

    @Test func takesCodecAndHash() throws {
        let bytes = ByteBuffer(string: "x")
        let block = try Block(bytes, codec: .dagCBOR, hash: .sha2_512)
        #expect(block.cid.codec == .dagCBOR)
        #expect(block.cid.multihash.code == .sha2_512)
        #expect(block.bytes == bytes)
        #expect(try Block(bytes).cid.codec == .raw)
        #expect(try Block(bytes) != block)
    }
}
