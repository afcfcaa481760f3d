import NIOCore
public import PeerIdentity

/// The ping of a connection that is under way. The specification allows one stream at a time.
struct PingState {
    var underWay: EventLoopFuture<TimeAmount>?
}

extension Swarm {
    func registerPing() {
        handle([.ping]) { _, _ in PingResponder() }
    }

    /// Sends 32 bytes to a connected peer and back, over its oldest connection. Goes on when the calling task is
    /// cancelled.
    ///
    /// - Returns: the round trip, from the write of the bytes to their return.
    /// - Throws: ``Libp2pError``: ``Libp2pError/Code/notConnected``, ``Libp2pError/Code/timeout`` after
    ///   ``SwarmConfiguration/pingTimeout``, and what a stream can end with.
    public func ping(_ peer: PeerID) async throws -> Duration {
        guard let connection = connections(to: peer).first else {
            throw Libp2pError(.notConnected, "There is no connection with \(peer): connect to it first.")
        }
        return Duration(try await connection.ping().get())
    }
}

extension Connection {
    /// Sends 32 bytes to the peer and back. Callers at the same time share one ping.
    ///
    /// - Returns: the round trip, from the write of the bytes to their return. Fails with ``Libp2pError``.
    func ping() -> EventLoopFuture<TimeAmount> {
        guard eventLoop.inEventLoop else { return eventLoop.flatSubmit { self.ping() } }
        if let underWay = pingState.value.underWay { return underWay }
        let limit = swarm.configuration.pingTimeout
        let promise = eventLoop.makePromise(of: TimeAmount.self)
        // Covers a peer that does not even answer the negotiation; the handler has its own limit after that.
        let timeout = eventLoop.scheduleTask(in: TimeAmount(limit)) { [peer] in
            promise.fail(Libp2pError(.timeout, "\(peer) did not answer a ping within \(limit)."))
        }
        openStream([.ping]) { _ in PingRequest(limit: limit, promise: promise) }
            .whenFailure { promise.fail($0) }
        pingState.value.underWay = promise.futureResult
        promise.futureResult.whenComplete { [self] _ in
            timeout.cancel()
            pingState.value.underWay = nil
        }
        return promise.futureResult
    }
}
