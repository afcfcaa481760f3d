import ArgumentParser
import BitswapNode
import Blockstore
import Libp2p
import Logging
import Multiformats
import NIOPosix
import PeerIdentity

/// The side of a benchmark that serves: a node on a store that was filled, and beside it a bare socket that answers.
///
/// Says `listening`, and answers `usage` with `usage`.
struct BenchServer: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-server", abstract: "One side of bitswap bench.", shouldDisplay: false)

    @Option var store: String
    @Option var connections: Int
    @Option var security: BenchSecurity

    /// Bytes of a bare request, and of its answer: about those of a want for a block of 29 bytes, and of that block.
    static let bareRequestBytes = 96
    static let bareAnswerBytes = 96

    func run() async throws {
        raiseFileLimit()
        var configuration = BitswapNode.Configuration()
        configuration.listen = [try Multiaddr("/ip4/127.0.0.1/tcp/0")]
        security.narrow(&configuration.swarm)
        // All guests come from one address here, and at once.
        configuration.swarm.limits.connections = connections + 64
        configuration.swarm.limits.inboundConnections = connections + 32
        configuration.swarm.limits.inboundConnectionsPerSource = connections + 32
        configuration.swarm.limits.pendingInboundHandshakes = connections + 32
        configuration.swarm.limits.pendingInboundHandshakesPerSource = connections + 32
        let node = BitswapNode(
            identity: try KeyPair.generate(), store: try LMDBBlockstore(path: store), configuration: configuration,
            logger: Self.logger)
        let bare = try BareSocket.listening()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await node.run() }
            defer { group.cancelAll() }
            var listening = BenchLine("listening")
            listening.set("address", try await node.addresses[0])
            listening.set("bare", try bare.port)
            Console.print(listening.description)
            // Nothing but the end of the process ends this.
            group.addTask { try await NIOThreadPool.singleton.runIfActive { try Self.answer(on: bare) } }
            let sampler = PeakSampler()
            group.addTask { await sampler.run() }
            for await text in LineReader(0, onEnd: leave) where text == "usage" {
                var line = BenchLine("usage")
                Usage.now().write(to: &line)
                line.set("privatePeak", sampler.takePeak())
                Console.print(line.description)
            }
        }
    }

    /// Of both sides: what is worse than a peer that went away.
    static var logger: Logger {
        var logger = Logger(label: "bench") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .warning
        return logger
    }

    /// Answers every request on one connection after the other.
    private static func answer(on listener: BareSocket) throws {
        let (request, answer) = (Region(bareRequestBytes), Region(bareAnswerBytes))
        while true {
            let socket = try listener.accepted()
            while try socket.receiveAll(into: request.bytes) { try socket.send(UnsafeRawBufferPointer(answer.bytes)) }
        }
    }
}
