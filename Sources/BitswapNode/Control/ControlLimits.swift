/// Bounds on what is said over a node's control socket.
///
/// Only the owner of the repository can connect to it, so these guard against mistakes, not against attackers.
package struct ControlLimits: Sendable, Hashable {
    /// Bytes of a request, with its newline. A longer one ends the connection.
    package var requestBytes = 64 << 10
    /// Bytes of an answer, with its newline. Lists of wants and of peers are the longest ones.
    package var answerBytes = 4 << 20
    /// Bytes of the wants in one answer, so that it stays below ``answerBytes``.
    package var wantlistBytes = 3 << 20
    /// Characters of what a peer says of itself that are passed on, for the same reason.
    package var agentCharacters = 256
    /// Connections at a time.
    package var connections = 128
    /// Requests of one connection that are worked on at a time. As many again wait in the node; further ones, and all that
    /// comes behind them, wait in the socket.
    package var requestsPerConnection = 64
    /// Bytes of CID text in one offer, so that it stays below ``requestBytes``.
    package var offerBytes = 48 << 10

    package init() {}
}
