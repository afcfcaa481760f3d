import Multiformats
import NIOCore

/// How a node treats what others want of it.
public enum Misbehaviour: Sendable, Hashable {
    /// It takes wants and never answers.
    case silent
    /// It says that it has everything and sends bytes that are not the block's, so many a block.
    case lying(blockBytes: Int)
}

/// Answers wants with lies.
final class Liar {
    private var random: SplitMix64
    private var bytes = ByteBuffer()
    private var streams: [Int: SimulatedStream] = [:]

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    func answer(_ wants: [WireMessage.Want], to peer: SimulatedPeer, as node: SimulatedNode, blockBytes: Int) {
        var presences = WireMessage()
        for want in wants where want.kind == .have { presences.presences.append(.init(want.cid, has: true)) }
        if !presences.presences.isEmpty { send(presences, to: peer, as: node) }
        if bytes.readableBytes != blockBytes { bytes = ByteBuffer(bytes: random.bytes(blockBytes)) }
        for want in wants where want.kind == .block {
            var lie = WireMessage()
            lie.blocks = [.init(prefix: want.cid.prefix, data: bytes)]
            send(lie, to: peer, as: node)
        }
    }

    private func send(_ message: WireMessage, to peer: SimulatedPeer, as node: SimulatedNode) {
        if streams[peer.number]?.isOpen != true { streams[peer.number] = try? node.openStream(to: peer) }
        streams[peer.number]?.write(message.frame, isLie: true) { _ in }
    }
}
