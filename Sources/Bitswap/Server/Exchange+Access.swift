import Multiformats
import NIOConcurrencyHelpers

/// What the access policy makes of wants, at the places where something about blocks is found out for a peer.
extension Exchange {
    /// The entries of a peer's wantlist without the wants that are to be as if they had never come.
    func admitted(_ entries: [Message.Entry], of peer: ExchangePeer) -> [Message.Entry] {
        let access = configuration.access
        guard access.mayIgnore else { return entries }
        let admitted = entries.filter {
            $0.kind == .cancel || access.decision(on: $0.cid, for: peer.id) != .ignore
        }
        account.wantsDenied(entries.count - admitted.count)
        return admitted
    }

    /// Forgets the sizes of blocks that the peer is denied: they are as absent as the others. To be called after all have
    /// been looked up, so that the denied take their time too; for the same reason it asks about absent ones.
    func conceal(_ sizes: inout [Int?], of cids: some Sequence<CID>, from peer: ExchangePeer) {
        let access = configuration.access
        guard !access.servesEverybody else { return }
        var denied = 0
        for (index, cid) in cids.enumerated() where access.decision(on: cid, for: peer.id) != .serve {
            sizes[index] = nil
            denied += 1
        }
        account.wantsDenied(denied)
    }

    /// Blocks have come: who waits for them and may have them, with the place of each one's block among them. They wait no
    /// longer; whoever is denied waits on, as for a block that never comes.
    func takeSubscribers(of keys: [Multihash]) -> [(subscriber: Subscriptions.Subscriber, index: Int)] {
        let access = configuration.access
        guard !access.servesEverybody else { return subscriptions.withLockedValue { $0.take(keys) } }
        // A policy is not asked under a lock. Who subscribes meanwhile sees by the count of arrivals that it has to look again.
        let waiting = subscriptions.withLockedValue { $0.arrived(keys) }
        let served = waiting.filter { access.decision(on: $0.subscriber.cid, for: $0.subscriber.peer.id) == .serve }
        subscriptions.withLockedValue { $0.remove(served.map(\.subscriber)) }
        return served
    }
}
