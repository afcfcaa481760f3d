package import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import NIOConcurrencyHelpers

/// Answers questions on the control socket of a repository, for as long as it runs.
///
/// A `Service`: ``run()`` returns when the task is cancelled or a graceful shutdown begins; then the socket is gone, and
/// another node may serve. A request ends, unanswered, when its connection does.
package final class ControlServer: Service {
    package typealias Responder = @Sendable (ControlRequest) async -> ControlAnswer
    private typealias ControlChannel = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    private let listener: ControlListener
    private let limits: ControlLimits
    private let logger: Logger
    private let responder: Responder
    private let connections = NIOLockedValueBox(0)

    package init(
        listener: ControlListener, limits: ControlLimits = ControlLimits(), logger: Logger,
        responder: @escaping Responder
    ) {
        self.listener = listener
        self.limits = limits
        self.logger = logger
        self.responder = responder
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
                try await converse(inbound, outbound)
            }
        } catch {
            logger.debug("a control connection ended", metadata: ["error": "\(error)"])
        }
    }

    /// Answers the requests of one connection until it ends; then those that are still worked on are cancelled.
    private func converse(
        _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>, _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var lines = LineBuffer(limit: limits.requestBytes)
            var begun = 0
            do {
                for try await bytes in inbound {
                    lines.append(bytes)
                    while let line = try lines.next() {
                        if begun == limits.requestsPerConnection {
                            try await group.next()
                            begun -= 1
                        }
                        begun += 1
                        group.addTask { try await outbound.write(self.answer(line)) }
                    }
                }
            } catch let error as LineBuffer.LineTooLong {
                let failure = ControlFailure(.badRequest, "a request has at most \(error.limit) bytes")
                try await outbound.write(encode(.failed(failure), id: 0))
            }
            group.cancelAll()
        }
    }

    private func answer(_ line: ByteBuffer) async throws -> ByteBuffer {
        switch ControlCodec.decodeRequest(line) {
        case .success(let request):
            try encode(await responder(request.request), id: request.id)
        case .failure(let rejection):
            try encode(.failed(ControlFailure(.badRequest, rejection.reason)), id: rejection.id)
        }
    }

    private func encode(_ answer: ControlAnswer, id: UInt64) throws -> ByteBuffer {
        try ControlCodec.encode(ControlAnswerLine(version: ControlProtocol.version, id: id, answer: answer))
    }
}
