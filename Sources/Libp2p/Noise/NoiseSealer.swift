import NIOCore
import PeerIdentity

/// Seals what is written into Noise messages, many small writes to a message, and packs the messages into pieces for the
/// socket.
///
/// Small writes are copied behind one another and sealed where they lie; a large one is sealed from its own buffer
/// straight into the piece, so that the cipher is the only copy.
struct NoiseSealer {
    private var cipher: NoiseCipherState
    private let maximumBytes: Int
    /// Sealed messages, and at the end the open message if there is one.
    private var output: ByteBuffer?
    /// Where in `output` the open message starts: a length, not written yet, and plaintext.
    private var openStart: Int?
    private var pool: BufferPool

    /// Writes from this size on are not copied. Below it a copy costs less than a message of its own; above it a copy
    /// may cost twenty times as much when source and destination lie unluckily within their pages.
    private static let directBytes = 4096
    /// What a message adds to its plaintext.
    static let overhead = NoiseLimits.headerBytes + ChaCha20Poly1305.tagLength
    /// The most plaintext in a message.
    static let plaintextBytes = NoiseLimits.messageBytes - ChaCha20Poly1305.tagLength

    init(cipher: NoiseCipherState, limits: NoiseLimits, allocator: ByteBufferAllocator) {
        self.cipher = cipher
        self.maximumBytes = max(limits.socketWriteBytes, 2 * Self.overhead)
        self.pool = BufferPool(maximumCount: 2, allocator: allocator)
    }

    /// Whether ``finishPiece()`` is due before more is appended.
    var isFull: Bool { room <= Self.overhead }

    /// Bytes that the current piece can still take.
    private var room: Int { maximumBytes - (output?.readableBytes ?? 0) }

    /// Moves bytes from `data` to the current piece, until one is empty or the other full.
    mutating func append(_ data: inout ByteBuffer) throws(Libp2pError) {
        while data.readableBytes > 0, !isFull {
            if data.readableBytes >= Self.directBytes, room - Self.overhead >= Self.directBytes {
                try sealOpenMessage()
                try sealDirectly(&data)
            } else {
                copy(&data)
                if isOpenMessageFull { try sealOpenMessage() }
            }
        }
    }

    /// What is to be written to the socket, at most the limit at a time; nil if nothing was appended.
    mutating func finishPiece() throws(Libp2pError) -> ByteBuffer? {
        try sealOpenMessage()
        guard let piece = output else { return nil }
        output = nil
        return piece
    }

    /// Takes back a piece that was passed on, to use its memory again.
    mutating func recycle(_ piece: ByteBuffer) { pool.keep(piece) }

    /// The piece that is being filled, taken out so that nobody else holds it while it changes: whoever took it puts it
    /// back. A new one has room for `count` bytes if the limit allows.
    private mutating func takeOutput(room count: Int) -> ByteBuffer {
        guard let buffer = output else { return pool.take(capacity: min(maximumBytes, count)) }
        output = nil
        return buffer
    }

    /// Seals the start of `data`, of which there is at least `directBytes`, as a message of its own.
    private mutating func sealDirectly(_ data: inout ByteBuffer) throws(Libp2pError) {
        let count = min(data.readableBytes, Self.plaintextBytes, room - Self.overhead)
        let length = count + ChaCha20Poly1305.tagLength
        let wanted = data.readableBytes + (data.readableBytes / Self.plaintextBytes + 1) * Self.overhead
        let available = room
        var piece = takeOutput(room: wanted)
        defer { output = piece }
        piece.reserveCapacity(minimumWritableBytes: min(wanted, available))
        piece.writeInteger(UInt16(length))
        try data.withUnsafeReadableBytes { readable throws(Libp2pError) in
            _ = try piece.writeWithUnsafeMutableBytes(minimumWritableBytes: length) { room throws(Libp2pError) in
                try cipher.seal(UnsafeRawBufferPointer(rebasing: readable.prefix(count)), into: room)
                return length
            }
        }
        data.moveReaderIndex(forwardBy: count)
    }

    /// Copies the start of `data` to the open message, opening or closing one as needed.
    private mutating func copy(_ data: inout ByteBuffer) {
        var piece = takeOutput(room: data.readableBytes + Self.overhead)
        defer { output = piece }
        let start = openStart ?? piece.writerIndex
        if openStart == nil { piece.writeInteger(UInt16(0)) }
        openStart = start
        let pending = piece.writerIndex - start - NoiseLimits.headerBytes
        let limit = min(
            Self.plaintextBytes - pending, maximumBytes - piece.readableBytes - ChaCha20Poly1305.tagLength)
        if var slice = data.readSlice(length: max(0, min(data.readableBytes, limit))) {
            piece.writeBuffer(&slice)
        }
    }

    /// Whether the open message, if there is one, can take nothing more.
    private var isOpenMessageFull: Bool {
        guard let openStart, let output else { return false }
        return output.writerIndex - openStart - NoiseLimits.headerBytes >= Self.plaintextBytes
            || room <= ChaCha20Poly1305.tagLength
    }

    /// Closes the open message, if there is one, and seals it where it lies.
    private mutating func sealOpenMessage() throws(Libp2pError) {
        guard let start = openStart else { return }
        openStart = nil
        var piece = takeOutput(room: 0)
        defer { output = piece }
        let plaintextLength = piece.writerIndex - start - NoiseLimits.headerBytes
        piece.setInteger(UInt16(plaintextLength + ChaCha20Poly1305.tagLength), at: start)
        piece.writeRepeatingByte(0, count: ChaCha20Poly1305.tagLength)
        let offset = start + NoiseLimits.headerBytes - piece.readerIndex
        try piece.withUnsafeMutableReadableBytes { bytes throws(Libp2pError) in
            let message = UnsafeMutableRawBufferPointer(rebasing: bytes[offset...])
            try cipher.seal(UnsafeRawBufferPointer(rebasing: message.prefix(plaintextLength)), into: message)
        }
    }
}
