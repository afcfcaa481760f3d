import CWire
import TestSupport

/// A decoded message as plain values, to compare.
struct BitswapForm: Equatable {
    struct Want: Equatable {
        var cid: [UInt8] = []
        var priority: Int32 = 0
        var type: Int32 = 0
        var cancel = false
        var sendDontHave = false
    }

    struct Block: Equatable {
        var prefix: [UInt8] = []
        var data: [UInt8] = []
        var legacy = false
    }

    struct Presence: Equatable {
        var cid: [UInt8] = []
        var type: Int32 = 0
    }

    var wants: [Want] = []
    var blocks: [Block] = []
    var presences: [Presence] = []
    var pendingBytes: Int32 = 0
    var hasWantlist = false
    var full = false
}

/// An arena for decoding, freed at the end of its life.
final class Arena {
    var message = cwire_bitswap_message()
    static let generous = cwire_bitswap_limits(
        message_bytes: 1 << 26, wants: 1 << 16, blocks: 1 << 16, presences: 1 << 16, cid_bytes: 1 << 10,
        prefix_bytes: 1 << 7, block_bytes: 1 << 22)

    init() {
        cwire_bitswap_message_init(&message)
    }

    deinit {
        cwire_bitswap_message_free(&message)
    }

    func decode(_ bytes: [UInt8], limits: cwire_bitswap_limits = generous) -> cwire_status {
        withExactCopy(bytes) { data, count in
            withUnsafePointer(to: limits) { cwire_bitswap_decode(data, count, $0, &message) }
        }
    }

    /// What the last decode of these bytes found.
    func form(of bytes: [UInt8]) -> BitswapForm {
        func slice(_ span: cwire_span) -> [UInt8] {
            Array(bytes[Int(span.offset)..<Int(span.offset) + Int(span.length)])
        }
        return BitswapForm(
            wants: UnsafeBufferPointer(start: message.wants, count: message.want_count).map {
                .init(
                    cid: slice($0.cid), priority: $0.priority, type: $0.type, cancel: $0.cancel,
                    sendDontHave: $0.send_dont_have)
            },
            blocks: UnsafeBufferPointer(start: message.blocks, count: message.block_count).map {
                .init(prefix: slice($0.prefix), data: slice($0.data), legacy: $0.legacy)
            },
            presences: UnsafeBufferPointer(start: message.presences, count: message.presence_count).map {
                .init(cid: slice($0.cid), type: $0.type)
            },
            pendingBytes: message.pending_bytes, hasWantlist: message.has_wantlist, full: message.full)
    }
}

extension BitswapForm {
    /// Encodes with the pieces of the façade, each checked for its size.
    func encode() throws -> [UInt8] {
        var bytes: [UInt8] = []
        if hasWantlist {
            let (cids, wants) = spans()
            bytes += try encoded(size: cwire_bitswap_wantlist_size(wants, wants.count, full)) {
                cwire_bitswap_wantlist_write(cids, wants, wants.count, full, $0, $1)
            }
        }
        for block in blocks where block.legacy {
            bytes += try encoded(size: cwire_bitswap_legacy_block_header_size(block.data.count)) {
                cwire_bitswap_legacy_block_header_write(block.data.count, $0, $1)
            }
            bytes += block.data
        }
        for block in blocks where !block.legacy {
            bytes += try encoded(size: cwire_bitswap_block_header_size(block.prefix.count, block.data.count)) {
                cwire_bitswap_block_header_write(block.prefix, block.prefix.count, block.data.count, $0, $1)
            }
            bytes += block.data
        }
        for presence in presences {
            bytes += try encoded(size: cwire_bitswap_presence_size(presence.cid.count, presence.type)) {
                cwire_bitswap_presence_write(presence.cid, presence.cid.count, presence.type, $0, $1)
            }
        }
        bytes += try encoded(size: cwire_bitswap_pending_bytes_size(pendingBytes)) {
            cwire_bitswap_pending_bytes_write(pendingBytes, $0, $1)
        }
        return bytes
    }

    /// The CIDs one behind the other, and the wants that point into them.
    func spans() -> (cids: [UInt8], wants: [cwire_want]) {
        var cids: [UInt8] = []
        let wants = self.wants.map { want in
            defer { cids += want.cid }
            return cwire_want(
                cid: .init(offset: UInt32(cids.count), length: UInt32(want.cid.count)), priority: want.priority,
                type: want.type, cancel: want.cancel, send_dont_have: want.sendDontHave)
        }
        return (cids, wants)
    }

    static func random(using generator: inout SplitMix64) -> BitswapForm {
        func number(_ generator: inout SplitMix64) -> Int32 {
            [0, 1, -1, .max, .min, Int32.random(in: -300...300, using: &generator)].randomElement(using: &generator)!
        }
        func bytes(_ limit: Int, _ generator: inout SplitMix64) -> [UInt8] {
            generator.bytes(Int.random(in: 0...limit, using: &generator))
        }
        var form = BitswapForm(hasWantlist: Bool.random(using: &generator))
        if form.hasWantlist {
            form.full = Bool.random(using: &generator)
            form.wants = (0..<Int.random(in: 0...5, using: &generator)).map { _ in
                Want(
                    cid: bytes(40, &generator), priority: number(&generator), type: number(&generator),
                    cancel: Bool.random(using: &generator), sendDontHave: Bool.random(using: &generator))
            }
        }
        form.blocks = (0..<Int.random(in: 0...4, using: &generator)).map { _ in
            let legacy = Bool.random(using: &generator)
            return Block(prefix: legacy ? [] : bytes(8, &generator), data: bytes(300, &generator), legacy: legacy)
        }
        form.blocks = form.blocks.filter(\.legacy) + form.blocks.filter { !$0.legacy }
        form.presences = (0..<Int.random(in: 0...4, using: &generator)).map { _ in
            Presence(cid: bytes(40, &generator), type: number(&generator))
        }
        form.pendingBytes = number(&generator)
        return form
    }
}
