import NIOCore

// Keep-alive and the time limits of negotiations, all scheduled on the event loop.

extension YamuxHandler {
    func startTimers() {
        lastReceived = eventLoop.now
        ping()
    }

    func stopTimers() {
        keepAliveTask?.cancel()
        keepAliveCheck?.cancel()
        negotiationSweep?.cancel()
        keepAliveTask = nil
        keepAliveCheck = nil
        negotiationSweep = nil
    }

    /// Asks for a sign of life now and again after each interval. The first answer also gives the first round trip.
    private func ping() {
        guard phase == .active else { return }
        let now = eventLoop.now
        if let header = machine.sendPing(now: now) {
            sendControl(header)
            scheduleCheck(in: configuration.keepAliveTimeout)
        }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        keepAliveTask = eventLoop.scheduleTask(in: configuration.keepAliveInterval) { bound.value.ping() }
    }

    private func scheduleCheck(in delay: TimeAmount) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        keepAliveCheck = eventLoop.scheduleTask(in: delay) { bound.value.checkAlive() }
    }

    /// A peer that sends is alive even if its answer is stuck behind other data.
    private func checkAlive() {
        guard phase == .active, let sentAt = machine.pingSentAt else { return }
        let silence = eventLoop.now - max(sentAt, lastReceived)
        guard silence >= configuration.keepAliveTimeout else {
            return scheduleCheck(in: configuration.keepAliveTimeout - silence)
        }
        end(
            error: Libp2pError(
                .timeout,
                "The peer gave no sign of life for \(configuration.keepAliveTimeout.nanoseconds / 1_000_000) ms."),
            goAway: .normal)
    }

    func negotiationBegan() {
        negotiatingCount += 1
        scheduleSweep()
    }

    func negotiationEnded() {
        negotiatingCount -= 1
    }

    /// One timer for all negotiations: it looks at them a few times within the shorter limit.
    private func scheduleSweep() {
        guard negotiationSweep == nil, negotiatingCount > 0, phase == .active else { return }
        let shortest = min(configuration.inboundNegotiationTimeout, configuration.outboundNegotiationTimeout)
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        negotiationSweep = eventLoop.scheduleTask(in: max(.milliseconds(10), .nanoseconds(shortest.nanoseconds / 8))) {
            bound.value.sweepNegotiations()
        }
    }

    private func sweepNegotiations() {
        negotiationSweep = nil
        guard phase == .active else { return }
        let now = eventLoop.now
        let late = streams.values.filter { $0.isNegotiating && $0.deadline <= now }.sorted { $0.id < $1.id }
        for hosted in late {
            resetFruitless(hosted, error: Libp2pError(.timeout, "The peer did not agree on a protocol in time."))
        }
        scheduleSweep()
    }
}
