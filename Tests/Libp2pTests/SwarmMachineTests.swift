import Multiformats
import PeerIdentity
import Testing

@testable import Libp2p

@Suite("Swarm: the plan of a dial")
struct DialStateMachineTests {
    private let addresses: [Multiaddr]
    private let refused = Libp2pError(.dialFailed, "Connection refused.")

    init() throws {
        addresses = try (1...6).map { try Multiaddr("/ip4/192.0.2.\($0)/tcp/1") }
    }

    @Test("One at the start, the next after the pause, the first success wins")
    func staggered() {
        var machine = DialStateMachine(addresses: Array(addresses[0..<3]), budget: 10)
        #expect(machine.begin() == [.start(0, addresses[0]), .startPause])
        #expect(machine.pauseEnded() == [.start(1, addresses[1]), .startPause])
        #expect(machine.pauseEnded() == [.start(2, addresses[2]), .startPause])
        #expect(machine.pauseEnded() == [])
        #expect(machine.attemptSucceeded(1) == [.succeed(1, abandon: [0, 2])])
        #expect(machine.isOver)
        #expect(machine.attemptSucceeded(0) == [])
        #expect(machine.attemptFailed(2, refused) == [])
        #expect(machine.stop(refused) == [])
    }

    @Test("A failure starts the next at once; the last one ends the dial")
    func failures() {
        var machine = DialStateMachine(addresses: Array(addresses[0..<2]), budget: 10)
        _ = machine.begin()
        #expect(machine.attemptFailed(0, refused) == [.start(1, addresses[1])])
        #expect(machine.attemptFailed(0, refused) == [])
        #expect(machine.attemptFailed(1, refused) == [.fail(abandon: [])])
        #expect(machine.failures.map(\.address) == Array(addresses[0..<2]))
    }

    @Test("No addresses fail at once")
    func none() {
        var machine = DialStateMachine(addresses: [], budget: 10)
        #expect(machine.begin() == [.fail(abandon: [])])
    }

    @Test("A name is replaced by its addresses, before what waits")
    func names() {
        var machine = DialStateMachine(addresses: Array(addresses[0..<2]), budget: 10)
        _ = machine.begin()
        #expect(machine.attemptResolved(0, to: [addresses[2], addresses[3]]) == [.start(1, addresses[2])])
        #expect(machine.pauseEnded() == [.start(2, addresses[3]), .startPause])
        #expect(machine.pauseEnded() == [.start(3, addresses[1]), .startPause])
        #expect(machine.stop(refused) == [.fail(abandon: [1, 2, 3])])
        #expect(machine.failures.map(\.address) == [addresses[2], addresses[3], addresses[1]])
    }

    @Test("A name without addresses is a failure of its own")
    func emptyName() {
        var machine = DialStateMachine(addresses: [addresses[0]], budget: 10)
        _ = machine.begin()
        #expect(machine.attemptResolved(0, to: []) == [.fail(abandon: [])])
    }

    @Test("Further addresses join, known ones do not, and the budget holds")
    func joining() {
        var machine = DialStateMachine(addresses: [addresses[0]], budget: 3)
        _ = machine.begin()
        #expect(machine.add([addresses[0]]) == [])
        #expect(machine.pauseEnded() == [])
        #expect(machine.add([addresses[0], addresses[1]]) == [.start(1, addresses[1]), .startPause])
        #expect(machine.add([addresses[2], addresses[3]]) == [])
        #expect(machine.pauseEnded() == [.start(2, addresses[2]), .startPause])
        #expect(machine.pauseEnded() == [])
        #expect(machine.stop(refused) == [.fail(abandon: [0, 1, 2])])
        #expect(machine.add([addresses[4]]) == [])
    }

    @Test("Whatever happens in whatever order, a dial ends once and every attempt ends")
    func property() {
        var generator = SplitMix(seed: 21)
        for round in 0..<2_000 {
            var machine = DialStateMachine(
                addresses: Array(addresses.shuffled(using: &generator).prefix(.random(in: 0...4, using: &generator))),
                budget: .random(in: 0...6, using: &generator))
            var running: Set<Int> = []
            var pauses = 0
            var ends = 0
            func perform(_ actions: [DialStateMachine.Action]) {
                for action in actions {
                    switch action {
                    case .start(let id, _): running.insert(id)
                    case .startPause: pauses += 1
                    case .succeed(let id, let abandoned):
                        running.remove(id)
                        running.subtract(abandoned)
                        ends += 1
                    case .fail(let abandoned):
                        running.subtract(abandoned)
                        ends += 1
                    }
                }
            }
            perform(machine.begin())
            for _ in 0..<30 {
                let id = running.randomElement(using: &generator)
                switch Int.random(in: 0..<12, using: &generator) {
                case 0...3:
                    guard let id else { continue }
                    running.remove(id)
                    perform(machine.attemptFailed(id, refused))
                case 4...6 where pauses > 0:
                    pauses -= 1
                    perform(machine.pauseEnded())
                case 7:
                    perform(machine.add([addresses[Int.random(in: 0..<6, using: &generator)]]))
                case 8:
                    guard let id else { continue }
                    running.remove(id)
                    perform(machine.attemptResolved(id, to: [addresses[Int.random(in: 0..<6, using: &generator)]]))
                case 9:
                    if let id { perform(machine.attemptSucceeded(id)) }
                default: break
                }
                #expect(pauses <= 1, "round \(round) of seed 21")
            }
            perform(machine.stop(refused))
            #expect(ends == 1, "round \(round) of seed 21")
            #expect(running.isEmpty, "round \(round) of seed 21")
        }
    }
}

@Suite("Swarm: the steps of a connection")
struct UpgradeStateMachineTests {
    private let key: PublicKey
    private let peer: PeerID

    init() throws {
        key = try KeyPair.generate().publicKey
        peer = PeerID(publicKey: key)
    }

    private func machine() throws -> UpgradeStateMachine {
        UpgradeStateMachine(ownPeer: try KeyPair.generate().peerID, securityProtocols: [.tls, .noise])
    }

    @Test(
        "TLS or Noise, then Yamux, agreed on after the handshake or within it",
        arguments: [SecurityProtocol.tls, .noise])
    func steps(security: SecurityProtocol) throws {
        let peer = SecuredPeer(id: peer, publicKey: key, security: security)
        var machine = try machine()
        guard case .addSecurity(security) = machine.negotiated(security.id) else {
            return #expect(Bool(false), "no \(security)")
        }
        #expect(machine.step.contains(security.description))
        guard case .addMuxerNegotiation = machine.shookHands(with: peer.id, key, muxer: nil) else {
            return #expect(Bool(false), "no negotiation")
        }
        guard case .addMuxer(peer) = machine.negotiated(.yamux) else { return #expect(Bool(false), "no muxer") }
        #expect(machine.isDone)

        machine = try self.machine()
        _ = machine.negotiated(security.id)
        guard case .addMuxer(peer) = machine.shookHands(with: peer.id, key, muxer: .yamux) else {
            return #expect(Bool(false), "no muxer")
        }
        guard case .none = machine.failed(Libp2pError(.timeout, "late")) else {
            return #expect(Bool(false), "a failure after the end counted")
        }
    }

    @Test("Ourselves at the other end")
    func selfDial() throws {
        var machine = UpgradeStateMachine(ownPeer: peer, securityProtocols: [.noise])
        _ = machine.negotiated(.noise)
        guard case .fail(let error) = machine.shookHands(with: peer, key, muxer: .yamux) else {
            return #expect(Bool(false), "no failure")
        }
        #expect(error.code == .selfDial)
    }

    @Test("Out of turn, or a muxer we do not speak")
    func outOfTurn() throws {
        for step in [
            { $0.negotiated(.yamux) }, { $0.negotiated("/plaintext/2.0.0") },
            { $0.shookHands(with: peer, key, muxer: nil) },
            {
                _ = $0.negotiated(.noise)
                return $0.negotiated(.noise)
            },
            {
                _ = $0.negotiated(.noise)
                return $0.shookHands(with: peer, key, muxer: "/mplex/6.7.0")
            },
        ] as [(inout UpgradeStateMachine) -> UpgradeStateMachine.Action] {
            var machine = try machine()
            guard case .fail(let error) = step(&machine) else { return #expect(Bool(false), "no failure") }
            #expect(error.code == .protocolViolation)
            #expect(machine.isDone)
        }
    }
}
