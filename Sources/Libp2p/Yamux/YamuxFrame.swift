import NIOCore

/// The 12 bytes before every frame of Yamux (hashicorp/yamux spec.md, "Framing"; libp2p/specs yamux).
struct YamuxHeader: Hashable, Sendable {
    static let byteCount = 12
    /// The window that both sides assume for a new stream.
    static let initialWindow = 256 * 1024

    enum Kind: UInt8, Sendable {
        case data = 0
        case windowUpdate = 1
        case ping = 2
        case goAway = 3
    }

    struct Flags: OptionSet, Hashable, Sendable {
        var rawValue: UInt16

        static let syn = Flags(rawValue: 1)
        static let ack = Flags(rawValue: 2)
        static let fin = Flags(rawValue: 4)
        static let rst = Flags(rawValue: 8)
    }

    var kind: Kind
    var flags: Flags
    /// 0 for ping and go-away.
    var streamID: UInt32
    /// Data: bytes that follow. Window update: bytes granted. Ping: an opaque value. Go-away: a ``YamuxGoAway``.
    var value: UInt32

    init(_ kind: Kind, _ flags: Flags = [], streamID: UInt32 = 0, value: UInt32 = 0) {
        self.kind = kind
        self.flags = flags
        self.streamID = streamID
        self.value = value
    }

    /// Reads a header from the first 12 readable bytes, or nothing when there are fewer.
    static func read(from buffer: inout ByteBuffer) -> Result<YamuxHeader, YamuxFailure>? {
        guard
            let (version, kind, flags, streamID, value) = buffer.readMultipleIntegers(
                as: (UInt8, UInt8, UInt16, UInt32, UInt32).self)
        else { return nil }
        guard version == 0 else {
            return .failure(YamuxFailure(.protocolError, "a frame of version \(version); only version 0 is defined"))
        }
        guard let kind = Kind(rawValue: kind) else {
            return .failure(YamuxFailure(.protocolError, "a frame of the unknown type \(kind)"))
        }
        return .success(YamuxHeader(kind, Flags(rawValue: flags), streamID: streamID, value: value))
    }

    func write(to buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(UInt8(0), kind.rawValue, flags.rawValue, streamID, value)
    }
}

/// Why a connection ends, as a go-away frame says it.
struct YamuxGoAway: RawRepresentable, Hashable, Sendable {
    var rawValue: UInt32

    static let normal = YamuxGoAway(rawValue: 0)
    static let protocolError = YamuxGoAway(rawValue: 1)
    static let internalError = YamuxGoAway(rawValue: 2)
}

/// A reason to end the whole connection.
struct YamuxFailure: Error, Hashable, CustomStringConvertible {
    /// What the peer is told.
    var goAway: YamuxGoAway
    var description: String
    /// The limit that was passed, if it was one.
    var limit: YamuxLimit?

    init(_ goAway: YamuxGoAway, _ description: String, limit: YamuxLimit? = nil) {
        self.goAway = goAway
        self.description = description
        self.limit = limit
    }
}

/// Cuts what arrives into headers and pieces of payload, without a copy and without waiting for a whole frame.
struct YamuxFrameDecoder {
    enum Part: Equatable {
        case header(YamuxHeader)
        /// The next bytes of the data frame whose header came last.
        case payload(ByteBuffer, isLast: Bool)
        case failure(YamuxFailure)
    }

    /// The start of a header whose end has not arrived.
    private var partial = ByteBuffer()
    private var payloadRemaining: UInt32 = 0
    private var failure: YamuxFailure?

    /// The next part of `buffer`, or nil once nothing more can be said about it: then it is empty.
    mutating func next(from buffer: inout ByteBuffer) -> Part? {
        if let failure { return .failure(failure) }
        guard buffer.readableBytes > 0 else { return nil }
        if payloadRemaining > 0 {
            let length = min(buffer.readableBytes, Int(payloadRemaining))
            guard let piece = buffer.readSlice(length: length) else { return nil }
            payloadRemaining -= UInt32(length)
            return .payload(piece, isLast: payloadRemaining == 0)
        }
        let result: Result<YamuxHeader, YamuxFailure>?
        if partial.readableBytes == 0, buffer.readableBytes >= YamuxHeader.byteCount {
            result = YamuxHeader.read(from: &buffer)
        } else {
            let missing = min(YamuxHeader.byteCount - partial.readableBytes, buffer.readableBytes)
            guard var piece = buffer.readSlice(length: missing) else { return nil }
            partial.writeBuffer(&piece)
            guard partial.readableBytes == YamuxHeader.byteCount else { return nil }
            result = YamuxHeader.read(from: &partial)
            partial.clear()
        }
        switch result {
        case .success(let header):
            if header.kind == .data {
                payloadRemaining = header.value
            }
            return .header(header)
        case .failure(let failure):
            self.failure = failure
            return .failure(failure)
        case nil:
            return nil
        }
    }
}
