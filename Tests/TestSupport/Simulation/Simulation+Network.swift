public import Bitswap
public import Blockstore
public import Logging
import Multiformats
public import PeerIdentity

/// What a simulation is made of: peers, links, and faults that come by themselves.
extension Simulation {
    // MARK: Peers

    /// Makes a node and starts it. It is connected to nobody yet.
    ///
    /// - Parameters:
    ///   - store: nil for one in memory, which shares the bytes of equal blocks with the other nodes.
    ///   - uplink: bytes a second that it can send on all its links together; nil is no limit.
    ///   - downlink: bytes a second that it can receive.
    public func node(
        store: (any Blockstore)? = nil, configuration: Exchange.Configuration = Exchange.Configuration(),
        version: BitswapVersion = .v1_2_0, uplink: Int? = nil, downlink: Int? = nil,
        logger: Logger = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
    ) -> SimulatedNode {
        checkThread()
        let pool = pool
        let store = store ?? MemoryBlockstore { pool.shared($0) }
        let node = SimulatedNode(
            self, number: peers.count, version: version, uplink: uplink, downlink: downlink, store: store,
            configuration: configuration, logger: logger)
        add(node)
        return node
    }

    /// Makes a peer whose messages the body writes itself.
    public func scriptedPeer(
        version: BitswapVersion = .v1_2_0, uplink: Int? = nil, downlink: Int? = nil
    ) -> ScriptedPeer {
        checkThread()
        let peer = ScriptedPeer(self, number: peers.count, version: version, uplink: uplink, downlink: downlink)
        add(peer)
        return peer
    }

    private func add(_ peer: SimulatedPeer) {
        peers.append(peer)
        peersByID[peer.id] = peer
    }

    /// The peer of this ID, if it is one of the simulation's.
    public func peer(_ id: PeerID) -> SimulatedPeer? { peersByID[id] }

    /// A made-up identity, the same for the same number in every simulation.
    func makeID(_ number: Int) -> PeerID {
        var digest = [UInt8](repeating: 0, count: 32)
        withUnsafeBytes(of: UInt64(number).bigEndian) { digest.replaceSubrange(24..<32, with: $0) }
        do {
            return try PeerID(multihash: Multihash(code: .sha2_256, digest: digest))
        } catch { preconditionFailure("a SHA2-256 multihash is a PeerID: \(error)") }
    }

    // MARK: Links

    /// Connects two peers. Those that were connected before keep the properties of their first connection, and are
    /// connected again if they are not.
    public func connect(_ a: SimulatedPeer, _ b: SimulatedPeer, _ properties: LinkProperties = LinkProperties()) {
        checkThread()
        if let link = a.link(to: b) { return bringUp(link) }
        let link = Link(a, b, properties)
        a.add(link, to: b)
        b.add(link, to: a)
        bringUp(link)
    }

    /// Ends the connection of two peers. What is under way between them is lost.
    public func disconnect(_ a: SimulatedPeer, _ b: SimulatedPeer) {
        checkThread()
        if let link = a.link(to: b) { takeDown(link) }
    }

    func bringUp(_ link: Link) {
        let (a, b) = link.peers
        if let gone = [a, b].first(where: \.isGone) { return gone.restoreLater(link) }
        guard !link.isUp else { return }
        link.isUp = true
        link.pipes.0.comeUp()
        link.pipes.1.comeUp()
        trace.note(.connected, at: clock, a.number, b.number)
        a.connected(to: b)
        b.connected(to: a)
    }

    func takeDown(_ link: Link) {
        guard link.isUp else { return }
        link.isUp = false
        let (a, b) = link.peers
        trace.note(.disconnected, at: clock, a.number, b.number)
        link.pipes.0.goDown()
        link.pipes.1.goDown()
        a.disconnected(from: b)
        b.disconnected(from: a)
    }

    // MARK: Faults that come by themselves

    /// Lets a peer leave and come back again and again, after times drawn at random (exponential) with these means.
    public func letComeAndGo(_ peer: SimulatedPeer, meanStay: Duration, meanAbsence: Duration) {
        var random = generator("come and go", peer.number)
        func turn() {
            let mean = peer.isGone ? meanAbsence : meanStay
            after(random.exponential(mean: mean)) {
                if peer.isGone { peer.comeBack() } else { peer.leave() }
                turn()
            }
        }
        turn()
    }

    /// Lets the connection of two peers break again and again, and be made again.
    public func letBreak(_ a: SimulatedPeer, _ b: SimulatedPeer, meanUptime: Duration, meanDowntime: Duration) {
        var random = generator("break", a.number &* 65_537 &+ b.number)
        func turn() {
            let isUp = a.isConnected(to: b)
            after(random.exponential(mean: isUp ? meanUptime : meanDowntime)) { [self] in
                if isUp { disconnect(a, b) } else { connect(a, b) }
                turn()
            }
        }
        turn()
    }

    /// A source of its own for each use, so that one more of them does not shift what the others draw.
    private func generator(_ use: String, _ number: Int) -> SplitMix64 {
        var generator = SplitMix64(seed: seed)
        for word in use.utf8.map(UInt64.init) + [UInt64(truncatingIfNeeded: number)] {
            generator = SplitMix64(seed: generator.next() ^ word)
        }
        return generator
    }
}
