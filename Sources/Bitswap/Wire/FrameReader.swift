import Multiformats
import NIOCore

/// Cuts a stream of bytes into messages: each an unsigned varint of its length, then so many bytes. Pure.
///
/// A message that lies whole in what came in is a slice of it; one that came in parts is put together once. Memory grows
/// with the bytes that came, never with the length that was announced alone.
struct FrameReader {
    private var buffer = ByteBuffer()
    /// Nobody else holds the buffer.
    private var isOwn = false
    private let maximum: Int

    init(maximum: Int) { self.maximum = maximum }

    /// Bytes of a message whose rest is still to come.
    var pendingBytes: Int { buffer.readableBytes }
    /// Bytes of memory that they take.
    var heldBytes: Int { pendingBytes == 0 ? 0 : buffer.storageCapacity }

    mutating func append(_ bytes: ByteBuffer) {
        guard buffer.readableBytes > 0 else {
            buffer = bytes
            isOwn = false
            return
        }
        if !isOwn || buffer.writableBytes < bytes.readableBytes { grow(by: bytes.readableBytes) }
        buffer.writeImmutableBuffer(bytes)
    }

    /// A sender of so much at a time is fast.
    private static let large = 32 << 10

    /// Makes room for more than has come, if the message is that long: for as much again, or for eight times as much when it
    /// comes fast. Every step copies what is there.
    private mutating func grow(by count: Int) {
        let needed = buffer.readableBytes + count
        let announced = (try? lengthPrefix()).map { $0.length + $0.prefix } ?? 0
        let expected = count < Self.large ? 2 * needed : 8 * needed
        let capacity = max(needed, min(announced, expected))
        guard !isOwn else { return buffer.reserveCapacity(capacity) }
        var larger = ByteBufferAllocator().buffer(capacity: capacity)
        larger.writeImmutableBuffer(buffer)
        buffer = larger
        isOwn = true
    }

    /// The next whole message, or nil when more bytes are needed.
    mutating func next() throws(ExchangeError) -> ByteBuffer? {
        guard let (length, prefix) = try lengthPrefix(), buffer.readableBytes >= prefix + length else {
            letGo()
            return nil
        }
        buffer.moveReaderIndex(forwardBy: prefix)
        isOwn = false
        return buffer.readSlice(length: length)
    }

    /// A few bytes do not keep the memory of the many that they came with.
    private mutating func letGo() {
        guard !isOwn, buffer.readableBytes < buffer.storageCapacity / 4 else { return }
        let few = buffer
        buffer = ByteBuffer()
        guard few.readableBytes > 0 else { return }
        buffer.writeImmutableBuffer(few)
        isOwn = true
    }

    private func lengthPrefix() throws(ExchangeError) -> (length: Int, prefix: Int)? {
        var length: UInt64 = 0
        for (index, byte) in buffer.readableBytesView.prefix(UVarint.maximumLength).enumerated() {
            length |= UInt64(byte & 0x7f) << (7 * UInt64(index))
            guard length <= UInt64(maximum) else {
                throw ExchangeError(
                    .malformedMessage, "a message of more than \(maximum) bytes is announced", limit: .messageBytes)
            }
            if byte < 0x80 { return (Int(length), index + 1) }
        }
        guard buffer.readableBytes < UVarint.maximumLength else {
            throw ExchangeError(.malformedMessage, "the length of a message takes more than 9 bytes")
        }
        return nil
    }
}
