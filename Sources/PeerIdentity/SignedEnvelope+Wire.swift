internal import CWire
import Multiformats

extension SignedEnvelope {
    /// Reads an envelope without a look at its signature.
    init(unverified bytes: UnsafeRawBufferPointer) throws(IdentityError) {
        var status = CWIRE_OK
        guard
            let envelope = cwire_envelope_decode(
                bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count, IdentityLimits.envelopeBytes, &status)
        else {
            throw IdentityError(
                .invalidEnvelope, "These \(bytes.count) bytes are no signed envelope: \(WireText.of(status)).")
        }
        defer { cwire_envelope_free(envelope) }
        let fields = cwire_envelope_get(envelope)
        self.init(
            publicKey: try PublicKey(
                decoding: UnsafeRawBufferPointer(start: fields.public_key.data, count: fields.public_key.length)),
            payloadType: [UInt8](fields.payload_type), payload: [UInt8](fields.payload),
            signature: [UInt8](fields.signature))
    }

    /// The envelope as it goes over the wire.
    public var bytes: [UInt8] {
        let key = publicKey.protobufBytes
        return key.withUnsafeBufferPointer { key in
            payloadType.withUnsafeBufferPointer { payloadType in
                payload.withUnsafeBufferPointer { payload in
                    signature.withUnsafeBufferPointer { signature in
                        var fields = cwire_envelope_fields(
                            public_key: cwire_bytes(key), payload_type: cwire_bytes(payloadType),
                            payload: cwire_bytes(payload), signature: cwire_bytes(signature))
                        let size = cwire_envelope_size(&fields)
                        return [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
                            initialized = cwire_envelope_write(&fields, buffer.baseAddress, size)
                        }
                    }
                }
            }
        }
    }

    /// What is signed: domain, type and payload, each behind its length as an unsigned varint.
    static func signedBytes(domain: String, payloadType: [UInt8], payload: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(domain.utf8.count + payloadType.count + payload.count + 3 * UVarint.maximumLength)
        for part in [Array(domain.utf8), payloadType, payload] {
            UVarint.encode(UInt64(part.count), into: &bytes)
            bytes.append(contentsOf: part)
        }
        return bytes
    }
}

extension [UInt8] {
    init(_ slice: cwire_bytes) {
        self.init(UnsafeRawBufferPointer(start: slice.data, count: slice.length))
    }
}

extension cwire_bytes {
    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        self.init(data: bytes.baseAddress, length: bytes.count)
    }
}
