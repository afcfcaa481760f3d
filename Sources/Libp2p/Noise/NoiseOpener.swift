import NIOCore
import PeerIdentity

/// Cuts what comes from the socket into Noise messages and opens them.
///
/// A message that lies whole in the received bytes is opened from there straight into the plaintext; only one that is
/// spread over several reads is put together first. So what a read held comes out as one piece, copied by the cipher
/// alone, whoever else holds the received buffer.
struct NoiseOpener {
    private var cipher: NoiseCipherState
    /// The start of a message, with its length in front, whose rest has not come yet.
    private var partial = ByteBuffer()

    /// Above this, room for a partial message is given back after use.
    private static let keptPartialCapacity = 16 * 1024

    init(cipher: NoiseCipherState) { self.cipher = cipher }

    /// Whether the bytes so far end inside a message.
    var isInsideMessage: Bool { partial.readableBytes > 0 }

    /// The most plaintext that `count` further bytes can complete.
    func plaintextBound(receiving count: Int) -> Int { partial.readableBytes + count }

    /// Takes `input` and appends the plaintext of every message it completes to `plaintext`.
    ///
    /// Throws at the first message that does not open; what came before it is in `plaintext`.
    mutating func open(_ input: ByteBuffer, into plaintext: inout ByteBuffer) throws(Libp2pError) {
        var input = input
        if partial.readableBytes > 0 {
            guard try completePartial(&input) else { return }
            partial.moveReaderIndex(forwardBy: NoiseLimits.headerBytes)
            try openMessage(in: partial, length: partial.readableBytes, into: &plaintext)
            if partial.capacity > Self.keptPartialCapacity, input.readableBytes == 0 {
                partial = ByteBuffer()
            } else {
                partial.clear()
            }
        }
        while let length = try messageLength(input), input.readableBytes >= NoiseLimits.headerBytes + length {
            input.moveReaderIndex(forwardBy: NoiseLimits.headerBytes)
            try openMessage(in: input, length: length, into: &plaintext)
            input.moveReaderIndex(forwardBy: length)
        }
        if input.readableBytes > 0 {
            if let length = try messageLength(input) {
                partial.reserveCapacity(NoiseLimits.headerBytes + length)
            }
            partial.writeBuffer(&input)
        }
    }

    /// Moves bytes from `input` until the partial message is whole; false if they do not suffice.
    private mutating func completePartial(_ input: inout ByteBuffer) throws(Libp2pError) -> Bool {
        if partial.readableBytes < NoiseLimits.headerBytes {
            move(NoiseLimits.headerBytes - partial.readableBytes, from: &input)
        }
        guard let length = try messageLength(partial) else { return false }
        let whole = NoiseLimits.headerBytes + length
        partial.reserveCapacity(whole)
        move(whole - partial.readableBytes, from: &input)
        return partial.readableBytes == whole
    }

    private mutating func move(_ count: Int, from input: inout ByteBuffer) {
        if var slice = input.readSlice(length: min(count, input.readableBytes)) {
            partial.writeBuffer(&slice)
        }
    }

    /// The length of the message that `bytes` begin with; nil if they do not tell yet.
    private func messageLength(_ bytes: ByteBuffer) throws(Libp2pError) -> Int? {
        guard let length = bytes.getInteger(at: bytes.readerIndex, as: UInt16.self) else { return nil }
        guard length >= ChaCha20Poly1305.tagLength else {
            throw Libp2pError(
                .protocolViolation,
                "The peer sent a Noise message of \(length) bytes; it has at least \(ChaCha20Poly1305.tagLength).")
        }
        return Int(length)
    }

    /// Opens the message in the first `length` bytes of `bytes`, which are there.
    private mutating func openMessage(
        in bytes: ByteBuffer, length: Int, into plaintext: inout ByteBuffer
    ) throws(Libp2pError) {
        let plaintextLength = length - ChaCha20Poly1305.tagLength
        try bytes.withUnsafeReadableBytes { readable throws(Libp2pError) in
            let sealed = UnsafeRawBufferPointer(rebasing: readable.prefix(length))
            _ = try plaintext.writeWithUnsafeMutableBytes(minimumWritableBytes: plaintextLength) {
                room throws(Libp2pError) in
                try cipher.open(sealed, into: room)
                return plaintextLength
            }
        }
    }
}
