internal import CWire

extension NoisePayload {
    /// Reads a `NoiseHandshakePayload`. WebTransport certificate hashes are skipped, and so is a muxer whose name is not
    /// UTF-8: it is none of ours.
    init(decoding bytes: [UInt8], limits: NoiseLimits) throws(Libp2pError) {
        let bounds = cwire_noise_payload_limits(
            message_bytes: limits.handshakeMessageBytes, stream_muxers: limits.muxers,
            certificate_hashes: limits.certificateHashes)
        var status = CWIRE_OK
        let decoded = withUnsafePointer(to: bounds) { cwire_noise_payload_decode(bytes, bytes.count, $0, &status) }
        guard let payload = decoded else {
            throw Libp2pError(
                .handshakeFailed,
                "The payload of the peer's Noise handshake is malformed: \(String(cString: cwire_status_text(status))).",
                limit: NoiseLimit(status).map { .noise($0) })
        }
        defer { cwire_noise_payload_free(payload) }

        func array(_ slice: cwire_bytes) -> [UInt8] {
            [UInt8](UnsafeRawBufferPointer(start: slice.data, count: slice.length))
        }
        let key = cwire_noise_payload_identity_key(payload)
        let signature = cwire_noise_payload_identity_signature(payload)
        guard key.data != nil, signature.data != nil else {
            throw Libp2pError(
                .handshakeFailed, "The peer's Noise handshake lacks its identity key or the signature that proves it.")
        }
        self.init(
            identityKey: array(key), identitySignature: array(signature),
            muxers: (0..<cwire_noise_payload_stream_muxer_count(payload)).compactMap { index in
                String(validating: array(cwire_noise_payload_stream_muxer(payload, index)), as: UTF8.self)
                    .map { ProtocolID($0) }
            })
    }

    /// The payload as it is sealed into a handshake message.
    func encoded() throws(Libp2pError) -> [UInt8] {
        guard let payload = cwire_noise_payload_create() else { throw Self.outOfMemory }
        defer { cwire_noise_payload_free(payload) }
        var statuses = [
            cwire_noise_payload_set_identity_key(payload, identityKey, identityKey.count),
            cwire_noise_payload_set_identity_signature(payload, identitySignature, identitySignature.count),
        ]
        for muxer in muxers {
            let name = Array(muxer.name.utf8)
            statuses.append(cwire_noise_payload_add_stream_muxer(payload, name, name.count))
        }
        guard statuses.allSatisfy({ $0 == CWIRE_OK }) else { throw Self.outOfMemory }
        let size = cwire_noise_payload_size(payload)
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
            initialized = cwire_noise_payload_write(payload, buffer.baseAddress, size)
        }
    }

    private static var outOfMemory: Libp2pError {
        Libp2pError(.internal, "No memory for the payload of a Noise handshake.")
    }
}

extension NoiseLimit {
    /// The limit that kept a payload from being decoded, if it was one.
    fileprivate init?(_ status: cwire_status) {
        switch status {
        case CWIRE_LIMIT_MESSAGE_BYTES: self = .handshakeMessageBytes
        case CWIRE_LIMIT_PROTOCOLS: self = .muxers
        case CWIRE_LIMIT_CERTIFICATE_HASHES: self = .certificateHashes
        default: return nil
        }
    }
}
