import Libp2p
import Multiformats
import NIOCore
import PeerIdentity
import TestSupport

@testable import Routing

/// A network segment in virtual time: packets to the group reach every machine on it at once, the sender's among them.
struct Segment {
    struct Host {
        var machine: MDNSStateMachine
        let interface: NetworkInterface
        let address: SocketAddress
        let addresses: [Multiaddr]
        var isOn = true
        /// What its machine has told, the latest for each peer.
        var found: [PeerID: [Multiaddr]] = [:]
        var events: [PeerDiscoveryEvent] = []
        var hits: [MDNSLimit] = []
    }

    static let link = MDNSStateMachine.Link(interface: 2, family: .ip4)

    var hosts: [Host] = []
    var now = Duration.seconds(1_000)
    var packets = 0
    var bytes = 0
    private var flying: [(bytes: [UInt8], from: Int, to: SocketAddress?)] = []

    /// A host of number 1 to 65,000, with the address 10.77.x.y.
    static func ip(_ number: Int) -> String { "10.77.\(number / 250).\(number % 250 + 1)" }

    static func peer(_ number: Int) throws -> PeerID {
        let key = try KeyPair(seed: (0..<32).map { UInt8(truncatingIfNeeded: number >> ($0 % 4 * 8)) })
        return key.peerID
    }

    static func network(_ number: Int, others: [IPNetwork] = []) throws -> NetworkInterface {
        let own = try IPAddress(SocketAddress(ipAddress: ip(number), port: 0))!
        return NetworkInterface(name: "e0", index: 2, networks: [IPNetwork(own, prefixLength: 16)] + others)
    }

    /// - Parameter tells: how many addresses the host has.
    mutating func add(_ number: Int, tells: Int = 1, timing: MDNSTiming = MDNSTiming()) throws {
        let peer = try Self.peer(number)
        let addresses = try (0..<tells).map {
            try Multiaddr("/ip4/\(Self.ip(number))/tcp/\(4001 + $0)").appending(peer: peer.multihash)
        }
        let host = Host(
            machine: MDNSStateMachine(ownPeer: peer, timing: timing, random: .seeded(UInt64(number))),
            interface: try Self.network(number),
            address: try SocketAddress(ipAddress: Self.ip(number), port: MDNSStateMachine.port), addresses: addresses)
        hosts.append(host)
        let index = hosts.count - 1
        perform(
            hosts[index].machine.networkChanged(
                to: [host.interface], links: [Self.link], addresses: addresses, now: now), of: index)
    }

    mutating func perform(_ effects: MDNSStateMachine.Effects, of index: Int) {
        for packet in effects.packets {
            packets += 1
            bytes += packet.bytes.count
            flying.append((packet.bytes, index, packet.destination))
        }
        hosts[index].events += effects.events
        hosts[index].hits += effects.hits
        for event in effects.events {
            switch event {
            case .found(let peer, let addresses): hosts[index].found[peer] = addresses
            case .lost(let peer): hosts[index].found[peer] = nil
            }
        }
    }

    private mutating func deliver() {
        while !flying.isEmpty {
            let (bytes, from, to) = flying.removeFirst()
            for index in hosts.indices where hosts[index].isOn && (to.map { $0 == hosts[index].address } ?? true) {
                perform(
                    hosts[index].machine.received(bytes, from: hosts[from].address, on: Self.link, now: now), of: index)
            }
        }
    }

    /// Lets time pass.
    mutating func run(for duration: Duration) {
        let end = now + duration
        deliver()
        while true {
            let due = hosts.indices.filter { hosts[$0].isOn }.compactMap { hosts[$0].machine.nextDue }.min()
            guard let due, due <= end else { break }
            now = max(now, due)
            for index in hosts.indices where hosts[index].isOn {
                guard let due = hosts[index].machine.nextDue, due <= now else { continue }
                perform(hosts[index].machine.tick(now: now), of: index)
            }
            deliver()
        }
        now = end
    }
}
