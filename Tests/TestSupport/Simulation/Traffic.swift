import NIOCore

/// What the network itself has seen one peer send and be given, whatever the peer says of itself.
public struct Traffic: Sendable, Hashable {
    /// Bytes that left the peer, framing included.
    public internal(set) var bytesSent = 0
    public internal(set) var messagesSent = 0
    public internal(set) var blocksSent = 0
    /// Bytes of blocks that left the peer, without framing.
    public internal(set) var blockBytesSent = 0
    /// Blocks that a lying node made up. They count among ``blocksSent`` too.
    public internal(set) var liesSent = 0
    /// Entries of wantlists that ask for a block.
    public internal(set) var wantBlocksSent = 0
    /// Entries of wantlists that ask who has a block.
    public internal(set) var wantHavesSent = 0
    public internal(set) var cancelsSent = 0
    /// Bytes of wantlists, without the framing of their messages.
    public internal(set) var wantlistBytesSent = 0
    public internal(set) var havesSent = 0
    public internal(set) var dontHavesSent = 0

    public internal(set) var bytesReceived = 0
    public internal(set) var blocksReceived = 0
    public internal(set) var blockBytesReceived = 0
    /// Blocks that came although they had come before. Blocks are told apart by their length and a sample of their bytes.
    public internal(set) var duplicateBlocksReceived = 0
    public internal(set) var duplicateBytesReceived = 0

    public init() {}

    /// All entries of wantlists but cancels.
    public var wantsSent: Int { wantBlocksSent + wantHavesSent }
}

/// What one message carries, as far as the accounts and the trace want to know.
struct FrameFacts {
    /// Length and sample of each block.
    var blocks: [Fingerprint] = []
    var blockBytes = 0
    var wantBlocks = 0
    var wantHaves = 0
    var cancels = 0
    var wantlistBytes = 0
    var haves = 0
    var dontHaves = 0
    /// A sample of the whole message.
    var content: UInt64 = 0
    /// A lying node made it up.
    var isLie = false

    struct Fingerprint: Hashable {
        var length: Int
        var sample: UInt64
    }

    init(_ frame: ByteBuffer) {
        content = frame.withUnsafeReadableBytes { Trace.sample($0) }
        Fields.each(ofFrame: frame) { field, body in
            guard case .bytes(let range) = field.content else { return }
            switch field.number {
            case 1:
                wantlistBytes += range.count
                countWants(body, range)
            case 2: countBlock(body, range)
            case 3:
                var fields = Fields(body, range)
                while let field = fields.next() {
                    if field.number == 2, case .bytes(let data) = field.content { countBlock(body, data) }
                }
            case 4:
                var has = true
                var fields = Fields(body, range)
                while let field = fields.next() {
                    if field.number == 2, case .number(let type) = field.content { has = type == 0 }
                }
                if has { haves += 1 } else { dontHaves += 1 }
            default: break
            }
        } onError: {
        }
    }

    private mutating func countBlock(_ body: UnsafeRawBufferPointer, _ range: Range<Int>) {
        blockBytes += range.count
        let data = UnsafeRawBufferPointer(rebasing: body[range])
        blocks.append(Fingerprint(length: range.count, sample: Trace.sample(data)))
    }

    private mutating func countWants(_ body: UnsafeRawBufferPointer, _ range: Range<Int>) {
        var wantlist = Fields(body, range)
        while let field = wantlist.next() {
            guard field.number == 1, case .bytes(let entry) = field.content else { continue }
            var isCancel = false
            var isHave = false
            var fields = Fields(body, entry)
            while let field = fields.next() {
                guard case .number(let value) = field.content else { continue }
                if field.number == 3 { isCancel = value != 0 }
                if field.number == 4 { isHave = value == 1 }
            }
            if isCancel { cancels += 1 } else if isHave { wantHaves += 1 } else { wantBlocks += 1 }
        }
    }
}

extension Traffic {
    mutating func sent(_ facts: FrameFacts) {
        messagesSent += 1
        blocksSent += facts.blocks.count
        blockBytesSent += facts.blockBytes
        if facts.isLie { liesSent += facts.blocks.count }
        wantBlocksSent += facts.wantBlocks
        wantHavesSent += facts.wantHaves
        cancelsSent += facts.cancels
        wantlistBytesSent += facts.wantlistBytes
        havesSent += facts.haves
        dontHavesSent += facts.dontHaves
    }
}
