import Foundation
import Libp2p
import Multiformats
import PeerIdentity
import Routing
import Testing

@testable import Bitswap
@testable import BitswapCLI
@testable import BitswapNode

/// What the commands that ask a running node make of its answers.
@Suite struct StatusTests {
    private let peer: PeerID
    private let cid: CID
    private let address: Multiaddr

    init() throws {
        peer = try PeerID("12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN")
        cid = try CID("bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq")
        address = try Multiaddr("/ip4/127.0.0.1/tcp/4001")
    }

    private func status(_ exchange: ExchangeStatistics = .init(), _ swarm: SwarmStatistics = .init()) -> NodeStatus {
        NodeStatus(
            peer: peer, addresses: [address, address], agent: "test/1", process: 7, uptimeSeconds: 61, blocks: 2,
            blockBytes: 2_048, storageBytes: 4_096, peers: 1, wants: 3, exchange: exchange, swarm: swarm)
    }

    private func object(_ json: JSON) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(json.description.utf8)) as? [String: Any])
    }

    /// The text that stands behind a label.
    private func text(_ label: String, in status: NodeStatus) -> String? {
        Status.table(status).lines.first { $0.hasPrefix(label + "  ") }?.dropFirst(label.count)
            .trimmingCharacters(in: .whitespaces)
    }

    private let ledger = LedgerStatus(
        age: .seconds(90), wants: 3, subscriptions: 6, queuedBytes: 4, outstandingBytes: 5, blocksSent: 1,
        bytesSent: 2_048,
        blocksReceived: 2, bytesReceived: 10)

    private var busy: ExchangeStatistics {
        var exchange = ExchangeStatistics()
        exchange.blocksReceived = 4
        exchange.bytesReceived = 3 << 20
        exchange.duplicateBlocksReceived = 1
        exchange.duplicateBytesReceived = 1 << 20
        exchange.wantBlocksSent = 5
        exchange.wantHavesSent = 1
        exchange.cancelsSent = 1
        exchange.wantlistBytesSent = 300
        exchange.limitHits = ["wantsPerPeer": 1_000, "messageBytes": 2]
        exchange.timeToBlock.record(3)
        exchange.incomingMessages.record(2_048)
        return exchange
    }

    @Test func everyValueOfTheStatisticsIsInTheJSON() throws {
        let told = try object(Status.json(status(busy)))
        let exchange = try #require(told["exchange"] as? [String: Any])
        let renamed = [
            "timeToBlock": "timeToBlockMicroseconds", "queueWait": "queueWaitMicroseconds",
            "incomingMessages": "messageBytesReceived", "outgoingMessages": "messageBytesSent",
        ]
        for name in Mirror(reflecting: busy).children.compactMap(\.label) {
            #expect(exchange[renamed[name] ?? name] != nil, "\(name)")
        }
        #expect(exchange["duplicateShare"] as? Double == 0.25)
        #expect(exchange["wantsSentPerBlock"] as? Double == 1.5)
        #expect(exchange["wantlistBytesPerBlock"] as? Double == 75)
        #expect(exchange["limitHits"] as? [String: Int] == busy.limitHits)
        #expect((exchange["timeToBlockMicroseconds"] as? [String: Any])?["median"] as? Int == 3)
        #expect((exchange["queueWaitMicroseconds"] as? [String: Any])?["median"] is NSNull)
        #expect(exchange["messagesReceived"] as? Int == 1)
    }

    @Test func everyValueOfTheSwarmIsInTheJSON() throws {
        var swarm = SwarmStatistics()
        swarm.connectionsRefused = ["source": 2]
        swarm.yamuxLimitHits = ["inbound_streams": 9]
        let told = try #require(try object(Status.json(status(.init(), swarm)))["connections"] as? [String: Any])
        let renamed = [
            "inboundConnections": "inbound", "outboundConnections": "outbound", "connectionsRefused": "refused",
        ]
        for name in Mirror(reflecting: swarm).children.compactMap(\.label) {
            #expect(told[renamed[name] ?? name] != nil, "\(name)")
        }
        #expect(told["refused"] as? [String: Int] == ["source": 2])
        #expect(told["yamuxLimitHits"] as? [String: Int] == ["inbound_streams": 9])
    }

    @Test func everyValueOfMDNSIsInTheJSON() throws {
        var mdns = MDNSStatistics()
        mdns.packetsSent = 7
        mdns.limitHits = ["malformed": 3]
        var status = status()
        #expect(try object(Status.json(status))["mdns"] is NSNull)
        status.mdns = mdns
        let told = try #require(try object(Status.json(status))["mdns"] as? [String: Any])
        for name in Mirror(reflecting: mdns).children.compactMap(\.label) { #expect(told[name] != nil, "\(name)") }
        #expect(told["limitHits"] as? [String: Int] == ["malformed": 3])
        #expect(text("mDNS", in: status) == "sent 7 packets, 0 bytes; received 0 packets, 0 bytes")
        #expect(text("  passed over", in: status) == "malformed 3")
    }

    @Test func ratiosOfNothingAreNull() throws {
        let exchange = try #require(try object(Status.json(status()))["exchange"] as? [String: Any])
        for name in ["duplicateShare", "wantsSentPerBlock", "wantlistBytesPerBlock"] {
            #expect(exchange[name] is NSNull, "\(name)")
        }
    }

    @Test func theTextHasUnitsAndRatios() {
        let status = status(busy)
        #expect(text("up", in: status) == "1 min 1 s")
        #expect(text("store", in: status) == "2 blocks, 2.0 KiB (4.0 KiB on disk)")
        #expect(text("received", in: status) == "4 blocks, 3.0 MiB")
        #expect(text("  in vain", in: status) == "1 block, 1.0 MiB, 25.0 % of the bytes")
        #expect(text("  time to block", in: status) == "50 % within 3 µs, 99 % within 3 µs, longest 3 µs")
        #expect(text("  queue wait", in: status) == "-")
        #expect(text("  wants sent", in: status) == "5 for blocks, 1 for HAVE (1.50 a block), 1 cancel")
        #expect(text("  wantlists sent", in: status) == "300 bytes (75.00 bytes a block)")
        #expect(text("limits hit", in: status) == "messageBytes 2, wantsPerPeer 1,000")
        #expect(text("limits hit", in: self.status()) == nil)
    }

    @Test func aConnectionSaysWhatItsPeerWasGiven() throws {
        let connection = PeerStatus(
            peer: peer, address: address, isOutbound: true, security: "tls", agent: "kubo\u{1B}[31m",
            connectedSeconds: 5, foundBy: "mdns", foundSeconds: 61, ledger: ledger)
        let told = try object(Peers.json(connection))
        #expect(told["direction"] as? String == "outbound")
        #expect(told["security"] as? String == "tls")
        #expect((told["ledger"] as? [String: Int])?["bytesSent"] == 2_048)
        #expect(
            Peers.table([connection]).lines
                == [
                    "\(address)/p2p/\(peer)  outbound  tls  5 s  mdns 1 min 1 s ago  sent 2.0 KiB  received 10 bytes  "
                        + "kubo?[31m"
                ])
        var leaving = connection
        #expect(told["foundBy"] as? String == "mdns" && told["foundSeconds"] as? Int == 61)
        leaving.ledger = nil
        leaving.foundBy = nil
        #expect(Peers.table([leaving]).lines == ["\(address)/p2p/\(peer)  outbound  tls  5 s  -  -  -  kubo?[31m"])
        #expect(try object(Peers.json(leaving))["ledger"] is NSNull)
    }

    @Test func everyValueOfALedgerIsInTheJSON() throws {
        let told = try object(.object(LedgerCommand.members(ledger)))
        for name in Mirror(reflecting: ledger).children.compactMap(\.label) {
            #expect(told[name == "age" ? "connectedSeconds" : name] != nil, "\(name)")
        }
        #expect(
            LedgerCommand.table(peer, ledger).lines.dropFirst() == [
                "connected    1 min 30 s", "sent         1 block, 2.0 KiB", "received     2 blocks, 10 bytes",
                "wants        3 to be answered, 6 for blocks not held", "queued       4 bytes",
                "outstanding  5 bytes",
            ])
    }

    @Test func aWantSaysItsTypeAndPriority() throws {
        let wants = [
            PeerWant(cid: cid, type: .block, priority: .max, isHeld: true),
            PeerWant(cid: cid, type: .have, priority: -1, isHeld: nil),
            PeerWant(cid: cid, type: .block, priority: 1, isHeld: nil, isDenied: true),
        ]
        let told = try object(Wantlist.json(wants[0]))
        #expect(told["cid"] as? String == cid.description)
        #expect(told["type"] as? String == "block")
        #expect(told["priority"] as? Int == Int(Int32.max))
        #expect(told["held"] as? Bool == true)
        #expect(told["denied"] as? Bool == false)
        #expect(try object(Wantlist.json(wants[1]))["held"] is NSNull)
        #expect(try object(Wantlist.json(wants[2]))["denied"] as? Bool == true)
        #expect(
            Wantlist.table(wants).lines
                == [
                    "\(cid)  block  priority 2147483647  held", "\(cid)  HAVE   priority -1          -",
                    "\(cid)  block  priority 1           denied",
                ])
    }
}
