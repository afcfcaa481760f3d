import NIOCore

/// Multistream-select 1.0: two sides agree on a protocol (libp2p/specs, connections; multiformats/multistream-select).
///
/// A message is its length as a varint, a name, and a newline that counts. The machine reads messages from a buffer
/// that the caller fills; once ``Action/selected(_:)`` came, what is left in the buffer belongs to the protocol.
/// Call ``next(from:)`` until it asks for more bytes, has selected, or has failed.
struct MultistreamSelect {
    static let header: ProtocolID = "/multistream/1.0.0"
    private static let notAvailable = "na"
    private static let list = "ls"

    struct Limits: Hashable, Sendable {
        /// Bytes of one message, newline included. Lengths are read from two bytes at most.
        var messageLength = 1024
        /// Proposals and requests for the list that a responder puts up with.
        var proposals = 32
        /// Bytes read in all.
        var totalBytes = 16 * 1024
    }

    struct Failure: Error, Hashable, CustomStringConvertible {
        enum Reason: Hashable {
            /// None of our proposals is spoken over there.
            case notSupported
            /// What arrived is no multistream-select.
            case malformed
            /// A limit was passed.
            case limit
        }
        var reason: Reason
        var description: String
    }

    enum Action: Equatable {
        case needMoreBytes
        case send(ByteBuffer)
        /// Responder: answer with ``accept()`` or ``refuse()``.
        case proposed(ProtocolID)
        /// Responder: answer with ``answerList(_:)``.
        case listRequested
        case selected(ProtocolID)
        case failed(Failure)
    }

    private enum State {
        case initiatorIdle
        case initiatorAwaitsHeader(index: Int)
        case initiatorAwaitsAnswer(index: Int)
        case responderAwaitsHeader
        case responderAwaitsProposal
        case responderDecides(ProtocolID)
        case responderLists
        case selected(ProtocolID)
        case failed(Failure)
    }

    private var state: State
    private let proposals: [ProtocolID]
    private let limits: Limits
    private var messages = 0
    private var totalBytes = 0

    /// The side that proposes, in the order of preference.
    init(proposing proposals: [ProtocolID], limits: Limits = Limits()) {
        self.state = .initiatorIdle
        self.proposals = proposals
        self.limits = limits
    }

    /// The side that answers.
    init(respondingWith limits: Limits = Limits()) {
        self.state = .responderAwaitsHeader
        self.proposals = []
        self.limits = limits
    }

    /// The initiator's first flight: the header and the first proposal together. With one proposal the protocol's own
    /// bytes may follow at once, before any answer.
    mutating func start() -> ByteBuffer {
        var flight = ByteBuffer()
        guard case .initiatorIdle = state else { return flight }
        guard let first = proposals.first else {
            state = .failed(Failure(reason: .notSupported, description: "no protocol was proposed"))
            return flight
        }
        state = .initiatorAwaitsHeader(index: 0)
        Self.write(Self.header.name, to: &flight)
        Self.write(first.name, to: &flight)
        return flight
    }

    mutating func next(from buffer: inout ByteBuffer) -> Action {
        switch state {
        case .selected(let protocolID):
            return .selected(protocolID)
        case .failed(let failure):
            return .failed(failure)
        case .initiatorIdle, .responderDecides, .responderLists:
            return .needMoreBytes
        case .initiatorAwaitsHeader, .initiatorAwaitsAnswer, .responderAwaitsHeader, .responderAwaitsProposal:
            break
        }
        let message: String
        switch readMessage(from: &buffer) {
        case .success(.none):
            return .needMoreBytes
        case .success(.some(let text)):
            message = text
        case .failure(let failure):
            return fail(failure)
        }
        switch state {
        case .initiatorAwaitsHeader(let index):
            guard message == Self.header.name else { return fail(unexpected: message, instead: Self.header.name) }
            state = .initiatorAwaitsAnswer(index: index)
            return next(from: &buffer)

        case .initiatorAwaitsAnswer(let index):
            if message == proposals[index].name {
                state = .selected(proposals[index])
                return .selected(proposals[index])
            }
            guard message == Self.notAvailable else { return fail(unexpected: message, instead: proposals[index].name) }
            guard index + 1 < proposals.count else {
                let names = proposals.map(\.name).joined(separator: ", ")
                return fail(Failure(reason: .notSupported, description: "the peer does not speak \(names)"))
            }
            state = .initiatorAwaitsAnswer(index: index + 1)
            return .send(Self.message(proposals[index + 1].name))

        case .responderAwaitsHeader:
            guard message == Self.header.name else { return fail(unexpected: message, instead: Self.header.name) }
            state = .responderAwaitsProposal
            return .send(Self.message(Self.header.name))

        case .responderAwaitsProposal:
            messages += 1
            guard messages <= limits.proposals else {
                return fail(Failure(reason: .limit, description: "more than \(limits.proposals) proposals"))
            }
            if message == Self.list {
                state = .responderLists
                return .listRequested
            }
            state = .responderDecides(ProtocolID(message))
            return .proposed(ProtocolID(message))

        case .initiatorIdle, .responderDecides, .responderLists, .selected, .failed:
            return .needMoreBytes
        }
    }

    /// Takes the proposed protocol. Returns the answer to send; ``next(from:)`` then says `selected`.
    mutating func accept() -> ByteBuffer {
        guard case .responderDecides(let protocolID) = state else { return ByteBuffer() }
        state = .selected(protocolID)
        return Self.message(protocolID.name)
    }

    /// Refuses the proposed protocol; the peer may propose another. Returns the answer to send.
    mutating func refuse() -> ByteBuffer {
        guard case .responderDecides = state else { return ByteBuffer() }
        state = .responderAwaitsProposal
        return Self.message(Self.notAvailable)
    }

    /// Returns the list to send: messages within a message, and a newline after the last.
    mutating func answerList(_ protocols: [ProtocolID]) -> ByteBuffer {
        guard case .responderLists = state else { return ByteBuffer() }
        state = .responderAwaitsProposal
        var body = ByteBuffer()
        for protocolID in protocols {
            Self.write(protocolID.name, to: &body)
        }
        body.writeInteger(UInt8(ascii: "\n"))
        var answer = ByteBuffer()
        Self.writeLength(body.readableBytes, to: &answer)
        answer.writeBuffer(&body)
        return answer
    }

    // MARK: - Messages

    private mutating func fail(_ failure: Failure) -> Action {
        state = .failed(failure)
        return .failed(failure)
    }

    private var awaitsHeader: Bool {
        switch state {
        case .initiatorAwaitsHeader, .responderAwaitsHeader: true
        default: false
        }
    }

    private mutating func fail(unexpected message: String, instead expected: String) -> Action {
        fail(
            Failure(
                reason: .malformed,
                description: "expected \"\(expected)\", not \"\(message.prefix(80))\""))
    }

    /// The next whole message without its newline, or nil when bytes are missing. A length that is out of bounds is
    /// refused before its bytes are waited for.
    private mutating func readMessage(from buffer: inout ByteBuffer) -> Result<String?, Failure> {
        let start = buffer.readerIndex
        guard let first = buffer.getInteger(at: start, as: UInt8.self) else { return .success(nil) }
        var length = Int(first & 0x7F)
        var lengthBytes = 1
        if first >= 0x80 {
            guard let second = buffer.getInteger(at: start + 1, as: UInt8.self) else { return .success(nil) }
            guard second < 0x80 else {
                return .failure(Failure(reason: .limit, description: "a message of 16 KiB or more"))
            }
            guard second != 0 else {
                return .failure(Failure(reason: .malformed, description: "a length that is not in its shortest form"))
            }
            length |= Int(second) << 7
            lengthBytes = 2
        }
        guard length <= limits.messageLength else {
            return .failure(
                Failure(
                    reason: .limit,
                    description: "a message of \(length) bytes, where \(limits.messageLength) are allowed"))
        }
        if awaitsHeader, length != Self.header.name.utf8.count + 1 {
            // Whoever speaks something else altogether is told so at once.
            return .failure(
                Failure(
                    reason: .malformed, description: "expected \"\(Self.header)\", not a message of \(length) bytes"))
        }
        guard length > 0 else {
            return .failure(Failure(reason: .malformed, description: "an empty message"))
        }
        guard totalBytes + lengthBytes + length <= limits.totalBytes else {
            return .failure(
                Failure(reason: .limit, description: "more than \(limits.totalBytes) bytes before an agreement"))
        }
        guard buffer.readableBytes >= lengthBytes + length else { return .success(nil) }
        buffer.moveReaderIndex(forwardBy: lengthBytes)
        totalBytes += lengthBytes + length
        guard let body = buffer.readSlice(length: length) else { return .success(nil) }
        guard body.getInteger(at: body.writerIndex - 1, as: UInt8.self) == UInt8(ascii: "\n") else {
            return .failure(Failure(reason: .malformed, description: "a message without a newline at its end"))
        }
        guard let text = String(validating: body.readableBytesView.dropLast(), as: UTF8.self) else {
            return .failure(Failure(reason: .malformed, description: "a name that is not UTF-8"))
        }
        return .success(text)
    }

    static func message(_ name: String) -> ByteBuffer {
        var buffer = ByteBuffer()
        write(name, to: &buffer)
        return buffer
    }

    private static func write(_ name: String, to buffer: inout ByteBuffer) {
        writeLength(name.utf8.count + 1, to: &buffer)
        buffer.writeString(name)
        buffer.writeInteger(UInt8(ascii: "\n"))
    }

    private static func writeLength(_ length: Int, to buffer: inout ByteBuffer) {
        var rest = UInt(length)
        while rest >= 0x80 {
            buffer.writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        buffer.writeInteger(UInt8(rest))
    }
}
