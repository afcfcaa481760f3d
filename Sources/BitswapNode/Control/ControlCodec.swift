import NIOCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Cuts a stream of bytes into lines.
struct LineBuffer {
    struct LineTooLong: Error {
        let limit: Int
    }

    private let limit: Int
    private var pending = ByteBuffer()
    /// Bytes of `pending` that are known to hold no newline.
    private var searched = 0

    /// - Parameter limit: the most bytes of a line, with its newline.
    init(limit: Int) {
        self.limit = limit
    }

    mutating func append(_ bytes: ByteBuffer) {
        pending.writeImmutableBuffer(bytes)
    }

    /// The next line, without its newline; nil when it is not whole yet.
    mutating func next() throws(LineTooLong) -> ByteBuffer? {
        let view = pending.readableBytesView
        guard let newline = view[(view.startIndex + searched)...].firstIndex(of: UInt8(ascii: "\n")) else {
            searched = view.count
            if view.count >= limit { throw LineTooLong(limit: limit) }
            return nil
        }
        let length = newline - view.startIndex
        if length >= limit { throw LineTooLong(limit: limit) }
        searched = 0
        let line = pending.readSlice(length: length)
        pending.moveReaderIndex(forwardBy: 1)
        pending.discardReadBytes()
        return line
    }
}

/// The JSON of the control protocol. Encoded lines end in a newline.
enum ControlCodec {
    static func encode(_ value: some Encodable) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        var line = ByteBuffer(bytes: try encoder.encode(value))
        line.writeInteger(UInt8(ascii: "\n"))
        return line
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from line: ByteBuffer) throws -> Value {
        try JSONDecoder().decode(type, from: Data(line.readableBytesView))
    }

    /// Reads a request, or says what is wrong with it and which number it bears, as far as that can be told.
    static func decodeRequest(_ line: ByteBuffer) -> Result<ControlRequestLine, ControlRejection> {
        let head: ControlRequestHead
        do {
            head = try decode(ControlRequestHead.self, from: line)
        } catch {
            return .failure(ControlRejection(id: 0, reason: "the line is no request of the control protocol"))
        }
        guard head.version == ControlProtocol.version else {
            return .failure(
                ControlRejection(
                    id: head.id,
                    reason: "the node speaks version \(ControlProtocol.version) of the control protocol, not "
                        + "\(head.version); use the bitswap command that it was started with"))
        }
        do {
            return .success(try decode(ControlRequestLine.self, from: line))
        } catch {
            return .failure(
                ControlRejection(id: head.id, reason: "the node does not know this request: \(reason(error))"))
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch error as? DecodingError {
        case .dataCorrupted(let context), .keyNotFound(_, let context), .typeMismatch(_, let context),
            .valueNotFound(_, let context):
            context.debugDescription
        default: "\(error)"
        }
    }
}

/// A request that is none.
struct ControlRejection: Error {
    /// 0 when it could not be read.
    let id: UInt64
    let reason: String
}
