import Bitswap
import BitswapNode
import Libp2p
import Multiformats
import NIOConcurrencyHelpers
import PeerIdentity

/// What happened while blocks were fetched, step by step: for people as it happens, for programs in the end.
final class FetchStory: Sendable {
    struct Step: Sendable {
        let event: String
        let milliseconds: Double
        var cid: CID?
        var peer: PeerID?
        /// How the peer was found, or what it was asked for or answered.
        var what: String?

        var json: JSON {
            var members: [(String, JSON)] = [
                ("event", .string(event)), ("milliseconds", .number((milliseconds * 1_000).rounded() / 1_000)),
            ]
            if let cid { members.append(("cid", JSON(cid))) }
            if let peer { members.append(("peer", JSON(peer))) }
            if let what { members.append(("what", .string(what))) }
            return .object(members)
        }

        var text: String {
            let peer = peer.map(\.description) ?? ""
            return switch event {
            case "discovered": "found \(peer) by \(what ?? "itself")"
            case "connected": "connected to \(peer)"
            case "asked": "asked \(peer) \(what ?? "")"
            case "answered": "\(peer) answers \(what ?? "")"
            case "received": "received from \(peer)"
            case "stalled": "\(peer) lets us wait"
            case "refused": "\(peer) sent something else"
            default: event
            }
        }
    }

    /// More are not kept; a story of many blocks is not read anyway.
    private static let mostSteps = 256
    private let steps = NIOLockedValueBox<[Step]>([])
    private let start = ContinuousClock.now
    private let narration: Narration

    init(_ narration: Narration) { self.narration = narration }

    var json: JSON { .array(steps.withLockedValue { $0 }.map(\.json)) }

    func tell(_ event: String, cid: CID? = nil, peer: PeerID? = nil, _ what: String? = nil) {
        let elapsed = start.duration(to: .now) / .milliseconds(1)
        let step = Step(event: event, milliseconds: elapsed, cid: cid, peer: peer, what: what)
        let isKept = steps.withLockedValue { steps in
            guard steps.count < Self.mostSteps else { return false }
            steps.append(step)
            return true
        }
        if isKept { narration.sayOfBlock("\(step.text) (\(Int(elapsed.rounded())) ms)") }
    }

    func tell(_ event: SessionEvent) {
        switch event {
        case .asked(let cid, let peer, let type):
            tell("asked", cid: cid, peer: peer, type == .block ? "for the block" : "whether it has it")
        case .answered(let cid, let peer, let has): tell("answered", cid: cid, peer: peer, has ? "HAVE" : "DONT_HAVE")
        case .received(let cid, let peer, let bytes): tell("received", cid: cid, peer: peer, "\(bytes) bytes")
        case .stalled(let cid, let peer): tell("stalled", cid: cid, peer: peer)
        case .refused(let cid, let peer): tell("refused", cid: cid, peer: peer)
        default: break
        }
    }

    /// Tells who is found and connected by a node from now on.
    func observe(_ node: BitswapNode) {
        node.observeDiscoveries { [self] method, event in
            if case .found(let peer, _) = event { tell("discovered", peer: peer, method.name) }
        }
        node.swarm.observe { [self] event in
            if case .connected(let connection) = event { tell("connected", peer: connection.peer) }
        }
    }
}
