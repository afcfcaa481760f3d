package import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import NIOConcurrencyHelpers

/// Answers questions on the control socket of a repository, for as long as it runs.
///
/// A `Service`: ``run()`` returns when the task is cancelled or a graceful shutdown begins; then the socket is gone, and
/// another node may serve. A request ends when it is cancelled over its connection, and, unanswered, when that ends.
package final class ControlServer: Service {
    package typealias Responder = @Sendable (ControlRequest) async -> ControlAnswer
    /// Makes what answers the requests of one connection, for as long as the function it is given runs.
    package typealias Scope = @Sendable (_ body: (@escaping Responder) async throws -> Void) async throws -> Void
    private typealias ControlChannel = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    private let listener: ControlListener
    private let limits: ControlLimits
    private let logger: Logger
    private let scope: Scope
    private let connections = NIOLockedValueBox(0)

    package init(
        listener: ControlListener, limits: ControlLimits = ControlLimits(), logger: Logger, scope: @escaping Scope
    ) {
        self.listener = listener
        self.limits = limits
        self.logger = logger
        self.scope = scope
    }

    package func run() async throws {
        defer { listener.close() }
        guard let socket = listener.takeSocket() else {
            throw NodeError(.stopped, "the control socket \(listener.path) was closed")
        }
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(socket) { channel in
            channel.eventLoop.makeCompletedFuture { try ControlChannel(wrappingChannelSynchronously: channel) }
        }
        do {
            try await cancelWhenGracefulShutdown { try await self.accept(server) }
        } catch is CancellationError {
            // The usual end.
        }
    }

    private func accept(_ server: NIOAsyncChannel<ControlChannel, Never>) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            try await server.executeThenClose { inbound in
                for try await connection in inbound {
                    group.addTask { await self.serve(connection) }
                }
            }
            group.cancelAll()
        }
    }

    private func serve(_ connection: ControlChannel) async {
        let isWithinLimit = connections.withLockedValue { count in
            count += 1
            return count <= limits.connections
        }
        defer { connections.withLockedValue { $0 -= 1 } }
        do {
            try await connection.executeThenClose { inbound, outbound in
                guard isWithinLimit else {
                    let failure = ControlFailure(.tooBusy, "the node has too many control connections; try again")
                    return try await outbound.write(encode(.failed(failure), id: 0))
                }
                try await scope { try await converse(inbound, outbound, $0) }
            }
        } catch {
            logger.debug("a control connection ended", metadata: ["error": "\(error)"])
        }
    }

    /// Answers the requests of one connection until it ends; then those that are still worked on are cancelled.
    private func converse(
        _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>, _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>,
        _ responder: @escaping Responder
    ) async throws {
        let conversation = ControlConversation(limit: limits.requestsPerConnection, responder: responder)
        try await withThrowingDiscardingTaskGroup { group in
            var lines = LineBuffer(limit: limits.requestBytes)
            do {
                for try await bytes in inbound {
                    lines.append(bytes)
                    while let line = try lines.next() {
                        try await conversation.room()
                        switch ControlCodec.decodeRequest(line) {
                        case .failure(let rejection):
                            let failure = ControlFailure(.badRequest, rejection.reason)
                            try await outbound.write(encode(.failed(failure), id: rejection.id))
                        case .success(let request):
                            switch conversation.receive(request) {
                            case .work(let work):
                                group.addTask { try await self.work(work, in: conversation, outbound) }
                            case .wait:
                                break
                            case .answer(let answer, let ended):
                                if let ended { try await outbound.write(encode(.failed(.cancelled), id: ended)) }
                                try await outbound.write(encode(answer, id: request.id))
                            }
                        }
                    }
                }
            } catch let error as LineBuffer.LineTooLong {
                let failure = ControlFailure(.badRequest, "a request has at most \(error.limit) bytes")
                try await outbound.write(encode(.failed(failure), id: 0))
            }
            group.cancelAll()
        }
    }

    /// Answers one request after the other while there are any.
    private func work(
        _ first: ControlConversation.Work, in conversation: ControlConversation,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) async throws {
        var work: ControlConversation.Work? = first
        while let current = work {
            try await outbound.write(encode(await current.answer, id: current.id))
            work = conversation.next(after: current)
        }
    }

    private func encode(_ answer: ControlAnswer, id: UInt64) throws -> ByteBuffer {
        try ControlCodec.encode(ControlAnswerLine(version: ControlProtocol.version, id: id, answer: answer))
    }
}
