import Logging
import Multiformats
import NIOCore
import PeerIdentity
import NIOConcurrencyHelpers

/// What a swarm tells about itself now. Each change has a higher version.
struct OwnIdentity {
    var version: UInt64
    /// Numbers signed records so that they rise over restarts too.
    var firstRecordNumber: UInt64
    /// The signed record of a version.
    var signedRecord: (version: UInt64, bytes: [UInt8])?
}

extension Swarm {
    /// More are not announced: nobody needs so many, and small readers take messages of 4 KiB at most.
    private static let mostAnnounced = 32

    func registerIdentify() {
        // Through the connection, so that a swarm that is dropped does not hold itself.
        handle([.identify]) { _, connection in connection.swarm.identifySender(for: connection) }
        handle([.identifyPush]) { _, connection in connection.swarm.identifyReceiver(for: connection, isPush: true) }
    }

    private func identifySender(for connection: Connection) -> IdentifySender {
        IdentifySender(message: identifyMessage(for: connection), limit: configuration.identifyTimeout)
    }

    private func identifyReceiver(for connection: Connection, isPush: Bool) -> IdentifyReceiver {
        IdentifyReceiver(limits: configuration.limits, limit: configuration.identifyTimeout) { [self] result in
            received(result, from: connection, isPush: isPush)
        }
    }

    /// Asks the peer of a new connection who it is.
    func identify(_ connection: Connection) {
        let opened = connection.openStream([.identify]) { [self] _ in identifyReceiver(for: connection, isPush: false) }
        opened.whenFailure { [logger] error in
            logger.debug(
                "Peer does not identify itself", metadata: ["peer": "\(connection.peer)", "error": "\(error)"])
        }
    }

    private func received(
        _ result: Result<IdentifyMessage, Libp2pError>, from connection: Connection, isPush: Bool
    ) {
        do throws(Libp2pError) {
            if isPush, !connection.countPush(limit: configuration.limits.identifyPushesPerMinute) {
                throw Libp2pError(.limitReached, "The peer pushes identify messages too often.")
            }
            var info = connection.identifyInfo ?? IdentifyInfo()
            let isFirst = connection.identifyInfo == nil
            try info.update(with: try result.get(), from: connection.peer)
            connection.identified(as: info)
            logger.debug(
                "Identified",
                metadata: [
                    "peer": "\(connection.peer)", "agent": "\(info.agentVersion ?? "")", "push": "\(isPush)",
                ])
            emit(.identified(connection, info))
            // What changed while it was not yet known whether the peer takes pushes.
            if isFirst { push(to: connection) }
        } catch {
            if error.code == .limitReached { account.identifyMessageRefused() }
            logger.debug(
                "Identify failed", metadata: ["peer": "\(connection.peer)", "error": "\(error)", "push": "\(isPush)"])
        }
    }

    /// Addresses or protocols have changed: tells every peer that takes pushes.
    func pushIdentify() {
        state.withLockedValue { $0.ownIdentity.version += 1 }
        for connection in connections() {
            connection.eventLoop.execute { [self] in push(to: connection) }
        }
    }

    private func push(to connection: Connection) {
        let version = state.withLockedValue { $0.ownIdentity.version }
        guard connection.identifyInfo?.protocols.contains(.identifyPush) == true,
            connection.toldVersion.map({ $0 < version }) ?? false
        else { return }
        let opened = connection.openStream([.identifyPush]) { [self] _ in identifySender(for: connection) }
        opened.whenFailure { [logger] error in
            logger.debug("Identify push failed", metadata: ["peer": "\(connection.peer)", "error": "\(error)"])
        }
    }

    /// What this node says to a peer, ready to be sent.
    private func identifyMessage(for connection: Connection) -> ByteBuffer {
        let (version, addresses, protocols) = state.withLockedValue {
            ($0.ownIdentity.version, Array($0.listeners.flatMap(\.addresses).prefix(Self.mostAnnounced)), $0.protocols)
        }
        connection.told(version)
        var message = IdentifyMessage()
        message.publicKey = identity.publicKey.protobufBytes
        message.listenAddresses = addresses.map(\.bytes)
        message.protocols = protocols.map { Array($0.name.utf8) }
        message.observedAddress = connection.remoteAddress.bytes
        message.protocolVersion = Array(configuration.protocolVersion.utf8)
        message.agentVersion = Array(configuration.agentVersion.utf8)
        message.signedPeerRecord = signedRecord(version, message.listenAddresses)
        do {
            return try message.framed()
        } catch {
            // Out of memory: the peer sees a stream without a message.
            logger.info("Cannot write an identify message", metadata: ["error": "\(error)"])
            return ByteBuffer()
        }
    }

    private func signedRecord(_ version: UInt64, _ addresses: [[UInt8]]) -> [UInt8]? {
        let (cached, firstNumber) = state.withLockedValue {
            ($0.ownIdentity.signedRecord, $0.ownIdentity.firstRecordNumber)
        }
        if let cached, cached.version == version { return cached.bytes }
        let record = PeerRecord(peer: peerID, number: firstNumber &+ version, addresses: addresses)
        guard let bytes = try? record.signed(with: identity) else { return nil }
        state.withLockedValue { $0.ownIdentity.signedRecord = (version, bytes) }
        return bytes
    }
}
