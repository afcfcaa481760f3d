import NIOCore

// What a frame of the peer means.

extension YamuxStateMachine {
    /// Takes in the header of a frame. After a data header with a value above zero, payload follows: if the answer was
    /// ``Action/stream(_:_:)`` without a reset it belongs to that stream for as long as the stream is there, otherwise it
    /// is dropped. ``payloadEnded()`` is due after its last byte.
    mutating func receive(_ header: YamuxHeader, now: NIODeadline) -> Action {
        switch header.kind {
        case .ping:
            return receivePing(header, now: now)
        case .goAway:
            if goAwayReceived, let failure = glitch(now: now) { return .fail(failure) }
            receivedGoAway()
            return .goAway(YamuxGoAway(rawValue: header.value))
        case .data, .windowUpdate:
            return receiveStreamFrame(header, now: now)
        }
    }

    private mutating func receivePing(_ header: YamuxHeader, now: NIODeadline) -> Action {
        if header.flags.contains(.syn) {
            if let failure = glitch(now: now) { return .fail(failure) }
            return .reply(YamuxHeader(.ping, .ack, value: header.value), limit: nil)
        }
        guard let sample = answered(header.value, now: now) else { return charged(now: now) }
        return .measured(sample)
    }

    private mutating func receiveStreamFrame(_ header: YamuxHeader, now: NIODeadline) -> Action {
        let streamID = header.streamID
        if header.kind == .data {
            expectPayload(of: nil, byteCount: 0, fin: false)
        }
        guard streamID != 0 else {
            return .fail(YamuxFailure(.protocolError, "a stream frame for stream 0, which is the connection itself"))
        }
        var changes: Changes = []
        if header.flags.contains(.syn) {
            if let refusal = refuseOpening(header, now: now) { return refusal }
            changes.insert(.opened)
        }
        guard let index = streams.index(forKey: streamID) else { return receiveForMissing(header, now: now) }
        var state = streams.values[index]

        if header.flags.contains(.rst) {
            forget(streamID)
            // Opening and resetting in turn costs the peer nothing and us a stream each time.
            if !isOurs(streamID), let failure = glitch(now: now) { return .fail(failure) }
            return .stream(streamID, [.reset])
        }
        if header.flags.contains(.ack) {
            if isOurs(streamID), state.unacknowledged {
                state.unacknowledged = false
                acknowledged()
                changes.insert(.acknowledged)
            } else if let failure = glitch(now: now) {
                return .fail(failure)
            }
        }

        let length = Int(header.value)
        if header.kind == .windowUpdate {
            if let failure = open(window: &state, of: header, now: now) { return .fail(failure) }
            if length > 0 { changes.insert(.windowOpened) }
            streams.values[index] = state
        } else if length > 0 {
            if let action = take(length, of: header, state: &state) { return action }
            streams.values[index] = state
            // FIN counts once the payload is delivered.
            expectPayload(of: streamID, byteCount: length, fin: header.flags.contains(.fin))
            return .stream(streamID, changes)
        } else {
            streams.values[index] = state
            if header.flags.isDisjoint(with: [.syn, .ack, .fin]), let failure = glitch(now: now) {
                return .fail(failure)
            }
        }

        if header.flags.contains(.fin) {
            if state.finReceived {
                if let failure = glitch(now: now) { return .fail(failure) }
            } else {
                changes.formUnion(end(streamID))
            }
        }
        return changes.isEmpty ? .none : .stream(streamID, changes)
    }

    /// A SYN: opens the stream and returns nil, or says what to do instead.
    private mutating func refuseOpening(_ header: YamuxHeader, now: NIODeadline) -> Action? {
        let streamID = header.streamID
        guard !isOurs(streamID) else {
            return .fail(YamuxFailure(.protocolError, "the peer opened stream \(streamID), a number of this side"))
        }
        guard streams[streamID] == nil else {
            return .fail(YamuxFailure(.protocolError, "the peer opened stream \(streamID) a second time"))
        }
        if header.flags.contains(.rst) {
            return charged(now: now)
        }
        let limit: YamuxLimit?
        if inboundCount >= limits.inboundStreams {
            limit = .inboundStreams
        } else if pendingInboundCount >= limits.pendingInboundStreams {
            limit = .pendingInboundStreams
        } else if goAwaySent {
            limit = nil
        } else {
            add(inbound: streamID, now: now)
            return nil
        }
        if let failure = glitch(now: now) { return .fail(failure) }
        // What the peer sends before it learns of the refusal is its right.
        let used = header.kind == .data ? Int(header.value) : 0
        remember(streamID, ClosedStream(credit: max(0, YamuxHeader.initialWindow - used), frames: 8))
        return .reply(YamuxHeader(.windowUpdate, .rst, streamID: streamID), limit: limit)
    }

    /// A frame for a stream that is gone, or never was: dropped. Frames that were under way when the stream ended are
    /// free, others count as glitches.
    private mutating func receiveForMissing(_ header: YamuxHeader, now: NIODeadline) -> Action {
        let isCovered = useClosed(header.streamID) { closed in
            if header.kind == .data, header.value > 0 {
                closed.credit -= Int(header.value)
                return closed.credit >= 0
            }
            closed.frames -= 1
            return closed.frames >= 0
        }
        return isCovered ? .none : charged(now: now)
    }

    private mutating func open(
        window state: inout StreamState, of header: YamuxHeader, now: NIODeadline
    ) -> YamuxFailure? {
        let grant = Int(header.value)
        guard state.sendWindow + grant <= Int(UInt32.max) else {
            return YamuxFailure(
                .protocolError, "the window of stream \(header.streamID) grew past 4 GiB", limit: .receiveWindow)
        }
        state.sendWindow += grant
        guard header.flags.isDisjoint(with: [.syn, .ack, .fin]) else { return nil }
        // A peer may give back what it got, in small pieces if it likes; more often than that is noise.
        if grant > 0, state.updatesEarned > 0 {
            state.updatesEarned -= 1
            return nil
        }
        return glitch(now: now)
    }

    /// Counts payload against the windows. Returns what to do if it may not come.
    private mutating func take(_ length: Int, of header: YamuxHeader, state: inout StreamState) -> Action? {
        let streamID = header.streamID
        guard length <= state.receiveCredit else {
            return .fail(
                YamuxFailure(
                    .protocolError,
                    "\(length) bytes on stream \(streamID), where its window allows \(state.receiveCredit)",
                    limit: .receiveWindow))
        }
        state.receiveCredit -= length
        let problem: YamuxFailure?
        if state.finReceived {
            problem = YamuxFailure(.protocolError, "data on stream \(streamID) after its end")
        } else if unconsumedBytes + length > limits.receiveBuffer {
            problem = YamuxFailure(
                .normal, "more than \(limits.receiveBuffer) received bytes wait on the connection",
                limit: .receiveBuffer)
        } else {
            problem = nil
        }
        guard let problem else {
            state.unconsumed += length
            return nil
        }
        streams[streamID] = state
        forget(streamID)
        return .abort(streamID, YamuxHeader(.windowUpdate, .rst, streamID: streamID), problem)
    }

    private mutating func charged(now: NIODeadline) -> Action {
        if let failure = glitch(now: now) { return .fail(failure) }
        return .none
    }
}
