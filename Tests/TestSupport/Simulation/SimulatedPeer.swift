public import Bitswap
public import PeerIdentity

/// A peer in a simulated network: a ``SimulatedNode`` or a ``ScriptedPeer``.
///
/// Confined to the simulation's thread, that is to the body and what it calls, and therefore Sendable.
public class SimulatedPeer: @unchecked Sendable {
    public let id: PeerID
    /// Its number in the simulation, from 0 on.
    public let number: Int
    /// The newest version of the protocol that it speaks.
    public let version: BitswapVersion
    /// What the network has seen of it so far.
    public internal(set) var traffic = Traffic()

    unowned let simulation: Simulation
    var uplink: FairPort
    var downlink: FairPort
    /// In the order in which they were made.
    private(set) var links: [Link] = []
    private var linksByPeer: [Int: Link] = [:]
    private var seen: Set<FrameFacts.Fingerprint> = []
    private var isAway = false
    /// Links that were up when it left.
    private var linksToRestore: [Link] = []

    init(_ simulation: Simulation, number: Int, version: BitswapVersion, uplink: Int?, downlink: Int?) {
        self.simulation = simulation
        self.number = number
        self.version = version
        self.uplink = FairPort(rate: uplink)
        self.downlink = FairPort(rate: downlink)
        id = simulation.makeID(number)
    }

    // MARK: Its place in the network

    func add(_ link: Link, to peer: SimulatedPeer) {
        links.append(link)
        linksByPeer[peer.number] = link
    }

    /// The simulation is over: links and peers hold each other no longer.
    func forgetLinks() {
        for link in links {
            link.pipes.0.forgetStreams()
            link.pipes.1.forgetStreams()
        }
        links = []
        linksByPeer = [:]
        linksToRestore = []
    }

    func link(to peer: SimulatedPeer) -> Link? { linksByPeer[peer.number] }

    /// Whether it is connected to `peer` now.
    public func isConnected(to peer: SimulatedPeer) -> Bool { link(to: peer)?.isUp == true }

    /// Loses all its connections, until ``comeBack()``.
    public func leave() {
        simulation.checkThread()
        guard !isAway else { return }
        isAway = true
        linksToRestore = links.filter(\.isUp)
        for link in linksToRestore { simulation.takeDown(link) }
    }

    /// Takes the connections up again that it had when it left, but for those to peers that are away now.
    public func comeBack() {
        simulation.checkThread()
        guard isAway else { return }
        isAway = false
        let links = linksToRestore
        linksToRestore = []
        for link in links { simulation.bringUp(link) }
    }

    /// Whether it has left and not come back.
    public var isGone: Bool { isAway }

    /// The link is to be taken up when this peer comes back.
    func restoreLater(_ link: Link) {
        if !linksToRestore.contains(where: { $0 === link }) { linksToRestore.append(link) }
    }

    /// Leaves what `peer` sends unread, so that its window closes and its messages stay with it.
    public func stopReading(from peer: SimulatedPeer) {
        simulation.checkThread()
        link(to: peer)?.pipe(from: peer).setUnread(true)
    }

    /// Reads what has come meanwhile, and goes on.
    public func resumeReading(from peer: SimulatedPeer) {
        simulation.checkThread()
        link(to: peer)?.pipe(from: peer).setUnread(false)
    }

    /// Bytes that have left this peer for `peer`, framing included.
    public func bytesSent(to peer: SimulatedPeer) -> Int { link(to: peer)?.pipe(from: self).bytesSent ?? 0 }

    func visitUplink() {
        let now = simulation.clock
        while uplink.freeAt <= now, let pipe = uplink.takeTurn() { pipe.send() }
        guard uplink.hasTurns, !uplink.isVisitPending else { return }
        uplink.isVisitPending = true
        simulation.schedule(at: uplink.freeAt) { [self] in
            uplink.isVisitPending = false
            visitUplink()
        }
    }

    func visitDownlink() {
        let now = simulation.clock
        while downlink.freeAt <= now, let pipe = downlink.takeTurn() { pipe.receive() }
        guard downlink.hasTurns, !downlink.isVisitPending else { return }
        downlink.isVisitPending = true
        simulation.schedule(at: downlink.freeAt) { [self] in
            downlink.isVisitPending = false
            visitDownlink()
        }
    }

    func received(_ facts: FrameFacts) {
        traffic.blocksReceived += facts.blocks.count
        traffic.blockBytesReceived += facts.blockBytes
        guard !facts.isLie else { return }
        for block in facts.blocks where !seen.insert(block).inserted {
            traffic.duplicateBlocksReceived += 1
            traffic.duplicateBytesReceived += block.length
        }
    }

    // MARK: What kinds of peers differ in

    func connected(to peer: SimulatedPeer) {}
    func disconnected(from peer: SimulatedPeer) {}
    func makeInbox(from peer: SimulatedPeer, on stream: SimulatedStream) -> any Inbox {
        preconditionFailure("a peer of no kind")
    }
    func stop() async {}
    /// What it waits for, for a report; nil when it is nothing.
    var waiting: String? { nil }

    /// Opens a stream to a connected peer.
    func openStream(to peer: SimulatedPeer) throws(SimulatedNetworkError) -> SimulatedStream {
        simulation.checkThread()
        guard let link = link(to: peer), link.isUp else { throw .notConnected }
        return link.pipe(from: self).open(min(version, peer.version))
    }
}
