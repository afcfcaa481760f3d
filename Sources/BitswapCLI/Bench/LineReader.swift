import Dispatch

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The lines that come through a descriptor, until its end.
struct LineReader: AsyncSequence {
    typealias Element = String
    private let lines: AsyncStream<String>

    /// Takes the descriptor over: it is closed when there is nothing more to read, or nobody who reads.
    ///
    /// - Parameter onEnd: called then, whatever the reader is at.
    init(_ descriptor: Int32, onEnd: @escaping @Sendable () -> Void = {}) {
        let (lines, continuation) = AsyncStream.makeStream(of: String.self)
        self.lines = lines
        let queue = DispatchQueue(label: "lines")
        // Sources may be used from any thread; Dispatch does not say so.
        nonisolated(unsafe) let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        let pending = Pending()
        source.setEventHandler {
            guard pending.take(from: descriptor, { continuation.yield($0) }) else { return source.cancel() }
        }
        source.setCancelHandler {
            close(descriptor)
            continuation.finish()
            onEnd()
        }
        continuation.onTermination = { _ in source.cancel() }
        source.activate()
    }

    func makeAsyncIterator() -> AsyncStream<String>.Iterator { lines.makeAsyncIterator() }

    /// The start of a line whose end has not come.
    // Sendable: used on the queue of the source alone.
    private final class Pending: @unchecked Sendable {
        private var bytes: [UInt8] = []

        /// False at the end.
        func take(from descriptor: Int32, _ emit: (String) -> Void) -> Bool {
            let count = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
                let count = read(descriptor, buffer.baseAddress, buffer.count)
                if count > 0 { bytes.append(contentsOf: buffer.prefix(count)) }
                return count
            }
            while let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
                emit(String(decoding: bytes[..<end], as: UTF8.self))
                bytes.removeSubrange(...end)
            }
            return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN))
        }
    }
}
