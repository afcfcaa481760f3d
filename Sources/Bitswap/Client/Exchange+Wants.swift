public import Blockstore
import Libp2p
import Logging
public import Multiformats
import NIOCore
public import PeerIdentity
import NIOConcurrencyHelpers

/// The way from a caller to the client and back.
extension Exchange {
    /// Gets a block: from the own store if it is there, else from peers.
    ///
    /// A fetched block is verified against `cid` and stored before it is returned. Callers that want the same block at the
    /// same time share one request. For blocks that belong together use ``withSession(providers:isolation:_:)``.
    ///
    /// - Parameters:
    ///   - providers: who may be asked.
    ///   - timeout: how long to wait for it; nil waits for ever. Kept only while ``run()`` runs: before, the want waits
    ///     for that.
    /// - Throws: `timedOut`, with what each peer answered; `notFound`, when none of the only providers has it, or when it
    ///   is not in the own store and nothing is fetched (``Configuration/fetchesBlocks``); `cancelled` when the calling
    ///   task is: the want is then taken back at every peer; `storeFailed`; `stopped`; `unsupportedCID`.
    public func want(
        _ cid: CID, providers: Providers = .any, timeout: Duration? = nil
    ) async throws(ExchangeError) -> FetchedBlock {
        try await want(cid) { client, now in
            client.register(cid, providers: providers, deadline: timeout.map { now + $0 }, now: now)
        }
    }

    func want(
        _ cid: CID, in session: SessionState.ID, timeout: Duration?
    ) async throws(ExchangeError) -> FetchedBlock {
        try await want(cid) { client, now in
            client.register(cid, in: session, deadline: timeout.map { now + $0 }, now: now)
        }
    }

    private func want(
        _ cid: CID, register: (inout Client, Duration) -> Client.WaiterID?
    ) async throws(ExchangeError) -> FetchedBlock {
        let start = time.now()
        if let inline = try Self.inlineBlock(cid) {
            return FetchedBlock(block: inline, source: .local, elapsed: time.now() - start)
        }
        let (waiter, effects) = client.withLockedValue { client in (register(&client, start), client.flush(start)) }
        perform(effects)
        guard let waiter else { throw ExchangeError(.cancelled, "the session of the request for \(cid) has ended") }
        account.wantOpened()
        let result = await withTaskCancellationHandler {
            await open(waiter, cid)
            return await callers.outcome(of: waiter)
        } onCancel: {
            perform(
                client.withLockedValue {
                    $0.abandon(waiter, .cancelled, "the request for \(cid) was cancelled", now: time.now())
                })
        }
        return FetchedBlock(try result.get(), cid: cid, elapsed: time.now() - start)
    }

    /// The block of a CID that holds it whole; nil for one that has to be fetched.
    static func inlineBlock(_ cid: CID) throws(ExchangeError) -> Block? {
        if cid.multihash.code == .identity {
            return Block(unchecked: cid.multihash.withUnsafeDigestBytes { ByteBuffer(bytes: $0) }, cid: cid)
        }
        guard cid.multihash.code.isSupported else {
            throw ExchangeError(
                .unsupportedCID,
                "\(cid) is made with the hash function \(cid.multihash.code), which cannot be verified here")
        }
        return nil
    }

    /// Looks into the own store, with the waiter registered already, so that no `put` in between is missed; then asks peers.
    private func open(_ waiter: Client.WaiterID, _ cid: CID) async {
        do {
            if let bytes = try await read(cid.multihash) {
                let block = Block(unchecked: bytes, cid: cid)
                perform(client.withLockedValue { $0.stored([block], from: nil, now: time.now()).effects })
            } else {
                miss([waiter])
            }
        } catch {
            perform(
                client.withLockedValue {
                    $0.abandon(
                        waiter, .storeFailed, "the store could not be read", underlying: error, now: time.now())
                })
        }
    }

    /// A copy of a block of the own store; on this thread, if that can be, since most that is looked for is not there.
    private func read(_ key: Multihash) async throws -> ByteBuffer? {
        guard let immediateStore else { return try await store.get(key) }
        return try immediateStore.readNow(key) { $0.map(ByteBuffer.init(bytes:)) }
    }

    /// The own store does not have what these wait for: peers are asked, or that is the end.
    func miss(_ waiters: [Client.WaiterID]) {
        let now = time.now()
        perform(
            client.withLockedValue {
                configuration.fetchesBlocks ? $0.open(waiters, now: now) : $0.end(waiters, now: now)
            })
    }

    /// Does what a change of the client asks for. Never called with a lock held.
    func perform(_ effects: Client.Effects) {
        account.wantsEnded(effects.finished.count)
        if effects.keepsWantsBack { account.hit(.outstandingWantsPerPeer) }
        for (waiter, result) in effects.finished { callers.finish(waiter, result) }
        for (session, event) in effects.events { observers.withLockedValue { $0[session] }?.yield(event) }
        for session in effects.endedSessions { searches.end(session) }
        for provider in effects.dials { start(.dial(provider)) }
        if router != nil { for search in effects.searches { start(.search(search)) } }
        if let alarm = effects.alarm { start(.wait(until: alarm)) }
        guard !effects.wake.isEmpty else { return }
        let woken = peers.withLockedValue { peers in effects.wake.compactMap { peers[$0] } }
        for peer in woken { askSoon(peer) }
    }

    /// Lets the client do what is due at a time, unless the exchange is stopped before.
    func tick(at due: Duration) async {
        let now = time.now()
        if due > now { do { try await time.sleep(due - now) } catch { return } }
        // A clock that wakes a nanosecond early must not leave undone what was due: nobody would come back for it.
        perform(client.withLockedValue { $0.tick(now: max(time.now(), due)) })
    }

    // MARK: Peers to be found

    func dial(_ provider: Provider) async {
        var isConnected = false
        do {
            try await network.connect(to: provider)
            isConnected = true
        } catch {
            logger.debug(
                "could not connect to a provider", metadata: ["peer": "\(provider.peer)", "error": "\(error)"])
        }
        perform(
            client.withLockedValue {
                $0.dialEnded(provider.peer, isConnected: isConnected, now: time.now())
            })
        // It was connected all the time, though there was no way to ask it: that is tried again.
        if isConnected, !client.withLockedValue({ $0.isConnected(provider.peer) }),
            let known = peers.withLockedValue({ $0[provider.peer] })
        {
            revive(known)
        }
    }

    /// Asks the router, until it has told all or the session wants nothing any more.
    func search(_ search: Client.Search) async {
        guard let router, let end = searches.begin(search.session) else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                do {
                    for try await provider in router.providers(of: search.cid) {
                        perform(
                            client.withLockedValue { $0.found(provider, for: search.session, now: time.now()) })
                    }
                } catch {
                    logger.debug("the content router failed", metadata: ["error": "\(error)"])
                }
                end.raise()
            }
            for await _ in end.raised { break }
            group.cancelAll()
        }
        searches.ended(search.session)
    }
}

/// The callers that wait for blocks, and results that came before their callers waited.
final class Callers: Sendable {
    typealias Outcome = Result<Client.Delivery, ExchangeError>

    private enum Caller {
        case waiting(@Sendable (Outcome) -> Void)
        case finished(Outcome)
    }

    private let callers = NIOLockedValueBox<[Client.WaiterID: Caller]>([:])

    func outcome(of waiter: Client.WaiterID) async -> Outcome {
        await withCheckedContinuation { continuation in
            whenFinished(waiter) { continuation.resume(returning: $0) }
        }
    }

    /// Calls `body` once, from any thread, with how the waiter has ended or will end.
    func whenFinished(_ waiter: Client.WaiterID, _ body: @escaping @Sendable (Outcome) -> Void) {
        let outcome: Outcome? = callers.withLockedValue {
            guard case .finished(let outcome) = $0.updateValue(.waiting(body), forKey: waiter) else { return nil }
            $0[waiter] = nil
            return outcome
        }
        if let outcome { body(outcome) }
    }

    func finish(_ waiter: Client.WaiterID, _ outcome: Outcome) {
        let caller: Caller? = callers.withLockedValue {
            if let caller = $0.removeValue(forKey: waiter) { return caller }
            $0[waiter] = .finished(outcome)
            return nil
        }
        if case .waiting(let body) = caller { body(outcome) }
    }

    /// Nobody is to hear of the waiters; the client has forgotten them.
    func forget(_ waiters: some Sequence<Client.WaiterID>) {
        callers.withLockedValue { for waiter in waiters { $0[waiter] = nil } }
    }
}

/// The questions to the router that are under way: one a session, and not too many.
final class Searches: Sendable {
    private let ends = NIOLockedValueBox<[SessionState.ID: Signal]>([:])
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Nil when the session has one under way, or others have too many; a later round of the session's tries again.
    func begin(_ session: SessionState.ID) -> Signal? {
        ends.withLockedValue { ends in
            guard ends[session] == nil, ends.count < limit else { return nil }
            let end = Signal()
            ends[session] = end
            return end
        }
    }

    func end(_ session: SessionState.ID) { ends.withLockedValue { $0[session] }?.raise() }

    func ended(_ session: SessionState.ID) { ends.withLockedValue { $0[session] = nil } }
}

/// A block that a want ended in, with where it came from.
public struct FetchedBlock: Sendable {
    /// Where the block came from.
    public enum Source: Sendable, Hashable {
        /// The own store, or the CID itself.
        case local
        /// This peer.
        case network(PeerID)
    }
    /// The block, verified, under the CID that was asked for.
    public let block: Block
    /// The own store, or the peer that gave it.
    public let source: Source
    /// From the call to the block being stored.
    public let elapsed: Duration
}

extension FetchedBlock {
    init(_ delivery: Client.Delivery, cid: CID, elapsed: Duration) {
        self.init(
            block: Block(unchecked: delivery.block.bytes, cid: cid),
            source: delivery.peer.map { .network($0) } ?? .local, elapsed: elapsed)
    }
}
