import NIOCore

/// Buffers that are used again once nobody else holds them, since touching fresh memory costs more than sealing or opening
/// does.
///
/// Holds a few, and lets those go that have been larger than needed for a while.
struct BufferPool {
    private var buffers: [ByteBuffer] = []
    private let maximumCount: Int
    private let allocator: ByteBufferAllocator
    /// The most bytes a buffer held in this period and in the one before it, and how often in this one.
    private var recentPeak = 0
    private var previousPeak = 0
    private var uses = 0

    /// Uses between two looks at whether the buffers are larger than needed.
    private static let period = 64
    /// Buffers up to this size are always kept.
    private static let smallCapacity = 4096

    init(maximumCount: Int, allocator: ByteBufferAllocator) {
        self.maximumCount = maximumCount
        self.allocator = allocator
        buffers.reserveCapacity(maximumCount)
    }

    /// An empty buffer that nobody else holds, with room for `capacity` bytes.
    mutating func take(capacity: Int) -> ByteBuffer {
        for index in buffers.indices {
            if buffers[index].modifyIfUniquelyOwned({ $0.clear(minimumCapacity: capacity) }) != nil {
                return buffers.remove(at: index)
            }
        }
        return allocator.buffer(capacity: capacity)
    }

    /// Keeps a filled buffer for later, when whoever it was passed to is done with it.
    mutating func keep(_ buffer: ByteBuffer) {
        note(buffer.readableBytes)
        guard buffer.capacity <= max(Self.smallCapacity, 4 * max(recentPeak, previousPeak)) else { return }
        if buffers.count == maximumCount { buffers.removeFirst() }
        buffers.append(buffer)
    }

    /// The same bytes in a buffer of the pool.
    mutating func copy(of bytes: ByteBuffer) -> ByteBuffer {
        let count = bytes.readableBytes
        var copy = take(capacity: count + Self.headroom)
        var skipped = 0
        copy.writeWithUnsafeMutableBytes(minimumWritableBytes: count + Self.headroom) { room in
            bytes.withUnsafeReadableBytes { bytes in
                skipped = Self.isSlow(from: bytes, to: room) ? Self.headroom : 0
                UnsafeMutableRawBufferPointer(rebasing: room.dropFirst(skipped)).copyMemory(from: bytes)
                return skipped + count
            }
        }
        copy.moveReaderIndex(forwardBy: skipped)
        keep(copy)
        return copy
    }

    private static let headroom = 64

    /// Where the destination lies less than 32 bytes behind the source within their pages, as it does for neighbours of the
    /// same size in the heap, some processors copy at a twentieth of their speed.
    private static func isSlow(from source: UnsafeRawBufferPointer, to destination: UnsafeMutableRawBufferPointer)
        -> Bool
    {
        let distance = UInt(bitPattern: destination.baseAddress) &- UInt(bitPattern: source.baseAddress)
        return (1..<32).contains(distance & 4095)
    }

    private mutating func note(_ count: Int) {
        recentPeak = max(recentPeak, count)
        uses += 1
        guard uses == Self.period else { return }
        uses = 0
        previousPeak = recentPeak
        recentPeak = 0
        let bound = max(Self.smallCapacity, 4 * previousPeak)
        buffers.removeAll { $0.capacity > bound }
    }
}
