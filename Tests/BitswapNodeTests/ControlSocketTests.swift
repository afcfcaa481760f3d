import Foundation
import Logging
import Multiformats
import NIOCore
import NIOConcurrencyHelpers
import Testing

@testable import BitswapNode

/// The control server and its client over real sockets, with answers of the test's own.
@Suite(.timeLimit(.minutes(5))) struct ControlSocketTests {
    private let someCID: CID
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init() throws {
        someCID = try CID("bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq")
    }

    /// Gives `body` an empty repository directory that is gone afterwards.
    private func withRepository(
        _ name: String = "repository", _ body: (Repository) async throws -> Void
    ) async throws {
        let top = NSTemporaryDirectory() + "bitswap-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: top) }
        let path = "\(top)/\(name)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try await body(Repository(path: path))
    }

    /// Runs a server for the time of `body`.
    private func withServer(
        _ repository: Repository, limits: ControlLimits = ControlLimits(),
        answering responder: @escaping ControlServer.Responder, _ body: () async throws -> Void
    ) async throws {
        let server = ControlServer(
            listener: try ControlListener(repository), limits: limits, logger: logger
        ) { try await $0(responder) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            try await body()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    private func isSocket(_ path: String) -> Bool {
        (try? FileManager.default.attributesOfItem(atPath: path))?[.type] as? FileAttributeType == .typeSocket
    }

    @Test func answersFindTheirQuestions() async throws {
        try await withRepository { repository in
            // The first question is answered after the last one.
            let isLastAsked = AsyncStream.makeStream(of: Void.self)
            try await withServer(repository) { request in
                guard case .get(_, let number?) = request else { return .done }
                if number == 0 { for await _ in isLastAsked.stream { break } }
                if number == 31 { isLastAsked.continuation.finish() }
                return .fetched(FetchStatus(size: Int(number), peer: nil, milliseconds: 0))
            } _: {
                try await ControlClient.withConnection(to: repository) { client in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for number in 0..<32 {
                            group.addTask {
                                let answer = try await client.get(someCID, timeout: .milliseconds(number))
                                #expect(answer.size == number)
                            }
                        }
                        try await group.waitForAll()
                    }
                }
            }
        }
    }

    @Test func moreQuestionsThanAreWorkedOnAtOnceAreAnsweredToo() async throws {
        try await withRepository { repository in
            var limits = ControlLimits()
            limits.requestsPerConnection = 3
            let counts = NIOLockedValueBox((now: 0, most: 0))
            try await withServer(repository, limits: limits) { _ in
                counts.withLockedValue { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
                await Task.yield()
                counts.withLockedValue { $0.now -= 1 }
                return .done
            } _: {
                try await ControlClient.withConnection(to: repository) { client in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for _ in 0..<40 { group.addTask { try await client.offer([someCID]) } }
                        try await group.waitForAll()
                    }
                }
            }
            #expect((1...3).contains(counts.withLockedValue(\.most)))
        }
    }

    @Test func offersAreCutToTheSizeOfARequest() async throws {
        try await withRepository { repository in
            var limits = ControlLimits()
            limits.offerBytes = 200
            let offers = NIOLockedValueBox<[Int]>([])
            try await withServer(repository) { request in
                if case .offer(let cids) = request { offers.withLockedValue { $0.append(cids.count) } }
                return .done
            } _: {
                try await ControlClient.withConnection(to: repository, limits: limits) {
                    try await $0.offer(Array(repeating: someCID, count: 7))
                }
            }
            #expect(offers.withLockedValue { $0 } == [3, 3, 1])
        }
    }

    @Test func failuresAndOddAnswersAreThrown() async throws {
        try await withRepository { repository in
            try await withServer(repository) { request in
                if case .peers = request { return .done }
                return .failed(ControlFailure(.cannotConnect, "nobody there"))
            } _: {
                try await ControlClient.withConnection(to: repository) { client in
                    let failure = await #expect(throws: ControlFailure.self) { try await client.status() }
                    #expect(failure?.kind == .cannotConnect)
                    #expect(failure?.message == "nobody there")
                    await #expect(throws: ControlFailure.self) { try await client.peers() }
                }
            }
        }
    }

    @Test func anAnswerMayFillTheLimitAndNoMore() async throws {
        let failure = ControlFailure(.cannotConnect, String(repeating: "x", count: 1_000))
        let line = ControlAnswerLine(version: ControlProtocol.version, id: 1, answer: .failed(failure))
        let bytes = try ControlCodec.encode(line).readableBytes
        try await withRepository { repository in
            try await withServer(repository) { _ in
                .failed(failure)
            } _: {
                for (limit, words) in [(bytes, failure.message), (bytes - 1, "an answer that is too long")] {
                    var limits = ControlLimits()
                    limits.answerBytes = limit
                    try await ControlClient.withConnection(to: repository, limits: limits) { client in
                        let told = await #expect(throws: ControlFailure.self) { try await client.status() }
                        #expect(told?.message.contains(words) == true, "\(told?.message ?? "")")
                    }
                }
            }
        }
    }

    @Test func withoutANodeItSaysHowToStartOne() async throws {
        try await withRepository { repository in
            for path in [repository.path, repository.path + "/missing"] {
                let error = await #expect(throws: NodeError.self) {
                    try await ControlClient.withConnection(to: Repository(path: path)) { try await $0.status() }
                }
                #expect(error?.code == .notRunning)
                #expect(error?.message.contains("bitswap serve --repo \(path)") == true)
            }
        }
    }

    @Test func onlyOneServesAndASocketLeftBehindIsNoObstacle() async throws {
        try await withRepository { repository in
            // As kill -9 leaves it: a socket that nobody listens on.
            let dead = try ControlSocket.listening(at: repository.controlPath)
            systemClose(dead)
            #expect(isSocket(repository.controlPath))
            #expect(try ControlSocket.connected(to: repository.controlPath) == nil)

            let listener = try ControlListener(repository)
            let error = #expect(throws: NodeError.self) { try ControlListener(repository) }
            #expect(error?.code == .alreadyRunning)
            #expect(error?.message.contains(repository.path) == true)
            let mode = try FileManager.default.attributesOfItem(atPath: repository.controlPath)[.posixPermissions]
            #expect(mode as? Int == 0o600)
            listener.close()
            #expect(!isSocket(repository.controlPath))
            let next = try ControlListener(repository)
            #expect(isSocket(repository.controlPath))
            // The first one, closed again, does not take the socket of the next one away.
            listener.close()
            #expect(isSocket(repository.controlPath))
            next.close()
        }
    }

    @Test func theSocketIsGoneWhenTheServerEnds() async throws {
        try await withRepository { repository in
            try await withServer(repository) { _ in
                .done
            } _: {
                #expect(isSocket(repository.controlPath))
            }
            #expect(!isSocket(repository.controlPath))
        }
    }

    @Test func longPathsWorkWhereTheSystemAllows() async throws {
        try await withRepository(String(repeating: "long/", count: 40) + "path") { repository in
            #if os(Linux)
                try await withServer(repository) { _ in
                    .done
                } _: {
                    try await ControlClient.withConnection(to: repository) { try await $0.offer([someCID]) }
                    #expect(isSocket(repository.controlPath))
                }
            #else
                let error = #expect(throws: NodeError.self) { try ControlListener(repository) }
                #expect(error?.message.contains("--repo") == true)
            #endif
        }
    }

    @Test func aRequestThatIsTooLongEndsTheConnection() async throws {
        try await withRepository { repository in
            var limits = ControlLimits()
            limits.requestBytes = 100
            try await withServer(repository, limits: limits) { _ in
                .done
            } _: {
                try await ControlClient.withConnection(to: repository) { client in
                    let failure = await #expect(throws: ControlFailure.self) {
                        try await client.offer([someCID, someCID])
                    }
                    #expect(failure?.kind == .badRequest)
                    #expect(failure?.message.contains("100 bytes") == true)
                }
                try await ControlClient.withConnection(to: repository) { client in
                    _ = await #expect(throws: ControlFailure.self) { try await client.status() }
                }
            }
        }
    }

    @Test func moreConnectionsThanAllowedAreTold() async throws {
        try await withRepository { repository in
            var limits = ControlLimits()
            limits.connections = 1
            try await withServer(repository, limits: limits) { _ in
                .done
            } _: {
                try await ControlClient.withConnection(to: repository) { client in
                    try await client.offer([someCID])
                    try await ControlClient.withConnection(to: repository) { second in
                        let failure = await #expect(throws: ControlFailure.self) { try await second.offer([someCID]) }
                        #expect(failure?.kind == .tooBusy)
                    }
                    try await client.offer([someCID])
                }
            }
        }
    }

    @Test func aRequestEndsWithItsConnection() async throws {
        try await withRepository { repository in
            let begun = AsyncStream.makeStream(of: Void.self)
            let ended = AsyncStream.makeStream(of: Void.self)
            try await withServer(repository) { _ in
                begun.continuation.finish()
                // Until the server cancels it.
                for await _ in AsyncStream<Void>.makeStream().stream {}
                ended.continuation.finish()
                return .done
            } _: {
                await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await ControlClient.withConnection(to: repository) { _ = try await $0.status() }
                    }
                    for await _ in begun.stream {}
                    group.cancelAll()
                    let result = await group.nextResult()
                    #expect(throws: CancellationError.self) { try result?.get() }
                }
                for await _ in ended.stream {}
            }
        }
    }

    /// A request that is answered when the server cancels it, with what the test asks of it.
    private func untilCancelled(_ ended: AsyncStream<Void>.Continuation) async -> ControlAnswer {
        for await _ in AsyncStream<Void>.makeStream().stream {}
        ended.yield()
        return .failed(.cancelled)
    }

    @Test func aCancelledRequestIsGivenUpAtOnceAndTheConnectionGoesOn() async throws {
        try await withRepository { repository in
            let begun = AsyncStream.makeStream(of: Void.self)
            let ended = AsyncStream.makeStream(of: Void.self)
            try await withServer(repository) { request in
                guard case .get = request else { return .done }
                begun.continuation.yield()
                return await untilCancelled(ended.continuation)
            } _: {
                try await ControlClient.withConnection(to: repository) { client in
                    await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask { _ = try await client.get(someCID, timeout: nil) }
                        for await _ in begun.stream { break }
                        group.cancelAll()
                        let result = await group.nextResult()
                        #expect(throws: CancellationError.self) { try result?.get() }
                    }
                    for await _ in ended.stream { break }
                    try await client.offer([someCID])
                }
            }
        }
    }

    @Test func aTaskThatWasCancelledBeforeItAskedLeavesNothingAtTheNode() async throws {
        try await withRepository { repository in
            let ended = AsyncStream.makeStream(of: Void.self)
            let open = NIOLockedValueBox(0)
            try await withServer(repository) { request in
                guard case .get = request else { return .done }
                open.withLockedValue { $0 += 1 }
                defer { open.withLockedValue { $0 -= 1 } }
                return await untilCancelled(ended.continuation)
            } _: {
                try await ControlClient.withConnection(to: repository) { client in
                    await withThrowingTaskGroup(of: Void.self) { group in
                        group.cancelAll()
                        for _ in 0..<20 { group.addTask { _ = try await client.get(someCID, timeout: nil) } }
                        while let result = await group.nextResult() {
                            #expect(throws: CancellationError.self) { try result.get() }
                        }
                    }
                    // Behind all of them and their cancels.
                    try await client.offer([someCID])
                    while open.withLockedValue({ $0 }) > 0 { await Task.yield() }
                }
            }
        }
    }

    @Test func aCancelReachesRequestsThatWaitForTheirTurn() async throws {
        try await withRepository { repository in
            var limits = ControlLimits()
            limits.requestsPerConnection = 2
            let begun = AsyncStream.makeStream(of: Int64.self)
            let ended = AsyncStream.makeStream(of: Void.self)
            try await withServer(repository, limits: limits) { request in
                guard case .get(_, let number?) = request else { return .done }
                begun.continuation.yield(number)
                return await untilCancelled(ended.continuation)
            } _: {
                try await ControlClient.withConnection(to: repository) { client in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        var begun = begun.stream.makeAsyncIterator()
                        let running = Task { _ = try await client.get(someCID, timeout: .milliseconds(1)) }
                        #expect(await begun.next() == 1)
                        let second = Task { _ = try await client.get(someCID, timeout: .milliseconds(2)) }
                        #expect(await begun.next() == 2)
                        // Two are worked on; these wait.
                        let waiting = Task { _ = try await client.get(someCID, timeout: .milliseconds(3)) }
                        waiting.cancel()
                        _ = await waiting.result
                        group.addTask { try await client.offer([someCID]) }
                        running.cancel()
                        // Its place is taken by the one behind the one that was cancelled.
                        try await group.waitForAll()
                        second.cancel()
                        for task in [running, second, waiting] {
                            let result = await task.result
                            #expect(throws: CancellationError.self) { try result.get() }
                        }
                    }
                    begun.continuation.finish()
                    #expect(await begun.stream.contains { $0 == 3 } == false)
                }
            }
        }
    }

    @Test func aCancelOfNothingIsAnswered() async throws {
        let conversation = ControlConversation(limit: 1) { _ in .done }
        let line = ControlRequestLine(version: 1, id: 9, request: .cancel(id: 4))
        guard case .answer(.done, ended: nil) = conversation.receive(line) else {
            Issue.record("not answered")
            return
        }
    }

    @Test func aNodeThatStopsLeavesNobodyWaiting() async throws {
        try await withRepository { repository in
            let begun = AsyncStream.makeStream(of: Void.self)
            try await withThrowingTaskGroup(of: Void.self) { clients in
                try await withServer(repository) { _ in
                    begun.continuation.finish()
                    for await _ in AsyncStream<Void>.makeStream().stream {}
                    return .done
                } _: {
                    clients.addTask {
                        try await ControlClient.withConnection(to: repository) { client in
                            let error = await #expect(throws: NodeError.self) { try await client.status() }
                            #expect(error?.code == .stopped)
                            await #expect(throws: NodeError.self) { try await client.status() }
                        }
                    }
                    for await _ in begun.stream {}
                }
                try await clients.waitForAll()
            }
        }
    }
}
