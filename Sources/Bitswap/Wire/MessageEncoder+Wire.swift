internal import CWire
import Multiformats
import NIOCore

/// Builds one message, length prefix included, in one buffer: the wantlist first, then blocks as they are read from the
/// store, then presences.
///
/// A block's bytes are copied once, from where the store has them into the buffer that goes to the socket.
struct MessageEncoder {
    /// Room for the length prefix, which is known last.
    private static let prefixRoom = 10
    private var buffer: ByteBuffer
    private let version: BitswapVersion

    /// - Parameters:
    ///   - capacity: the bytes that the blocks will take, so that the buffer is made once.
    ///   - makeBuffer: gives an empty buffer with room for so many bytes.
    init(
        version: BitswapVersion, entries: [Message.Entry], isFull: Bool, capacity: Int,
        makeBuffer: (_ capacity: Int) -> ByteBuffer = { ByteBufferAllocator().buffer(capacity: $0) }
    ) {
        self.version = version
        buffer = makeBuffer(Self.prefixRoom + 64 * (entries.count + 1) + capacity)
        buffer.writeRepeatingByte(0, count: Self.prefixRoom)
        writeWantlist(entries, isFull: isFull)
    }

    private mutating func writeWantlist(_ entries: [Message.Entry], isFull: Bool) {
        var wants: [(CID, cwire_want)] = []
        wants.reserveCapacity(entries.count)
        var length = isFull ? Int(CWIRE_BITSWAP_FULL_SIZE) : 0
        for entry in entries {
            var want = cwire_want()
            want.cid.length = UInt32(truncatingIfNeeded: entry.cid.byteCount)
            want.priority = entry.priority
            switch entry.kind {
            case .cancel:
                want.cancel = true
            case .want(let type, let sendDontHave):
                want.type = Int32(type == .have ? CWIRE_WANT_HAVE : CWIRE_WANT_BLOCK)
                want.send_dont_have = sendDontHave && version.hasPresences
            }
            length += cwire_bitswap_want_size(&want)
            wants.append((entry.cid, want))
        }
        write(cwire_bitswap_wantlist_header_size(length)) { cwire_bitswap_wantlist_header_write(length, $0, $1) }
        for (cid, want) in wants {
            var want = want
            cid.withUnsafeBytes { cid in
                write(cwire_bitswap_want_size(&want)) {
                    cwire_bitswap_want_write(cid.baseAddress?.assumingMemoryBound(to: UInt8.self), &want, $0, $1)
                }
            }
        }
        if isFull { write(Int(CWIRE_BITSWAP_FULL_SIZE)) { cwire_bitswap_full_write($0, $1) } }
    }

    mutating func append(block bytes: UnsafeRawBufferPointer, cid: CID) {
        if version.hasPrefixes {
            cid.prefix.withUnsafeBytes { prefix in
                write(cwire_bitswap_block_header_size(prefix.count, bytes.count)) {
                    cwire_bitswap_block_header_write(
                        prefix.baseAddress?.assumingMemoryBound(to: UInt8.self), prefix.count, bytes.count, $0, $1)
                }
            }
        } else {
            write(cwire_bitswap_legacy_block_header_size(bytes.count)) {
                cwire_bitswap_legacy_block_header_write(bytes.count, $0, $1)
            }
        }
        buffer.writeBytes(bytes)
    }

    mutating func append(presenceOf cid: CID, has: Bool) {
        guard version.hasPresences else { return }
        let type = Int32(has ? CWIRE_PRESENCE_HAVE : CWIRE_PRESENCE_DONT_HAVE)
        cid.withUnsafeBytes { cid in
            write(cwire_bitswap_presence_size(cid.count, type)) {
                cwire_bitswap_presence_write(
                    cid.baseAddress?.assumingMemoryBound(to: UInt8.self), cid.count, type, $0, $1)
            }
        }
    }

    /// Ends the message. `pendingBytes` are those of blocks that wait behind it.
    mutating func finish(pendingBytes: Int) -> ByteBuffer {
        if version.hasPresences {
            let pending = Int32(clamping: pendingBytes)
            write(cwire_bitswap_pending_bytes_size(pending)) { cwire_bitswap_pending_bytes_write(pending, $0, $1) }
        }
        let body = UInt64(buffer.readableBytes - Self.prefixRoom)
        var prefix: [UInt8] = []
        UVarint.encode(body, into: &prefix)
        let start = Self.prefixRoom - prefix.count
        buffer.setBytes(prefix, at: start)
        buffer.moveReaderIndex(to: start)
        return buffer
    }

    private mutating func write(_ size: Int, _ body: (UnsafeMutablePointer<UInt8>?, Int) -> Int) {
        guard size > 0 else { return }
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) {
            body($0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count)
        }
    }
}
