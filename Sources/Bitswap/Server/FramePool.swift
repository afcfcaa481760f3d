import NIOConcurrencyHelpers
import NIOCore

/// Buffers of messages that the transport is done with, for the messages to come: fresh memory of such a size costs more than
/// what is written into it.
final class FramePool: Sendable {
    private let buffers = NIOLockedValueBox<[ByteBuffer]>([])

    /// Bytes that are kept at most.
    private static let limit = 4 << 20
    /// Smaller buffers are not worth keeping, and larger ones too rare.
    private static let sizes = 64 << 10...2 << 20

    var keptBytes: Int { buffers.withLockedValue { $0.reduce(0) { $0 + $1.storageCapacity } } }

    /// An empty buffer that nobody else holds, with room for `capacity` bytes.
    func take(capacity: Int) -> ByteBuffer {
        guard Self.sizes.contains(capacity) else { return ByteBufferAllocator().buffer(capacity: capacity) }
        let kept = buffers.withLockedValue { buffers -> ByteBuffer? in
            for index in buffers.indices.reversed() where buffers[index].storageCapacity >= capacity {
                if buffers[index].modifyIfUniquelyOwned({ $0.clear() }) != nil { return buffers.remove(at: index) }
            }
            return nil
        }
        return kept ?? ByteBufferAllocator().buffer(capacity: capacity)
    }

    /// Keeps a buffer, when whoever it was passed to is done with it.
    func give(_ buffer: ByteBuffer) {
        guard Self.sizes.contains(buffer.storageCapacity) else { return }
        buffers.withLockedValue { buffers in
            buffers.append(buffer)
            var bytes = buffers.reduce(0) { $0 + $1.storageCapacity }
            while bytes > Self.limit { bytes -= buffers.removeFirst().storageCapacity }
        }
    }
}
