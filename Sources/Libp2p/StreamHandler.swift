public import NIOCore

/// The protocol code behind one stream.
///
/// Every method is called on the connection's event loop. Inside any of them the handler may write, finish or reset its
/// stream, open others and close the connection. The stream keeps its handler alive until ``streamClosed(_:error:)``
/// has returned.
public protocol StreamHandler: AnyObject {
    /// The protocol is chosen; the handler may write from now on. Always the first call.
    ///
    /// With a single proposed protocol the peer's consent is still under way: if it does not speak the protocol the
    /// stream closes with ``Libp2pError/Code/protocolNotSupported``.
    func streamOpened(_ stream: Stream)

    /// Bytes arrived, in order, cut anywhere. The peer may send as many more as ``Stream/consume(_:)`` gives back.
    func stream(_ stream: Stream, received bytes: ByteBuffer)

    /// ``Stream/isWritable`` was false and is true again.
    func streamIsWritable(_ stream: Stream)

    /// The peer has half-closed: no more bytes will come. Writing is still possible.
    func streamReceivedEnd(_ stream: Stream)

    /// The stream is gone. Called exactly once, as the last call.
    ///
    /// - Parameter error: `nil` if both sides closed it cleanly.
    func streamClosed(_ stream: Stream, error: Libp2pError?)
}

extension StreamHandler {
    public func streamIsWritable(_ stream: Stream) {}
}
