import NIOConcurrencyHelpers

/// The driver of the ``Scheduler``: its lock, its clock, and who is woken when.
final class ResponseSchedule: Sendable {
    private struct State {
        var scheduler: Scheduler
        /// By their numbers in the scheduler.
        var members: [ExchangePeer?] = []
    }

    /// While somebody waits, the time is looked at this often at least, and not more often than that.
    private static let longestSleep: Duration = .milliseconds(50)
    private static let shortestSleep: Duration = .milliseconds(1)

    private let state: NIOLockedValueBox<State>
    private let waiting = Signal()

    init(limits: BitswapLimits, bandwidth: BandwidthLimits, now: Duration) {
        state = NIOLockedValueBox(State(scheduler: Scheduler(limits: limits, bandwidth: bandwidth, now: now)))
    }

    /// Bytes of answers under way to all peers.
    var outstandingBytes: Int { state.withLockedValue { $0.scheduler.outstandingBytes } }

    /// A peer has come.
    func join(_ peer: ExchangePeer, now: Duration) -> Scheduler.ID {
        state.withLockedValue { state in
            let id = state.scheduler.join(now: now)
            if id < state.members.count { state.members[id] = peer } else { state.members.append(peer) }
            return id
        }
    }

    /// The peer is gone, and nothing is asked for it any more.
    func leave(_ id: Scheduler.ID, now: Duration) {
        change(now) {
            $0.scheduler.leave(id)
            $0.members[id] = nil
        }
    }

    func hasRoom(_ id: Scheduler.ID) -> Bool { state.withLockedValue { $0.scheduler.hasRoom(id) } }

    /// Bytes that the peer may be sent now; nil when it has nothing, or is woken when its turn has come.
    func request(_ id: Scheduler.ID, _ demand: Scheduler.Demand, now: Duration, account: Account) -> Int? {
        var decision = Scheduler.Decision.idle
        change(now) { state in
            decision = state.scheduler.request(id, demand, now: now)
        }
        switch decision {
        case .granted(let bytes): return bytes
        case .idle: return nil
        case .full: account.hit(.outstandingBytesPerPeer)
        case .queued(let shortage):
            if shortage == .memory { account.hit(.outstandingBytes) }
            waiting.raise()
        }
        return nil
    }

    /// A message was made, of `actual` bytes. Returns how many bytes are under way to the peer with it.
    @discardableResult
    func settle(_ id: Scheduler.ID, granted: Int, actual: Int, now: Duration) -> Int {
        change(now) {
            $0.scheduler.settle(id, granted: granted, actual: actual)
            return $0.scheduler.outstandingBytes(of: id)
        }
    }

    func drained(_ id: Scheduler.ID, bytes: Int, ahead: Int, since: Duration, now: Duration) {
        change(now) { $0.scheduler.drained(id, bytes: bytes, ahead: ahead, since: since, now: now) }
    }

    func lost(_ id: Scheduler.ID, bytes: Int, now: Duration) {
        change(now) { $0.scheduler.lost(id, bytes: bytes) }
    }

    /// Changes the state and wakes those whose turn has come by it.
    private func change<Result>(_ now: Duration, _ body: (inout State) -> Result) -> Result {
        let (result, woken) = state.withLockedValue { state in
            let result = body(&state)
            return (result, state.scheduler.dispatch(now: now).compactMap { state.members[$0] })
        }
        for peer in woken { peer.responses.wake() }
        return result
    }

    /// Lets time pass for those who wait for bandwidth, or for memory that others do not drain: what is under way to these is
    /// to be given up. Until its task is cancelled.
    func keepTime(_ time: TimeSource, account: Account, giveUp: (ExchangePeer) -> Void) async {
        for await _ in waiting.raised {
            while let due = state.withLockedValue({ $0.scheduler.wakeTime(now: time.now()) }) {
                let pause = min(max(due - time.now(), Self.shortestSleep), Self.longestSleep)
                do { try await time.sleep(pause) } catch { return }
                let now = time.now()
                let starved = change(now) { state in
                    state.scheduler.starved(now: now).compactMap { state.members[$0] }
                }
                account.hit(.drainTimeout, times: starved.count)
                for peer in starved { giveUp(peer) }
            }
        }
    }
}
