import Multiformats
import NIOCore

/// Cuts a stream of bytes into messages: each an unsigned varint of its length, then so many bytes. Pure.
///
/// A message that lies whole in what came in is a slice of it; one that came in parts is put together once. Memory grows
/// with the bytes that came, never with the length that was announced.
struct FrameReader {
    private var buffer = ByteBuffer()
    private let maximum: Int

    init(maximum: Int) { self.maximum = maximum }

    /// Bytes of a message whose rest is still to come.
    var pendingBytes: Int { buffer.readableBytes }
    /// Bytes of memory that they take.
    var heldBytes: Int { pendingBytes == 0 ? 0 : buffer.storageCapacity }

    mutating func append(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            buffer.discardReadBytes()
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// The next whole message, or nil when more bytes are needed.
    mutating func next() throws(ExchangeError) -> ByteBuffer? {
        guard let (length, prefix) = try lengthPrefix(), buffer.readableBytes >= prefix + length else {
            letGo()
            return nil
        }
        buffer.moveReaderIndex(forwardBy: prefix)
        return buffer.readSlice(length: length)
    }

    /// A few bytes do not keep the memory of the many that they came with.
    private mutating func letGo() {
        guard buffer.readableBytes < buffer.storageCapacity / 4 else { return }
        let few = buffer
        buffer = ByteBuffer()
        if few.readableBytes > 0 { buffer.writeImmutableBuffer(few) }
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
