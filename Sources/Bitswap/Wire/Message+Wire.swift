internal import CWire
import Multiformats
import NIOCore

/// Decodes messages, one after the other, into memory that it keeps. Confined to one stream.
struct MessageDecoder: ~Copyable {
    private var scratch = cwire_bitswap_message()
    private var limits: cwire_bitswap_limits
    /// Memory that is kept for the next message: enough for what peers usually send, and little for the many streams there may be.
    private static let keptBytes = 64 << 10

    init(limits: BitswapLimits) {
        cwire_bitswap_message_init(&scratch)
        self.limits = cwire_bitswap_limits(
            message_bytes: limits.messageBytes, wants: limits.entriesPerMessage,
            blocks: limits.blocksPerMessage, presences: limits.entriesPerMessage, cid_bytes: limits.cidBytes,
            prefix_bytes: limits.prefixBytes, block_bytes: limits.blockBytes)
    }

    deinit {
        var scratch = scratch
        cwire_bitswap_message_free(&scratch)
    }

    /// Bytes that are kept for the next message.
    var heldBytes: Int { withUnsafePointer(to: scratch) { cwire_bitswap_message_memory($0) } }

    /// Decodes the body of one frame. Blocks are slices of `frame`, which they keep alive.
    mutating func decode(_ frame: ByteBuffer) throws(ExchangeError) -> Message {
        let result: Result<Message, ExchangeError> = frame.withUnsafeReadableBytes { bytes in
            let status = cwire_bitswap_decode(
                bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, &limits, &scratch)
            guard status == CWIRE_OK else {
                return .failure(
                    ExchangeError(
                        .malformedMessage, String(cString: cwire_status_text(status)), limit: BitswapLimit(status)))
            }
            return .success(message(of: frame, bytes))
        }
        if heldBytes > Self.keptBytes {
            cwire_bitswap_message_free(&scratch)
        } else {
            cwire_bitswap_message_reset(&scratch)
        }
        return try result.get()
    }

    private func message(of frame: ByteBuffer, _ bytes: UnsafeRawBufferPointer) -> Message {
        var message = Message(
            isFull: scratch.full, pendingBytes: Int(max(0, scratch.pending_bytes)), byteCount: bytes.count)
        func cid(_ span: cwire_span) -> CID? {
            try? CID(decoding: UnsafeRawBufferPointer(rebasing: bytes[span.range]))
        }
        message.entries.reserveCapacity(scratch.want_count)
        for want in UnsafeBufferPointer(start: scratch.wants, count: scratch.want_count) {
            guard let cid = cid(want.cid) else {
                message.unreadable += 1
                continue
            }
            let type: WantType = want.type == CWIRE_WANT_HAVE ? .have : .block
            message.entries.append(
                Message.Entry(
                    cid: cid, priority: want.priority,
                    kind: want.cancel ? .cancel : .want(type, sendDontHave: want.send_dont_have)))
        }
        message.blocks.reserveCapacity(scratch.block_count)
        for block in UnsafeBufferPointer(start: scratch.blocks, count: scratch.block_count) {
            let prefix = try? CID.Prefix(decoding: UnsafeRawBufferPointer(rebasing: bytes[block.prefix.range]))
            guard block.legacy || prefix != nil,
                let data = frame.getSlice(
                    at: frame.readerIndex + Int(block.data.offset), length: Int(block.data.length))
            else {
                message.unreadableBlocks += 1
                continue
            }
            message.blocks.append(Message.ReceivedBlock(prefix: block.legacy ? nil : prefix, data: data))
        }
        message.presences.reserveCapacity(scratch.presence_count)
        for presence in UnsafeBufferPointer(start: scratch.presences, count: scratch.presence_count) {
            guard let cid = cid(presence.cid) else {
                message.unreadable += 1
                continue
            }
            message.presences.append(Message.Presence(cid: cid, has: presence.type == CWIRE_PRESENCE_HAVE))
        }
        return message
    }
}

extension BitswapLimit {
    /// The limit that kept a message from being decoded, if it was one.
    fileprivate init?(_ status: cwire_status) {
        switch status {
        case CWIRE_LIMIT_MESSAGE_BYTES: self = .messageBytes
        case CWIRE_LIMIT_WANTS, CWIRE_LIMIT_PRESENCES: self = .entriesPerMessage
        case CWIRE_LIMIT_BLOCKS: self = .blocksPerMessage
        case CWIRE_LIMIT_CID_BYTES: self = .cidBytes
        case CWIRE_LIMIT_PREFIX_BYTES: self = .prefixBytes
        case CWIRE_LIMIT_BLOCK_BYTES: self = .blockBytes
        default: return nil
        }
    }
}

extension cwire_span {
    fileprivate var range: Range<Int> { Int(offset)..<Int(offset) + Int(length) }
}
