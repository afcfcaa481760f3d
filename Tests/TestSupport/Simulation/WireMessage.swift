public import Multiformats
public import NIOCore

/// A Bitswap message, read and written apart from the exchange's own code, so that a test can check what an exchange says
/// and a ``ScriptedPeer`` can say anything.
///
/// Specification: ipfs/specs, bitswap-protocol.md, "Wire format".
public struct WireMessage: Sendable, Hashable {
    public struct Want: Sendable, Hashable {
        public enum Kind: Sendable, Hashable { case block, have, cancel }
        public var cid: CID
        public var kind: Kind
        public var priority: Int32
        public var sendDontHave: Bool

        public init(_ cid: CID, _ kind: Kind = .block, priority: Int32 = 1, sendDontHave: Bool = true) {
            self.cid = cid
            self.kind = kind
            self.priority = priority
            self.sendDontHave = sendDontHave
        }
    }

    public struct Payload: Sendable, Hashable {
        /// Nil in the form of version 1.0.0, which has no prefix.
        public var prefix: CID.Prefix?
        public var data: ByteBuffer

        public init(prefix: CID.Prefix?, data: ByteBuffer) {
            self.prefix = prefix
            self.data = data
        }
    }

    public struct Presence: Sendable, Hashable {
        public var cid: CID
        public var has: Bool

        public init(_ cid: CID, has: Bool) {
            self.cid = cid
            self.has = has
        }
    }

    public var isFull = false
    public var wants: [Want] = []
    public var blocks: [Payload] = []
    public var presences: [Presence] = []
    public var pendingBytes: Int32 = 0

    public init() {}

    /// Asks for these blocks.
    public init(wants cids: [CID], _ kind: Want.Kind = .block) { wants = cids.map { Want($0, kind) } }

    // MARK: Reading

    /// Reads one message, length prefix included; nil when it is not well-formed.
    public init?(frame: ByteBuffer) {
        var isWellFormed = true
        Fields.each(ofFrame: frame) { field, body in
            switch (field.number, field.content) {
            case (1, .bytes(let range)): isWellFormed = readWantlist(body, range) && isWellFormed
            case (2, .bytes(let range)):
                blocks.append(Payload(prefix: nil, data: frame.slice(range, of: body)))
            case (3, .bytes(let range)): isWellFormed = readBlock(body, range, frame) && isWellFormed
            case (4, .bytes(let range)): isWellFormed = readPresence(body, range) && isWellFormed
            case (5, .number(let value)): pendingBytes = Int32(truncatingIfNeeded: value)
            default: break
            }
        } onError: {
            isWellFormed = false
        }
        guard isWellFormed else { return nil }
    }

    private mutating func readWantlist(_ body: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        var fields = Fields(body, range)
        while let field = fields.next() {
            switch (field.number, field.content) {
            case (1, .bytes(let range)):
                guard let want = Want(body, range) else { return false }
                wants.append(want)
            case (2, .number(let value)): isFull = value != 0
            default: break
            }
        }
        return !fields.isMalformed
    }

    private mutating func readBlock(
        _ body: UnsafeRawBufferPointer, _ range: Range<Int>, _ frame: ByteBuffer
    ) -> Bool {
        var fields = Fields(body, range)
        var payload = Payload(prefix: nil, data: ByteBuffer())
        while let field = fields.next() {
            switch (field.number, field.content) {
            case (1, .bytes(let range)):
                payload.prefix = try? CID.Prefix(decoding: UnsafeRawBufferPointer(rebasing: body[range]))
            case (2, .bytes(let range)): payload.data = frame.slice(range, of: body)
            default: break
            }
        }
        blocks.append(payload)
        return !fields.isMalformed && payload.prefix != nil
    }

    private mutating func readPresence(_ body: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        var fields = Fields(body, range)
        var cid: CID?
        var has = true
        while let field = fields.next() {
            switch (field.number, field.content) {
            case (1, .bytes(let range)): cid = try? CID(decoding: UnsafeRawBufferPointer(rebasing: body[range]))
            case (2, .number(let value)): has = value == 0
            default: break
            }
        }
        guard let cid, !fields.isMalformed else { return false }
        presences.append(Presence(cid, has: has))
        return true
    }

    // MARK: Writing

    /// The message with its length in front of it.
    public var frame: ByteBuffer {
        var wantlist = ByteBuffer()
        for want in wants {
            var entry = ByteBuffer()
            want.cid.withUnsafeBytes { entry.writeField(1, bytes: $0) }
            entry.writeField(2, UInt64(bitPattern: Int64(want.priority)))
            if want.kind == .cancel { entry.writeField(3, 1) }
            if want.kind == .have { entry.writeField(4, 1) }
            if want.sendDontHave { entry.writeField(5, 1) }
            wantlist.writeField(1, entry)
        }
        if isFull { wantlist.writeField(2, 1) }
        var body = ByteBuffer()
        body.writeField(1, wantlist)
        for block in blocks {
            guard let prefix = block.prefix else {
                body.writeField(2, block.data)
                continue
            }
            var payload = ByteBuffer()
            prefix.withUnsafeBytes { payload.writeField(1, bytes: $0) }
            payload.writeField(2, block.data)
            body.writeField(3, payload)
        }
        for presence in presences {
            var field = ByteBuffer()
            presence.cid.withUnsafeBytes { field.writeField(1, bytes: $0) }
            if !presence.has { field.writeField(2, 1) }
            body.writeField(4, field)
        }
        if pendingBytes != 0 { body.writeField(5, UInt64(bitPattern: Int64(pendingBytes))) }
        var frame = ByteBuffer()
        frame.writeVarint(UInt64(body.readableBytes))
        frame.writeImmutableBuffer(body)
        return frame
    }
}

extension WireMessage.Want {
    fileprivate init?(_ body: UnsafeRawBufferPointer, _ range: Range<Int>) {
        var fields = Fields(body, range)
        var cid: CID?
        var want = (priority: Int32(0), cancel: false, have: false, sendDontHave: false)
        while let field = fields.next() {
            switch (field.number, field.content) {
            case (1, .bytes(let range)): cid = try? CID(decoding: UnsafeRawBufferPointer(rebasing: body[range]))
            case (2, .number(let value)): want.priority = Int32(truncatingIfNeeded: value)
            case (3, .number(let value)): want.cancel = value != 0
            case (4, .number(let value)): want.have = value == 1
            case (5, .number(let value)): want.sendDontHave = value != 0
            default: break
            }
        }
        guard let cid, !fields.isMalformed else { return nil }
        self.init(
            cid, want.cancel ? .cancel : want.have ? .have : .block, priority: want.priority,
            sendDontHave: want.sendDontHave)
    }
}

extension ByteBuffer {
    /// The bytes at `range` of `body`, which are this buffer's last.
    fileprivate func slice(_ range: Range<Int>, of body: UnsafeRawBufferPointer) -> ByteBuffer {
        getSlice(at: writerIndex - body.count + range.lowerBound, length: range.count) ?? ByteBuffer()
    }

    fileprivate mutating func writeVarint(_ value: UInt64) {
        var value = value
        while value >= 0x80 {
            writeInteger(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        writeInteger(UInt8(value))
    }

    fileprivate mutating func writeField(_ number: UInt64, _ value: UInt64) {
        writeVarint(number << 3)
        writeVarint(value)
    }

    fileprivate mutating func writeField(_ number: UInt64, bytes: UnsafeRawBufferPointer) {
        writeVarint(number << 3 | 2)
        writeVarint(UInt64(bytes.count))
        writeBytes(bytes)
    }

    fileprivate mutating func writeField(_ number: UInt64, _ bytes: ByteBuffer) {
        bytes.withUnsafeReadableBytes { writeField(number, bytes: $0) }
    }
}
