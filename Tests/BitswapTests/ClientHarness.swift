import Libp2p
import Blockstore
import Multiformats
import NIOCore
import PeerIdentity
import TestSupport

@testable import Bitswap

/// A client with a clock, and peers that say what a test makes them say.
struct ClientHarness {
    var client: Client
    var now = Duration.seconds(1)
    /// Effects that nobody has looked at yet.
    var effects = Client.Effects()

    init(seed: UInt64 = 1, limits: BitswapLimits = BitswapLimits()) {
        client = Client(limits: limits, random: .seeded(seed))
    }

    mutating func connect(_ numbers: Int..., as standing: PeerStanding = .named) {
        for number in numbers { effects.merge(client.connected(peer(number), as: standing, now: now)) }
    }

    mutating func disconnect(_ number: Int) { effects.merge(client.disconnected(peer(number), now: now)) }

    mutating func session(_ providers: Providers = .any) -> SessionState.ID {
        client.beginSession(providers, isEphemeral: false)
    }

    @discardableResult
    mutating func want(_ cid: CID, _ providers: Providers = .any, timeout: Duration? = nil) -> Client.WaiterID {
        let waiter = client.register(cid, providers: providers, deadline: timeout.map { now + $0 }, now: now)
        effects.merge(client.open([waiter], now: now))
        return waiter
    }

    @discardableResult
    mutating func want(
        _ cids: [CID], in session: SessionState.ID, isOrdered: Bool = false, timeout: Duration? = nil
    ) -> [Client.WaiterID] {
        let waiters = cids.compactMap {
            client.register($0, in: session, deadline: timeout.map { now + $0 }, isOrdered: isOrdered, now: now)
        }
        effects.merge(client.open(waiters, now: now))
        return waiters
    }

    mutating func abandon(_ waiter: Client.WaiterID) {
        effects.merge(client.abandon(waiter, .cancelled, "", now: now))
    }

    /// What is sent to a peer now.
    @discardableResult
    mutating func take(_ number: Int, _ version: BitswapVersion = .v1_2_0, limit: Int = 1_024) -> PeerWants.Taken {
        let (taken, more) = client.takeEntries(for: peer(number), limit: limit, version: version, now: now)
        effects.merge(more)
        return taken
    }

    mutating func say(_ has: Bool, _ cids: [CID], from number: Int) {
        let presences = cids.map { Message.Presence(cid: $0, has: has) }
        effects.merge(client.received(presences: presences, from: peer(number), now: now))
    }

    mutating func have(_ cids: CID..., from number: Int) { say(true, cids, from: number) }
    mutating func dontHave(_ cids: CID..., from number: Int) { say(false, cids, from: number) }

    /// A block comes and is stored.
    @discardableResult
    mutating func deliver(_ text: String, from number: Int, size: Int? = nil) -> Client.Expectation {
        let block = block(text)
        let (expectations, more) = client.received(
            blocks: [(block.cid.multihash, size ?? block.bytes.readableBytes)], from: peer(number), now: now)
        effects.merge(more)
        if case .wanted = expectations[0] {
            effects.merge(client.stored([block], from: peer(number), now: now).effects)
        }
        return expectations[0]
    }

    mutating func offend(_ number: Int) { effects.merge(client.offended(peer(number), now: now)) }

    /// Lets time pass, and what is due happen when it is.
    mutating func pass(_ duration: Duration) {
        let end = now + duration
        while now < end {
            now = min(now + .milliseconds(10), end)
            effects.merge(client.tick(now: now))
        }
    }

    /// Takes out what has happened since the last time.
    mutating func takeEffects() -> Client.Effects {
        defer { effects = Client.Effects() }
        return effects
    }
}

extension PeerWants.Taken {
    func type(of cid: CID) -> WantType? {
        for entry in entries where entry.cid == cid {
            if case .want(let type, _) = entry.kind { return type }
        }
        return nil
    }

    func cids(_ type: WantType) -> [CID] { entries.filter { self.type(of: $0.cid) == type }.map(\.cid) }
    var cancels: [CID] { entries.filter { $0.kind == .cancel }.map(\.cid) }
}
