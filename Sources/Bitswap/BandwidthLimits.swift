/// How many bytes a second an exchange may send and take, framing included; nil is no limit.
///
/// A limit holds over time: up to a quarter of a second's worth goes at once. What peers send cannot be held back at once
/// either: the exchange asks for nothing more, and opens no stream's window, until the time of what has come is over.
public struct BandwidthLimits: Sendable, Hashable {
    /// Answers to all peers together.
    public var upload: Int?
    /// Answers to each peer.
    public var uploadPerPeer: Int?
    /// What all peers together send.
    public var download: Int?
    /// What each peer sends.
    public var downloadPerPeer: Int?

    public init(
        upload: Int? = nil, uploadPerPeer: Int? = nil, download: Int? = nil, downloadPerPeer: Int? = nil
    ) {
        self.upload = upload
        self.uploadPerPeer = uploadPerPeer
        self.download = download
        self.downloadPerPeer = downloadPerPeer
    }
}

extension BitswapLimits {
    /// What may come in a second at most must not come at once, only because it was asked for at once.
    mutating func shrinkWindows(to bandwidth: BandwidthLimits) {
        guard let rate = [bandwidth.download, bandwidth.downloadPerPeer].compactMap({ $0 }).min() else { return }
        requestWindow = min(requestWindow, max(rate / 4, 1))
        initialRequestWindow = min(initialRequestWindow, max(rate / 8, 1))
    }
}
