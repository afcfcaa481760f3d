import Blockstore
import Foundation
import Multiformats
import NIOCore
import PeerIdentity
import Testing

@testable import Bitswap

func cid(_ text: String) -> CID { block(text).cid }

func block(_ text: String) -> Block {
    do { return try Block(ByteBuffer(string: text)) } catch { fatalError("a raw block has a CID: \(error)") }
}

/// A peer with a made-up identity, the same for the same number.
func peer(_ number: Int) -> PeerID {
    do {
        let digest = [UInt8](repeating: 0, count: 31) + [UInt8(number)]
        let multihash = try digest.withUnsafeBytes { try Multihash(code: .sha2_256, digest: $0) }
        return try PeerID(multihash: multihash)
    } catch { fatalError("a SHA2-256 multihash is a PeerID: \(error)") }
}

/// Waits for something that another task is about to bring about; the end of the test's patience, not a measure of time.
func eventually(
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
    for _ in 0..<2_000 {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("never came about: \(what)", sourceLocation: sourceLocation)
}

extension MessageDecoder {
    /// The message in one whole frame.
    static func message(in frame: ByteBuffer) throws -> Message {
        var reader = FrameReader(maximum: 4 << 20)
        reader.append(frame)
        let body = try #require(try reader.next())
        var decoder = MessageDecoder(limits: BitswapLimits())
        return try decoder.decode(body)
    }
}

/// A want of the block of this text.
func entry(
    _ text: String, _ type: WantType = .block, priority: Int32 = 1, sendDontHave: Bool = true
) -> Message.Entry {
    Message.Entry(cid: cid(text), priority: priority, kind: .want(type, sendDontHave: sendDontHave))
}
