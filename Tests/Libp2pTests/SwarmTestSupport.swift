import Logging
import Multiformats
import MetricsTestKit
import NIOCore
import NIOPosix
import PeerIdentity
import NIOConcurrencyHelpers
import Testing

@testable import Libp2p

/// Collects what happens, and lets a test wait for it.
final class Recorder<Element: Sendable>: Sendable {
    private struct Waiter {
        let id: Int
        let matches: @Sendable (Element) -> Bool
        let continuation: CheckedContinuation<Element, any Error>
    }

    private struct State {
        var elements: [Element] = []
        var waiters: [Waiter] = []
        var lastID = 0
    }

    private let state = NIOLockedValueBox(State())

    var elements: [Element] { state.withLockedValue { $0.elements } }

    func append(_ element: Element) {
        let woken = state.withLockedValue { state in
            state.elements.append(element)
            let woken = state.waiters.filter { $0.matches(element) }
            state.waiters.removeAll { $0.matches(element) }
            return woken
        }
        for waiter in woken { waiter.continuation.resume(returning: element) }
    }

    /// The first element that matches, of those that are there or come. The condition must not ask the recorder.
    ///
    /// - Throws: `CancellationError`, as when a test's time is up.
    @discardableResult
    func first(where matches: @escaping @Sendable (Element) -> Bool) async throws -> Element {
        let id = state.withLockedValue { state in
            state.lastID += 1
            return state.lastID
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let found = state.withLockedValue { state -> Element? in
                    if let found = state.elements.first(where: matches) { return found }
                    state.waiters.append(Waiter(id: id, matches: matches, continuation: continuation))
                    return nil
                }
                if let found { continuation.resume(returning: found) }
                if Task.isCancelled { giveUp(id) }
            }
        } onCancel: {
            giveUp(id)
        }
    }

    private func giveUp(_ id: Int) {
        let waiter = state.withLockedValue { state -> Waiter? in
            guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
            return state.waiters.remove(at: index)
        }
        waiter?.continuation.resume(throwing: CancellationError())
    }
}

/// Waits for something that no event tells.
func until(_ condition: () -> Bool) async throws {
    while !condition() { try await Task.sleep(for: .milliseconds(1)) }
}

/// A swarm on loopback with what happened to it.
final class TestNode: Sendable {
    let swarm: Swarm
    let metrics = TestMetrics()
    let events = Recorder<SwarmEvent>()

    var peerID: PeerID { swarm.peerID }

    init(identity: KeyPair? = nil, _ configure: (inout SwarmConfiguration) -> Void = { _ in }) throws {
        var configuration = SwarmConfiguration()
        // On a busy machine a handshake takes as long as it takes.
        configuration.handshakeTimeout = .seconds(120)
        configuration.connectTimeout = .seconds(120)
        configuration.dialTimeout = .seconds(120)
        configure(&configuration)
        swarm = Swarm(
            identity: try identity ?? KeyPair.generate(), configuration: configuration,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, metrics: metrics, logger: Logger(label: "test"))
        swarm.observe { [events] in events.append($0) }
        swarm.handle([.echo]) { _, _ in EchoHandler() }
    }

    func listen() async throws -> Multiaddr {
        try #require(try await swarm.listen(on: Multiaddr("/ip4/127.0.0.1/tcp/0")).first)
    }

    func disconnected() async throws -> Libp2pError? {
        let event = try await events.first { if case .disconnected = $0 { true } else { false } }
        if case .disconnected(_, let error) = event { return error }
        return nil
    }

    func identified(where matches: @escaping @Sendable (IdentifyInfo) -> Bool = { _ in true }) async throws
        -> IdentifyInfo
    {
        let event = try await events.first { if case .identified(_, let info) = $0 { matches(info) } else { false } }
        if case .identified(_, let info) = event { return info }
        return IdentifyInfo()
    }

    func connected() async throws -> Connection? {
        let event = try await events.first { if case .connected = $0 { true } else { false } }
        if case .connected(let connection) = event { return connection }
        return nil
    }

    /// What is still held: sockets, connections, dials, listeners and counts.
    var held: [Int] {
        swarm.state.withLockedValue {
            [
                $0.sockets.count, $0.connections.count, $0.dials.count, $0.listeners.count, $0.ledger.total,
                $0.ledger.inbound, $0.ledger.pendingInbound, $0.ledger.bySource.count, $0.ledger.byPeer.count,
            ]
        }
    }
}

let nothingHeld = [Int](repeating: 0, count: 9)

/// Runs a body with two swarms and shuts them down, whatever happens.
func withNodes(
    _ configureFirst: (inout SwarmConfiguration) -> Void = { _ in },
    _ configureSecond: (inout SwarmConfiguration) -> Void = { _ in },
    _ body: (TestNode, TestNode) async throws -> Void
) async throws {
    let first = try TestNode(configureFirst)
    let second = try TestNode(configureSecond)
    let result: Result<Void, any Error>
    do {
        try await body(first, second)
        result = .success(())
    } catch {
        result = .failure(error)
    }
    await first.swarm.shutdown()
    await second.swarm.shutdown()
    #expect(first.held == nothingHeld)
    #expect(second.held == nothingHeld)
    try result.get()
}

func withNode(
    _ configure: (inout SwarmConfiguration) -> Void = { _ in }, _ body: (TestNode) async throws -> Void
) async throws {
    try await withNodes(configure) { first, _ in try await body(first) }
}

/// A TCP server that accepts and says nothing of its own.
final class RawListener: Sendable {
    let channel: any Channel
    let accepted = Recorder<any Channel>()
    let closed = Recorder<Bool>()

    init() async throws {
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { [accepted, closed] channel in
                accepted.append(channel)
                channel.closeFuture.whenComplete { _ in closed.append(true) }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    var address: Multiaddr {
        get throws {
            let address = try #require(channel.localAddress)
            return try #require(Multiaddr(tcp: address))
        }
    }

    func close() async {
        try? await channel.close().get()
        for child in accepted.elements { try? await child.close().get() }
    }
}

/// An address of loopback where nothing listens.
func deadAddress() async throws -> Multiaddr {
    let listener = try await RawListener()
    let address = try listener.address
    await listener.close()
    return address
}

/// A TCP client that says what it is told to.
func rawClient(to address: Multiaddr) async throws -> any Channel {
    let endpoint = try TCPEndpoint(address)
    guard case .address(let socketAddress) = endpoint.host else { throw Libp2pError(.unsupportedAddress, "no IP") }
    return try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(to: socketAddress).get()
}

extension ProtocolID {
    static let echo: ProtocolID = "/test/echo/1.0.0"
}

/// Sends back what comes, and the end after it.
final class EchoHandler: StreamHandler {
    func streamOpened(_ stream: Libp2p.Stream) {}
    func stream(_ stream: Libp2p.Stream, received bytes: ByteBuffer) {
        stream.consume(bytes.readableBytes)
        stream.writeAndFlush(bytes)
    }
    func streamReceivedEnd(_ stream: Libp2p.Stream) { stream.finish() }
    func streamClosed(_ stream: Libp2p.Stream, error: Libp2pError?) {}
}

/// Does what it is told when the stream opens, and tells what came.
final class ScriptHandler: StreamHandler {
    enum Event: Sendable {
        case opened
        case bytes(ByteBuffer)
        case end
        case closed(Libp2pError?)

        var isClosed: Bool { if case .closed = self { true } else { false } }
    }

    private let events: Recorder<Event>
    private let script: (Libp2p.Stream) -> Void

    init(_ events: Recorder<Event>, _ script: @escaping (Libp2p.Stream) -> Void = { _ in }) {
        self.events = events
        self.script = script
    }

    func streamOpened(_ stream: Libp2p.Stream) {
        events.append(.opened)
        script(stream)
    }
    func stream(_ stream: Libp2p.Stream, received bytes: ByteBuffer) {
        stream.consume(bytes.readableBytes)
        events.append(.bytes(bytes))
    }
    func streamReceivedEnd(_ stream: Libp2p.Stream) { events.append(.end) }
    func streamClosed(_ stream: Libp2p.Stream, error: Libp2pError?) { events.append(.closed(error)) }
}

/// Opens a stream for some protocols, runs a script on it, and returns what happened when it is closed.
func run(
    _ protocols: [ProtocolID], on connection: Connection,
    _ script: @escaping @Sendable (Libp2p.Stream) -> Void
) async throws -> [ScriptHandler.Event] {
    let events = Recorder<ScriptHandler.Event>()
    try await connection.openStream(protocols) { _ in ScriptHandler(events, script) }.get()
    try await events.first(where: \.isClosed)
    return events.elements
}

/// Turns "throws a `Libp2pError`" into the error.
func libp2pError(_ body: () async throws -> Void) async -> Libp2pError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? Libp2pError ?? Libp2pError(.internal, "another error: \(error)")
    }
}

/// A seeded generator, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) }
    }
}
