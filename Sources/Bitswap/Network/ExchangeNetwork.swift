public import Libp2p
public import NIOCore
public import PeerIdentity

/// What the exchange needs of a network: peers that come and go, and messages to and from them.
///
/// ``SwarmNetwork`` is the real one, over libp2p; a simulated one takes its place in tests. A network tells the exchange
/// of connections by ``Exchange/connected(_:as:)`` and ``Exchange/disconnected(_:)``, from any thread, and puts
/// what comes from them into an ``ExchangeInlet``.
public protocol ExchangeNetwork: Sendable {
    /// Opens the way on which messages to `peer` go, in the newest version that it speaks.
    ///
    /// Throws when the peer is not connected or speaks no Bitswap.
    func open(to peer: PeerID) async throws -> any ExchangeOutlet

    /// Connects to a peer, at the addresses given or at those where it was reached before. Returns when it is connected;
    /// the exchange hears of that by ``Exchange/connected(_:as:)`` as of any connection.
    ///
    /// Throws when it cannot be reached, or when the network only takes connections.
    func connect(to provider: Provider) async throws
}

extension ExchangeNetwork {
    public func connect(to provider: Provider) async throws {
        throw ExchangeError(.stopped, "this network does not dial")
    }
}

extension ExchangeOutlet {
    public var isSuperseded: Bool { false }
}

/// The way to one peer. Messages arrive in the order in which they were written, or not at all.
public protocol ExchangeOutlet: AnyObject, Sendable {
    /// The version that messages on it are written in.
    var version: BitswapVersion { get }
    /// Whether another one should be opened for what comes next: see ``Exchange/rerouted(_:)``.
    var isSuperseded: Bool { get }

    /// Takes one message, length prefix included, and returns at once.
    ///
    /// `completion` is called exactly once, from any thread: with nil when the last byte was handed to the transport, with
    /// the error when it never will be. After an error the outlet is of no more use.
    func write(_ frame: ByteBuffer, completion: @escaping @Sendable ((any Error)?) -> Void)

    /// Ends the way when all that was written to it has gone.
    func close()

    /// Ends the way at once: what was written and has not gone never will, and its completions get an error.
    func reset()
}
