import Libp2p
import Multiformats
import PeerIdentity

/// What neighbours have told: names, the addresses under each, and the peers that these make up. Pure.
struct MDNSCache {
    private struct Key: Hashable {
        let interface: Int
        let name: DNSName
    }

    private struct Address {
        let peer: PeerID
        let address: Multiaddr
        /// When it was last told.
        var told: Duration
        var expiry: Duration
    }

    private struct Entry {
        /// Who told of it first.
        let source: IPAddress
        /// The first that told of it, as one machine has several addresses; nobody else can take it back.
        var tellers: [IPAddress] = []
        var lifetime: Duration
        var expiry: Duration
        /// How often it was asked for again since it was told.
        var reminders = 0
        var addresses: [Address] = []
    }

    struct Result {
        var events: [PeerDiscoveryEvent] = []
        var hits: [MDNSLimit] = []
    }

    private let ownPeer: PeerID
    private let limits: MDNSLimits
    private var entries: [Key: Entry] = [:]
    private var namesBySource: [IPAddress: Int] = [:]
    private var namesByPeer: [PeerID: Set<Key>] = [:]
    private var told: [PeerID: [Multiaddr]] = [:]
    /// When the first thing is due; not later than it is.
    private(set) var nextDue: Duration?

    /// The parts of its lifetime after which a record is asked for again (RFC 6762, section 5.2).
    private static let reminders = [0.8, 0.85, 0.9, 0.95]
    private static let mostTellers = 4
    /// Addresses that came in one go with those that replace the others (RFC 6762, section 10.2).
    private static let oneGo = Duration.seconds(1)

    init(ownPeer: PeerID, limits: MDNSLimits) {
        self.ownPeer = ownPeer
        self.limits = limits
    }

    var isEmpty: Bool { entries.isEmpty }
    var nameCount: Int { entries.count }

    func nameCount(on interface: Int) -> Int { entries.keys.count { $0.interface == interface } }

    // MARK: What is told

    /// Takes in a response.
    ///
    /// - Parameter network: the interface on which it came.
    mutating func received(
        _ message: DNSMessage, from source: IPAddress, on network: NetworkInterface, ownName: DNSName?, now: Duration,
        random: inout RandomSource
    ) -> Result {
        var result = Result()
        var changed: Set<PeerID> = []
        let records = message.answers + message.additionals
        for record in records {
            guard case .pointer(let name) = record.content, record.name == MDNSMessages.service,
                name.isChild(of: MDNSMessages.service), name != ownName
            else { continue }
            let key = Key(interface: network.index, name: name)
            if record.lifetime == 0 {
                guard let entry = entries[key] else { continue }
                guard entry.tellers.contains(source) else {
                    result.hits.append(.goodbye)
                    continue
                }
                changed.formUnion(remove(key))
            } else {
                let seconds = min(record.lifetime, limits.lifetimeSeconds)
                if let limit = renew(key, source, seconds: seconds, now, &random) { result.hits.append(limit) }
            }
        }
        for record in records {
            guard case .text(let strings) = record.content, record.lifetime > 0 else { continue }
            let key = Key(interface: network.index, name: record.name)
            guard let entry = entries[key] else { continue }
            changed.formUnion(entry.addresses.map(\.peer))
            update(key, record, strings, on: network, now, &result.hits)
            changed.formUnion(entries[key]?.addresses.map(\.peer) ?? [])
        }
        result.events = events(changed)
        return result
    }

    /// - Returns: why it is not taken in, if it is not.
    private mutating func renew(
        _ key: Key, _ source: IPAddress, seconds: UInt32, _ now: Duration, _ random: inout RandomSource
    ) -> MDNSLimit? {
        // A little less than it says, so that not all who heard it ask again at the same moment.
        let lifetime = Duration.seconds(Int64(seconds)) * Double.random(in: 0.95...1, using: &random)
        if entries[key] == nil {
            guard entries.count < limits.names else { return .names }
            guard namesBySource[source, default: 0] < limits.namesPerSource else { return .namesPerSource }
            namesBySource[source, default: 0] += 1
            entries[key] = Entry(source: source, lifetime: lifetime, expiry: now + lifetime)
        }
        if entries[key]?.tellers.contains(source) == false, entries[key]?.tellers.count ?? 0 < Self.mostTellers {
            entries[key]?.tellers.append(source)
        }
        entries[key]?.lifetime = lifetime
        entries[key]?.expiry = now + lifetime
        entries[key]?.reminders = 0
        consider(now + lifetime * Self.reminders[0])
        return nil
    }

    private mutating func update(
        _ key: Key, _ record: DNSRecord, _ strings: [[UInt8]], on network: NetworkInterface, _ now: Duration,
        _ hits: inout [MDNSLimit]
    ) {
        let expiry = now + .seconds(Int64(min(record.lifetime, limits.lifetimeSeconds)))
        if record.replacesOthers { entries[key]?.addresses.removeAll { $0.told < now - Self.oneGo } }
        for string in strings {
            guard let (peer, address) = Self.peerAddress(string), peer != ownPeer else { continue }
            guard let ip = IPAddress(address), network.reaches(ip), address.components.count == 2,
                case .tcp = address.components[1]
            else {
                hits.append(.address)
                continue
            }
            if let index = entries[key]?.addresses.firstIndex(where: { $0.peer == peer && $0.address == address }) {
                entries[key]?.addresses[index].told = now
                entries[key]?.addresses[index].expiry = expiry
            } else if entries[key]?.addresses.count ?? 0 < limits.addressesPerName {
                entries[key]?.addresses.append(Address(peer: peer, address: address, told: now, expiry: expiry))
                namesByPeer[peer, default: []].insert(key)
            } else {
                hits.append(.addressesPerName)
            }
        }
        consider(expiry)
    }

    /// The peer and the address, without the peer, of `dnsaddr=…`; nil for anything else.
    private static func peerAddress(_ string: [UInt8]) -> (PeerID, Multiaddr)? {
        guard string.starts(with: MDNSMessages.addressKey),
            let address = try? Multiaddr(
                String(decoding: string.dropFirst(MDNSMessages.addressKey.count), as: UTF8.self)),
            let multihash = address.peerMultihash, let peer = try? PeerID(multihash: multihash),
            let bare = address.removingPeer()
        else { return nil }
        return (peer, bare)
    }

    // MARK: What is forgotten

    /// Forgets what was told on an interface from where `isGone` says, or all of it.
    mutating func forget(interface: Int, where isGone: (IPAddress) -> Bool = { _ in true }) -> [PeerDiscoveryEvent] {
        var changed: Set<PeerID> = []
        for (key, entry) in entries where key.interface == interface && isGone(entry.source) {
            changed.formUnion(remove(key))
        }
        return events(changed)
    }

    /// Forgets a name. Returns the peers that were under it.
    private mutating func remove(_ key: Key) -> Set<PeerID> {
        guard let entry = entries.removeValue(forKey: key) else { return [] }
        let left = (namesBySource[entry.source] ?? 1) - 1
        namesBySource[entry.source] = left > 0 ? left : nil
        return Set(entry.addresses.map(\.peer))
    }

    /// Forgets what has run out.
    ///
    /// - Returns: also the interfaces on which something will soon, so that it is time to ask.
    mutating func tick(now: Duration) -> (events: [PeerDiscoveryEvent], stale: Set<Int>) {
        guard let due = nextDue, due <= now else { return ([], []) }
        nextDue = nil
        var changed: Set<PeerID> = []
        var stale: Set<Int> = []
        for (key, entry) in entries {
            guard entry.expiry > now else {
                changed.formUnion(remove(key))
                continue
            }
            if entry.addresses.contains(where: { $0.expiry <= now }) {
                changed.formUnion(entry.addresses.map(\.peer))
                entries[key]?.addresses.removeAll { $0.expiry <= now }
            }
            let told = entry.expiry - entry.lifetime
            var reminders = entry.reminders
            while reminders < Self.reminders.count, told + entry.lifetime * Self.reminders[reminders] <= now {
                reminders += 1
                stale.insert(key.interface)
            }
            entries[key]?.reminders = reminders
            consider(
                reminders < Self.reminders.count ? told + entry.lifetime * Self.reminders[reminders] : entry.expiry)
            for address in entries[key]?.addresses ?? [] { consider(address.expiry) }
        }
        return (events(changed), stale)
    }

    private mutating func consider(_ time: Duration) {
        nextDue = nextDue.map { min($0, time) } ?? time
    }

    // MARK: What is known

    /// Names that need not be told again, with the seconds that they are still good for: those with more than half of them.
    func known(on interface: Int, now: Duration) -> [(DNSName, UInt32)] {
        entries.filter { $0.key.interface == interface && $0.value.expiry - now > $0.value.lifetime / 2 }
            .map { ($0.key.name, UInt32(clamping: ($0.value.expiry - now).components.seconds)) }
            .sorted { $0.0.wire.lexicographicallyPrecedes($1.0.wire) }
    }

    /// What to say of these peers, if it is not what was said last.
    private mutating func events(_ changed: Set<PeerID>) -> [PeerDiscoveryEvent] {
        changed.sorted().compactMap { peer in
            let addresses = addresses(of: peer)
            guard addresses != told[peer] ?? [] else { return nil }
            told[peer] = addresses.isEmpty ? nil : addresses
            return addresses.isEmpty ? .lost(peer) : .found(peer, addresses)
        }
    }

    /// Those first that are of whoever told of them.
    private mutating func addresses(of peer: PeerID) -> [Multiaddr] {
        var first: [Multiaddr] = []
        var others: [Multiaddr] = []
        for key in namesByPeer[peer] ?? [] {
            let own = entries[key]?.addresses.filter { $0.peer == peer } ?? []
            if own.isEmpty { namesByPeer[peer]?.remove(key) }
            for address in own {
                if IPAddress(address.address) == entries[key]?.source {
                    first.append(address.address)
                } else {
                    others.append(address.address)
                }
            }
        }
        if namesByPeer[peer]?.isEmpty == true { namesByPeer[peer] = nil }
        first.sort { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        others.sort { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        var seen: Set<Multiaddr> = []
        return (first + others).filter { seen.insert($0).inserted }
    }
}
