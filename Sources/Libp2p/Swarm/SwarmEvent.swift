/// Who came, who told about itself, who left.
///
/// For one connection the order is: `connected`, any number of the others, `disconnected`, all on its event loop.
public enum SwarmEvent: Sendable {
    /// The peer at the other end is proven and streams can be opened.
    case connected(Connection)
    /// The connection is gone, and with it its streams. The error is `nil` if one side closed it in an orderly way.
    case disconnected(Connection, error: Libp2pError?)
    /// The peer told about itself for the first time, or told that something has changed.
    case identified(Connection, IdentifyInfo)
    /// The peer and this node dialled each other at once, and this is the connection of the two that both do without: it is
    /// closed when no stream is left on it. New streams go where ``Swarm/connection(to:)`` says.
    case superseded(Connection)
}
