import NIOCore

// Streams of this side: opened at once, or when the peer has acknowledged earlier ones.

extension YamuxHandler {
    /// A stream that somebody wants.
    struct WaitingOpen {
        var protocols: [ProtocolID]
        var handler: (ProtocolID) -> any StreamHandler
        var promise: EventLoopPromise<Void>
    }

    /// Opens a stream for the first of `protocols` that the peer speaks.
    ///
    /// With one protocol the peer's consent is not waited for: the handler is opened at once and may write in the same
    /// flight. The future succeeds when the handler was opened; if it fails no handler was made.
    func openStream(
        _ protocols: [ProtocolID], handler: @escaping (ProtocolID) -> any StreamHandler
    ) -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        let promise = eventLoop.makePromise(of: Void.self)
        let longest = MultistreamSelect.Limits().messageLength - 1
        if protocols.isEmpty || protocols.contains(where: { $0.name.utf8.count > longest }) {
            promise.fail(
                Libp2pError(.protocolNotSupported, "A stream needs protocols to propose, of at most \(longest) bytes."))
        } else if let refusal = open(WaitingOpen(protocols: protocols, handler: handler, promise: promise)) {
            promise.fail(refusal)
        }
        return promise.futureResult
    }

    private func open(_ wish: WaitingOpen) -> Libp2pError? {
        guard phase == .active else {
            return phase == .idle
                ? Libp2pError(.connectionClosed, "The connection is not up yet.")
                : Libp2pError(.connectionClosed, "The connection is closed; no stream can be opened.")
        }
        switch waitingOpens.isEmpty ? machine.open(now: eventLoop.now) : .wait {
        case .opened(let header):
            start(wish, header: header)
            return nil
        case .wait:
            guard waitingOpens.count < configuration.limits.waitingOutboundStreams else {
                hit(.waitingOutboundStreams)
                return Libp2pError(
                    .limitReached,
                    "Too many streams wait for the peer's acknowledgement (\(waitingOpens.count)); try later.")
            }
            waitingOpens.append(wish)
            return nil
        case .refused(let failure):
            return libp2pError(for: failure)
        }
    }

    private func start(_ wish: WaitingOpen, header: YamuxHeader) {
        sendControl(header)
        // It may have been the one control frame too many.
        guard phase == .active else {
            return wish.promise.fail(
                Libp2pError(.connectionClosed, "The connection was closed as the stream was opened."))
        }
        let hosted = YamuxStream(
            id: header.streamID, direction: .outbound, muxer: self,
            negotiation: MultistreamSelect(proposing: wish.protocols),
            deadline: eventLoop.now + configuration.outboundNegotiationTimeout)
        streams[header.streamID] = hosted
        negotiationBegan()
        hosted.propose(wish)
    }

    /// Opens what waited for acknowledgements.
    func openWaiting() {
        while phase == .active, !waitingOpens.isEmpty {
            switch machine.open(now: eventLoop.now) {
            case .opened(let header):
                start(waitingOpens.removeFirst(), header: header)
            case .wait:
                return
            case .refused(let failure):
                waitingOpens.removeFirst().promise.fail(libp2pError(for: failure))
            }
        }
    }

    private func libp2pError(for failure: YamuxFailure) -> Libp2pError {
        if let limit = failure.limit {
            hit(limit)
            return Libp2pError(.limitReached, "No stream can be opened: \(failure).")
        }
        return Libp2pError(.goAway, "No stream can be opened: \(failure).")
    }
}
