public import Multiformats
import NIOCore
public import PeerIdentity
import NIOConcurrencyHelpers

extension Swarm {
    /// Connects to an address: `/ip4`, `/ip6`, `/dns`, `/dns4` or `/dns6` with `/tcp`; a link-local address behind
    /// `/ip6zone/ZONE`.
    ///
    /// With `/p2p/ID` at its end, the peer must prove to be that one, an existing connection with it is returned, and
    /// callers share one dial. Without, a new connection is made and whoever answers is taken.
    ///
    /// - Throws: ``Libp2pError``, which names the address and the reason; `CancellationError` when the task is
    ///   cancelled, which ends the dial unless somebody else waits for it.
    public func connect(to address: Multiaddr) async throws -> Connection {
        let endpoint = try TCPEndpoint(address)
        if let peer = endpoint.peer {
            return try await connect(to: peer, addresses: [address])
        }
        return try await dial(.anybody(state.withLockedValue { $0.nextID() }), nil, [address])
    }

    /// Connects to a peer at any of its addresses, tried one after the other with a small delay until one works.
    ///
    /// An existing connection is returned as it is. There is one dial at a time for a peer: further callers join it
    /// with their addresses.
    ///
    /// - Throws: ``Libp2pError``, which names each address and the reason; `CancellationError` when the task is
    ///   cancelled, which ends the dial unless somebody else waits for it.
    public func connect(to peer: PeerID, addresses: [Multiaddr]) async throws -> Connection {
        guard peer != peerID else {
            throw Libp2pError(.selfDial, "\(peer) is this node itself: dial another node's address.")
        }
        return try await dial(.peer(peer), peer, addresses)
    }

    private func dial(
        _ key: SwarmState.DialKey, _ peer: PeerID?, _ addresses: [Multiaddr]
    ) async throws -> Connection {
        try Task.checkCancellation()
        let waiter = state.withLockedValue { $0.nextID() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                join(key, peer, addresses, waiter, continuation)
                // A cancellation that came before the waiter was known found nobody to wake.
                if Task.isCancelled { leave(key, waiter) }
            }
        } onCancel: {
            leave(key, waiter)
        }
    }

    private enum Joined {
        case done(Result<Connection, any Error>)
        case started(Dial)
        case added(Dial)
    }

    private func join(
        _ key: SwarmState.DialKey, _ peer: PeerID?, _ addresses: [Multiaddr], _ waiter: UInt64,
        _ continuation: CheckedContinuation<Connection, any Error>
    ) {
        let joined = state.withLockedValue { state -> Joined in
            guard !state.isShutDown else { return .done(.failure(Libp2pError(refused: .shuttingDown))) }
            if let peer, let existing = state.connections[peer]?.first { return .done(.success(existing)) }
            if let dial = state.dials[key]?.dial {
                state.dials[key]?.waiters[waiter] = continuation
                return .added(dial)
            }
            guard state.dials.count < configuration.limits.dials else {
                return .done(
                    .failure(Libp2pError(.limitReached, "This node is dialling as many peers as it is allowed to.")))
            }
            let dial = Dial(
                peer: peer, addresses: addresses, swarm: self, eventLoop: eventLoopGroup.next(),
                onEnd: { self.end(key, $0, $1) })
            state.dials[key] = SwarmState.DialEntry(dial: dial, waiters: [waiter: continuation])
            return .started(dial)
        }
        switch joined {
        case .done(let result):
            if case .failure = result { account.dialRefused() }
            continuation.resume(with: result)
        case .started(let dial):
            dial.start()
        case .added(let dial):
            dial.add(addresses)
        }
    }

    /// A caller no longer waits; the last one takes the dial along.
    private func leave(_ key: SwarmState.DialKey, _ waiter: UInt64) {
        let (continuation, dial) = state.withLockedValue { state in
            let continuation = state.dials[key]?.waiters.removeValue(forKey: waiter)
            guard continuation != nil, state.dials[key]?.waiters.isEmpty == true else {
                return (continuation, nil as Dial?)
            }
            return (continuation, state.dials.removeValue(forKey: key)?.dial)
        }
        dial?.stop(Libp2pError(.dialFailed, "Nobody waits for the connection any more."))
        continuation?.resume(throwing: CancellationError())
    }

    /// The dial is over: everybody who waits is told.
    ///
    /// - Parameter ended: the dial that says so; one that was given up has no say over its successor. `nil` ends
    ///   whichever there is.
    func end(_ key: SwarmState.DialKey, _ ended: Dial?, _ result: Result<Connection, Libp2pError>) {
        let entry = state.withLockedValue { state -> SwarmState.DialEntry? in
            guard let entry = state.dials[key], ended == nil || entry.dial === ended else { return nil }
            return state.dials.removeValue(forKey: key)
        }
        guard let entry else { return }
        switch result {
        case .success(let connection):
            for waiter in entry.waiters.values { waiter.resume(returning: connection) }
        case .failure(let error):
            if ended == nil {
                entry.dial.stop(error)
            } else {
                account.dialFailed()
            }
            for waiter in entry.waiters.values { waiter.resume(throwing: error) }
        }
    }

    /// Puts the first handlers into a socket that is about to connect.
    func setUpOutbound(
        _ channel: any Channel, to address: SocketAddress, expecting peer: PeerID?, ready: EventLoopPromise<Connection>
    ) throws {
        let ticket = try admit(channel) { ledger throws(ConnectionLedger.Refusal) in try ledger.admitOutbound() }
        try setUp(channel, ticket, .outbound, address, expecting: peer, ready: ready)
    }
}
