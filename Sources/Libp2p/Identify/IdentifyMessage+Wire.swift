internal import CWire
import NIOCore

extension IdentifyMessage {
    init(decoding bytes: [UInt8], limits: SwarmLimits) throws(Libp2pError) {
        var status = CWIRE_OK
        var bounds = cwire_identify_limits(
            message_bytes: limits.identifyBytes, listen_addresses: limits.identifyAddresses,
            protocols: limits.identifyProtocols)
        guard let message = cwire_identify_decode(bytes, bytes.count, &bounds, &status) else {
            throw Libp2pError(
                status.isLimit ? .limitReached : .protocolViolation,
                "The peer's identify message cannot be read: \(String(cString: cwire_status_text(status))).")
        }
        defer { cwire_identify_free(message) }
        publicKey = [UInt8](present: cwire_identify_public_key(message))
        observedAddress = [UInt8](present: cwire_identify_observed_address(message))
        protocolVersion = [UInt8](present: cwire_identify_protocol_version(message))
        agentVersion = [UInt8](present: cwire_identify_agent_version(message))
        signedPeerRecord = [UInt8](present: cwire_identify_signed_peer_record(message))
        listenAddresses = (0..<cwire_identify_listen_address_count(message)).map {
            [UInt8](present: cwire_identify_listen_address(message, $0)) ?? []
        }
        protocols = (0..<cwire_identify_protocol_count(message)).map {
            [UInt8](present: cwire_identify_protocol(message, $0)) ?? []
        }
    }

    func encoded() throws(Libp2pError) -> [UInt8] {
        guard let message = cwire_identify_create() else { throw Self.outOfMemory }
        defer { cwire_identify_free(message) }
        var worked = true
        func set(_ bytes: [UInt8]?, _ setter: (OpaquePointer, UnsafePointer<UInt8>, Int) -> cwire_status) {
            guard let bytes else { return }
            if setter(message, bytes, bytes.count) != CWIRE_OK { worked = false }
        }
        set(publicKey) { cwire_identify_set_public_key($0, $1, $2) }
        set(observedAddress) { cwire_identify_set_observed_address($0, $1, $2) }
        set(protocolVersion) { cwire_identify_set_protocol_version($0, $1, $2) }
        set(agentVersion) { cwire_identify_set_agent_version($0, $1, $2) }
        set(signedPeerRecord) { cwire_identify_set_signed_peer_record($0, $1, $2) }
        for address in listenAddresses { set(address) { cwire_identify_add_listen_address($0, $1, $2) } }
        for name in protocols { set(name) { cwire_identify_add_protocol($0, $1, $2) } }
        guard worked else { throw Self.outOfMemory }
        let size = cwire_identify_size(message)
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = cwire_identify_write(message, buffer.baseAddress, size)
        }
    }

    private static var outOfMemory: Libp2pError {
        Libp2pError(.internal, "There is no memory for an identify message.")
    }

    /// Appends a message behind its length.
    static func frame(_ body: [UInt8], into bytes: inout ByteBuffer) {
        bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: 16) { space in
            cwire_frame_header_write(body.count, space.bindMemory(to: UInt8.self).baseAddress, space.count)
        }
        bytes.writeBytes(body)
    }

    /// The length of the header at the start of `bytes` and of the message that follows it.
    static func frameHeader(
        _ bytes: [UInt8], limits: SwarmLimits
    ) throws(Libp2pError) -> (header: Int, body: Int) {
        var header = 0
        var body = 0
        let status = cwire_frame_header_read(bytes, bytes.count, limits.identifyBytes, &header, &body)
        guard status == CWIRE_OK else {
            throw Libp2pError(
                status.isLimit ? .limitReached : .protocolViolation,
                "The peer's identify message cannot be read: \(String(cString: cwire_status_text(status))).")
        }
        return (header, body)
    }
}

extension cwire_status {
    fileprivate var isLimit: Bool { rawValue >= CWIRE_LIMIT_FRAME_BYTES.rawValue }
}

extension [UInt8] {
    init?(present slice: cwire_bytes) {
        guard let data = slice.data else { return nil }
        self.init(UnsafeBufferPointer(start: data, count: slice.length))
    }
}
