@testable import Bitswap
import Blockstore
import Multiformats
import NIOCore

/// Frames and messages.
let wireParts: [Part] =
    [framePart] + blockMessageParts("one block of 256 KiB", count: 1, size: 256 << 10)
    + blockMessageParts("512 blocks of 1 KiB", count: 512, size: 1 << 10) + wantMessageParts

private let framePart = Part("frames: 512 of 1 KiB out of reads of 64 KiB") {
    var stream = ByteBuffer()
    for _ in 0..<512 {
        var header: [UInt8] = []
        UVarint.encode(1 << 10, into: &header)
        stream.writeBytes(header)
        stream.writeBytes(pattern(1 << 10))
    }
    let reads = cut(stream, 64 << 10)
    return Work {
        var reader = FrameReader(maximum: 4 << 20)
        for read in reads {
            reader.append(read)
            while let frame = try reader.next() { keep(frame) }
        }
    }
}

private func blockMessageParts(_ name: String, count: Int, size: Int) -> [Part] {
    [
        Part("message: write \(name)") {
            let blocks = try (0..<count).map { try Block(ByteBuffer(bytes: pattern(size, salt: $0))) }
            return Work { keep(message(of: blocks, size: size)) }
        },
        Part("message: read \(name)") {
            let blocks = try (0..<count).map { try Block(ByteBuffer(bytes: pattern(size, salt: $0))) }
            let frame = try body(of: message(of: blocks, size: size))
            let decoder = DecoderBox()
            return Work { keep(try decoder.decode(frame)) }
        },
    ]
}

private let wantMessageParts: [Part] = [
    Part("message: write 1,024 wants") {
        let entries = try wants(1024)
        return Work {
            var encoder = MessageEncoder(version: .v1_2_0, entries: entries, isFull: false, capacity: 0)
            keep(encoder.finish(pendingBytes: 0))
        }
    },
    Part("message: read 1,024 wants") {
        var encoder = MessageEncoder(version: .v1_2_0, entries: try wants(1024), isFull: false, capacity: 0)
        let frame = try body(of: encoder.finish(pendingBytes: 0))
        let decoder = DecoderBox()
        return Work { keep(try decoder.decode(frame)) }
    },
]

/// The decoder cannot be copied, so a closure cannot keep it by itself.
private final class DecoderBox {
    private var decoder = MessageDecoder(limits: BitswapLimits())

    func decode(_ frame: ByteBuffer) throws -> Message { try decoder.decode(frame) }
}

func wants(_ count: Int) throws -> [Message.Entry] {
    try cids(count).map { Message.Entry(cid: $0, kind: .want(.block, sendDontHave: true)) }
}

func cids(_ count: Int) throws -> [CID] {
    try (0..<count).map { number in
        try withUnsafeBytes(of: number) { CID(codec: .raw, multihash: try Multihash.hash($0, with: .sha2_256)) }
    }
}

private func message(of blocks: [Block], size: Int) -> ByteBuffer {
    var encoder = MessageEncoder(
        version: .v1_2_0, entries: [], isFull: false, capacity: blocks.count * (size + 32))
    for block in blocks {
        block.bytes.withUnsafeReadableBytes { encoder.append(block: $0, cid: block.cid) }
    }
    return encoder.finish(pendingBytes: 0)
}

private func body(of message: ByteBuffer) throws -> ByteBuffer {
    var reader = FrameReader(maximum: 4 << 20)
    reader.append(message)
    guard let body = try reader.next() else { throw PartFailure() }
    return body
}

/// A part that does not do what it is measured for.
struct PartFailure: Error {}

/// Pieces of at most so many bytes, each with memory of its own, as reads of a socket are.
func cut(_ stream: ByteBuffer, _ size: Int) -> [ByteBuffer] {
    var stream = stream
    var pieces: [ByteBuffer] = []
    while let piece = stream.readSlice(length: min(size, stream.readableBytes)), piece.readableBytes > 0 {
        pieces.append(ByteBuffer(bytes: piece.readableBytesView))
    }
    return pieces
}
