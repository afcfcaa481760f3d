import Logging
import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers

/// The way out of our wants: one task per peer, started when there is something to ask of it or to take back; a few wants for
/// a peer whose way is free go out at once, without it.
extension Exchange {
    private static let entriesPerMessage = 1_024
    /// The same while peers have not taken more than all of them may leave.
    private static let fewEntries = 64
    /// Bytes of wantlists written to a peer and not yet taken by the socket, past which what follows stays where it can
    /// still be changed.
    private static let outstandingBytes = 256 << 10

    /// How often a way is tried that cannot be opened, each time after twice the time.
    private static let attempts = 3

    /// Asks one peer for blocks until there is nothing more to be asked.
    func ask(_ way: Way) async {
        guard let peer = peers.withLockedValue({ $0[way.peer] }), peer.requests === way else { return }
        var failures = 0
        repeat {
            guard way.take() else { continue }
            defer { way.release() }
            do {
                while client.withLockedValue({ $0.hasEntries(for: peer.id) }),
                    let limit = entriesPerMessage(to: peer)
                {
                    let outlet = try await peer.requests.outlet(in: network)
                    guard sendWantlist(to: peer, limit: limit, on: outlet) else { break }
                    failures = 0
                }
            } catch {
                // No way to this peer: what it owes us is asked of others.
                logger.debug("no way to ask a peer", metadata: ["peer": "\(peer.id)", "error": "\(error)"])
                cannotAsk(peer)
                failures += 1
                guard failures <= Self.attempts else { continue }
                do { try await time.sleep(.seconds(1 << failures)) } catch { return }
                revive(peer)
            }
        } while way.looksAgain()
    }

    /// There is no way to ask a peer that is connected.
    private func cannotAsk(_ peer: ExchangePeer) {
        let effects = peers.withLockedValue { peers in
            // It may have gone meanwhile, and come again.
            guard peers[peer.id] === peer else { return Client.Effects() }
            return client.withLockedValue { $0.disconnected(peer.id, isGone: false, now: time.now()) }
        }
        perform(effects)
    }

    /// Asks a peer for a few blocks now, if the way to it is open and free; else lets its task do it.
    func askSoon(_ peer: ExchangePeer) {
        guard let outlet = peer.requests.idleOutlet, peer.requests.take() else { return peer.requests.wake() }
        _ = sendWantlist(to: peer, limit: Self.fewEntries, on: outlet)
        peer.requests.release(lookAgain: client.withLockedValue { $0.hasEntries(for: peer.id) })
    }

    /// Nil while what was written to the peer is still to be taken by it.
    private func entriesPerMessage(to peer: ExchangePeer) -> Int? {
        let outstanding = peer.requests.outstandingBytes
        guard wantlistBytes.withLockedValue({ $0 }) > configuration.limits.wantlistBytes else {
            return outstanding < Self.outstandingBytes ? Self.entriesPerMessage : nil
        }
        account.hit(.wantlistBytes)
        return outstanding == 0 ? Self.fewEntries : nil
    }

    /// Returns whether there was anything to send.
    private func sendWantlist(to peer: ExchangePeer, limit: Int, on outlet: any ExchangeOutlet) -> Bool {
        let (taken, effects) = client.withLockedValue {
            $0.takeEntries(for: peer.id, limit: limit, version: outlet.version, now: time.now())
        }
        perform(effects)
        guard !taken.isEmpty else { return false }
        var encoder = MessageEncoder(version: outlet.version, entries: taken.entries, isFull: taken.isFull, capacity: 0)
        let frame = encoder.finish(pendingBytes: 0)
        let counts = Account.Entries(taken.entries)
        let bytes = frame.readableBytes
        wantlistBytes.withLockedValue { $0 += bytes }
        peer.requests.write(frame, on: outlet) { [self] error in
            wantlistBytes.withLockedValue { $0 -= bytes }
            if error == nil {
                account.wantlistSent(counts, bytes: bytes)
            } else {
                perform(client.withLockedValue { $0.outletLost(peer.id, now: time.now()) })
            }
            return client.withLockedValue { $0.hasEntries(for: peer.id) }
        }
        return true
    }
}
