public import Libp2p
import Logging
public import Multiformats
import NIOCore
import PeerIdentity

/// Peers that were named: by their addresses, which are always there, or by a `/dnsaddr`, whose TXT records are looked up now
/// and again (https://github.com/multiformats/multiaddr/blob/master/protocols/DNSADDR.md).
public struct PeerList: PeerDiscovery {
    public let method: DiscoveryMethod
    private let addresses: [Multiaddr]
    private let sleep: @Sendable (Duration) async throws -> Void
    private let lookUp: @Sendable (String) async throws -> [String]

    /// How often names are looked up again, and, after a failure, the first time; then each time after twice the time.
    static let interval = Duration.seconds(600)
    static let shortestRetry = Duration.seconds(2)
    /// Names within names, look-ups, and addresses that are taken from them.
    static let depth = 4
    static let mostLookUps = 16
    static let mostAddresses = 128

    /// - Parameter addresses: each with `/p2p/` at its end, or `/dnsaddr`, with `/p2p/` or for all peers under the name. Others
    ///   are passed over, as they do not say whose they are.
    public init(_ addresses: [Multiaddr], method: DiscoveryMethod = .list) {
        self.init(addresses, method: method, sleep: { try await Task.sleep(for: $0) }) {
            try await TextRecords.lookUp($0)
        }
    }

    init(
        _ addresses: [Multiaddr], method: DiscoveryMethod, sleep: @escaping @Sendable (Duration) async throws -> Void,
        lookUp: @escaping @Sendable (String) async throws -> [String]
    ) {
        self.addresses = addresses
        self.method = method
        self.sleep = sleep
        self.lookUp = lookUp
    }

    public func peers() -> any AsyncSequence<PeerDiscoveryEvent, any Error> { Peers(list: self) }

    private struct Peers: AsyncSequence {
        typealias Element = PeerDiscoveryEvent
        typealias Failure = any Error
        let list: PeerList

        func makeAsyncIterator() -> Iterator { Iterator(list: list) }
    }

    /// Does the look-ups while somebody waits for what they bring.
    private struct Iterator: AsyncIteratorProtocol {
        let list: PeerList
        var pending: [PeerDiscoveryEvent] = []
        var told: [PeerID: [Multiaddr]] = [:]
        var retry = PeerList.shortestRetry
        /// So long the next look-up waits; nil before the first.
        var pause: Duration?

        init(list: PeerList) { self.list = list }

        mutating func next() async throws -> PeerDiscoveryEvent? {
            while pending.isEmpty {
                if Task.isCancelled { return nil }
                if let pause { do { try await list.sleep(pause) } catch { return nil } }
                var isComplete = true
                let found = await list.resolved(&isComplete)
                // A look-up that failed takes nothing back.
                for (peer, addresses) in found.sorted(by: { $0.key < $1.key }) where told[peer] != addresses {
                    told[peer] = addresses
                    pending.append(.found(peer, addresses))
                }
                for peer in told.keys.sorted() where isComplete && found[peer] == nil {
                    told[peer] = nil
                    pending.append(.lost(peer))
                }
                pause = isComplete ? PeerList.interval : retry
                retry = isComplete ? PeerList.shortestRetry : min(retry * 2, PeerList.interval)
            }
            return pending.removeFirst()
        }
    }

    // MARK: Names

    /// All peers with their addresses.
    ///
    /// - Parameter isComplete: made false when a look-up fails.
    private func resolved(_ isComplete: inout Bool) async -> [PeerID: [Multiaddr]] {
        var found: [PeerID: [Multiaddr]] = [:]
        var budget = Self.mostLookUps
        var taken = 0
        /// What is to be read next, and how deep in names it was.
        var waiting = addresses.map { (address: $0, depth: 0) }[...]
        while let (address, depth) = waiting.popFirst() {
            guard case .dnsaddr(let name) = address.components.first else {
                guard taken < Self.mostAddresses, let peer = Self.peer(of: address) else { continue }
                if found[peer, default: []].contains(address) { continue }
                found[peer, default: []].append(address)
                taken += 1
                continue
            }
            guard depth < Self.depth, budget > 0 else { continue }
            budget -= 1
            do {
                let wanted = address.components.dropFirst()
                for text in try await lookUp("_dnsaddr." + name) where text.hasPrefix("dnsaddr=") {
                    guard let inner = try? Multiaddr(String(text.dropFirst("dnsaddr=".count))),
                        inner.components.suffix(wanted.count).elementsEqual(wanted)
                    else { continue }
                    waiting.append((inner, depth + 1))
                }
            } catch {
                isComplete = false
            }
        }
        return found
    }

    private static func peer(of address: Multiaddr) -> PeerID? {
        address.peerMultihash.flatMap { try? PeerID(multihash: $0) }
    }
}
