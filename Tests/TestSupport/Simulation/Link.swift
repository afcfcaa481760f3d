/// What a link is like, the same in both directions.
public struct LinkProperties: Sendable, Hashable {
    /// How long a byte is under way.
    public var latency: Duration
    /// Bytes a second in each direction; nil is no limit but those of the peers' own connections.
    public var bandwidth: Int?
    /// Bytes of one stream that may be under way or unread. A receiver that does not deal with them stops its sender.
    public var window: Int

    public init(latency: Duration = .milliseconds(10), bandwidth: Int? = nil, window: Int = 4 << 20) {
        self.latency = latency
        self.bandwidth = bandwidth
        self.window = window
    }
}

/// Two peers that can be connected, and whether they are.
final class Link {
    let pipes: (Pipe, Pipe)
    var isUp = false

    init(_ a: SimulatedPeer, _ b: SimulatedPeer, _ properties: LinkProperties) {
        pipes = (Pipe(from: a, to: b, properties), Pipe(from: b, to: a, properties))
    }

    var peers: (SimulatedPeer, SimulatedPeer) { (pipes.0.sender, pipes.0.receiver) }

    func pipe(from peer: SimulatedPeer) -> Pipe { pipes.0.sender === peer ? pipes.0 : pipes.1 }
}
