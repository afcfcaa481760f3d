import Bitswap
import BitswapNode
import Blockstore
import Libp2p
import Multiformats
import NIOCore
import PeerIdentity
import TestSupport
import Testing

/// Nodes of private networks on loopback.
@Suite(.timeLimit(.minutes(5))) struct ProtocolPrefixTests {
    private func node(_ prefix: String?) throws -> BitswapNode {
        var configuration = BitswapNode.Configuration()
        configuration.listen = [try Multiaddr("/ip4/127.0.0.1/tcp/0")]
        configuration.protocolPrefix = try prefix.map { try ProtocolPrefix($0) }
        return BitswapNode(
            identity: try KeyPair.generate(), store: MemoryBlockstore(), configuration: configuration)
    }

    private func running(_ nodes: BitswapNode..., body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in nodes { group.addTask { try await node.run() } }
            try await body()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    @Test func nodesWithTheSamePrefixExchangeBlocks() async throws {
        let (server, client) = (try node("/chain"), try node("/chain"))
        try await running(server, client) {
            let cid = try await server.blocks.put("a block of the chain")
            _ = try await client.swarm.connect(to: try #require(try await server.addresses.first))
            #expect(try await client.blocks.fetch(cid).source == .network(server.id))
        }
    }

    @Test(arguments: [("/chain", nil), (nil, "/chain"), ("/chain", "/chain2")] as [(String?, String?)])
    func nodesWithOthersDoNot(_ serving: String?, _ fetching: String?) async throws {
        let (server, client) = (try node(serving), try node(fetching))
        try await running(server, client) {
            let cid = try await server.blocks.put("a block of the chain")
            _ = try await client.swarm.connect(to: try #require(try await server.addresses.first))
            let error = await #expect(throws: ExchangeError.self) {
                try await client.blocks.get(cid, providers: .only([server.id]), timeout: .seconds(1))
            }
            #expect(error?.code == .timedOut || error?.code == .notFound)
            #expect(server.exchange.statistics.messagesReceived == 0)
            #expect(client.exchange.statistics.messagesReceived == 0)
        }
    }

    /// In the private network, the peer speaks no other version than this.
    @Test(arguments: BitswapVersion.allCases)
    func everyVersionHasThePrefix(_ version: BitswapVersion) async throws {
        let (server, peer, prefix) = (try node("/chain"), try node(nil), try ProtocolPrefix("/chain"))
        try await running(server, peer) {
            let cid = try await server.blocks.put("a block of the chain")
            let (received, continuation) = AsyncStream.makeStream(of: ByteBuffer.self)
            let protocolID = version.protocolID(prefix: prefix)
            peer.swarm.handle([protocolID]) { _, _ in Reader(continuation) }
            let connection = try await peer.swarm.connect(to: try #require(try await server.addresses.first))
            let refusal = await #expect(throws: Libp2pError.self) {
                try await connection.openStream(BitswapVersion.allCases.map(\.protocolID)) { _ in Writer(ByteBuffer()) }
                    .get()
            }
            #expect(refusal?.code == .protocolNotSupported)
            let request = WireMessage(wants: [cid]).frame
            try await connection.openStream([protocolID]) { _ in Writer(request) }.get()
            var bytes = ByteBuffer()
            for await piece in received {
                bytes.writeImmutableBuffer(piece)
                if let message = WireMessage(frame: bytes), !message.blocks.isEmpty { break }
            }
            let block = try #require(WireMessage(frame: bytes)?.blocks.first)
            #expect(String(buffer: block.data) == "a block of the chain")
            #expect((block.prefix == nil) == (version < .v1_1_0))
        }
    }
}

/// Passes on what comes on a stream.
private final class Reader: StreamHandler {
    private let received: AsyncStream<ByteBuffer>.Continuation

    init(_ received: AsyncStream<ByteBuffer>.Continuation) { self.received = received }

    func streamOpened(_ stream: Libp2p.Stream) {}
    func stream(_ stream: Libp2p.Stream, received bytes: ByteBuffer) {
        stream.consume(bytes.readableBytes)
        received.yield(bytes)
    }
    func streamReceivedEnd(_ stream: Libp2p.Stream) {}
    func streamClosed(_ stream: Libp2p.Stream, error: Libp2pError?) { received.finish() }
}

/// Writes one message.
private final class Writer: StreamHandler {
    private let message: ByteBuffer

    init(_ message: ByteBuffer) { self.message = message }

    func streamOpened(_ stream: Libp2p.Stream) { stream.writeAndFlush(message) }
    func stream(_ stream: Libp2p.Stream, received bytes: ByteBuffer) {}
    func streamReceivedEnd(_ stream: Libp2p.Stream) {}
    func streamClosed(_ stream: Libp2p.Stream, error: Libp2pError?) {}
}
