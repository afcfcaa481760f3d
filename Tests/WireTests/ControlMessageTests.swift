import CWire
import Testing

/// Golden bytes come from Google's protoc --encode, not from the code under test.
@Suite struct ControlMessageTests {
    static let noise = hex(
        "0a0608011202414212035349472220"
            + "0a021220120c2f79616d75782f312e302e30120c2f6d706c65782f362e372e30")
    static let identify = hex(
        """
        0a034b4559 1208047f000001060fa1 1208040a000001060fa1 1a102f697066732f70696e672f312e302e30
        1a132f697066732f626974737761702f312e322e30 2208047f00000106d431 2a0a697066732f302e312e30
        320c6b75626f2f302e32322e302f 4200
        """)
    static let envelope = hex("0a034b455912020301 1a075041594c4f4144 2a03534947")
    static let record = hex("0a0400024142 10bdaadeec05 1a0a0a08047f000001060fa1 1a00")

    @Test func noisePayload() throws {
        var status = CWIRE_MALFORMED
        var limits = cwire_noise_payload_limits(
            message_bytes: Self.noise.count, stream_muxers: 2, certificate_hashes: 1)
        let payload = try #require(cwire_noise_payload_decode(Self.noise, Self.noise.count, &limits, &status))
        defer { cwire_noise_payload_free(payload) }
        #expect(status == CWIRE_OK)
        #expect(array(cwire_noise_payload_identity_key(payload)) == hex("080112024142"))
        #expect(array(cwire_noise_payload_identity_signature(payload)) == Array("SIG".utf8))
        #expect(cwire_noise_payload_stream_muxer_count(payload) == 2)
        #expect(array(cwire_noise_payload_stream_muxer(payload, 0)) == Array("/yamux/1.0.0".utf8))
        #expect(array(cwire_noise_payload_stream_muxer(payload, 1)) == Array("/mplex/6.7.0".utf8))
        #expect(array(cwire_noise_payload_stream_muxer(payload, 2)) == nil)
        #expect(array(cwire_noise_payload_certificate_hash(payload, 0)) == [0x12, 0x20])

        let built = try #require(cwire_noise_payload_create())
        defer { cwire_noise_payload_free(built) }
        #expect(cwire_noise_payload_size(built) == 0)
        #expect(array(cwire_noise_payload_identity_key(built)) == nil)
        #expect(cwire_noise_payload_add_stream_muxer(built, Array("/yamux/1.0.0".utf8), 12) == CWIRE_OK)
        #expect(cwire_noise_payload_add_stream_muxer(built, Array("/mplex/6.7.0".utf8), 12) == CWIRE_OK)
        #expect(cwire_noise_payload_add_certificate_hash(built, [0x12, 0x20], 2) == CWIRE_OK)
        // The second call replaces what the first one set.
        #expect(cwire_noise_payload_set_identity_signature(built, [1, 2, 3, 4, 5], 5) == CWIRE_OK)
        #expect(cwire_noise_payload_set_identity_signature(built, Array("SIG".utf8), 3) == CWIRE_OK)
        #expect(cwire_noise_payload_set_identity_key(built, hex("080112024142"), 6) == CWIRE_OK)
        let bytes = try encoded(size: cwire_noise_payload_size(built)) { cwire_noise_payload_write(built, $0, $1) }
        #expect(bytes == Self.noise)
    }

    @Test(arguments: [
        ("muxers", 45, 1, 1, CWIRE_LIMIT_PROTOCOLS), ("hashes", 45, 2, 0, CWIRE_LIMIT_CERTIFICATE_HASHES),
        ("bytes", -1, 2, 1, CWIRE_LIMIT_MESSAGE_BYTES),
    ])
    func noiseLimits(name: String, bytes: Int, muxers: Int, hashes: Int, expected: cwire_status) {
        var status = CWIRE_OK
        var limits = cwire_noise_payload_limits(
            message_bytes: bytes < 0 ? Self.noise.count - 1 : Self.noise.count, stream_muxers: muxers,
            certificate_hashes: hashes)
        #expect(cwire_noise_payload_decode(Self.noise, Self.noise.count, &limits, &status) == nil)
        #expect(status == expected, "\(name)")
    }

    @Test func extensionsInTwoPiecesAreMergedAndCountedTogether() throws {
        let bytes = hex("2203 120161 2203 120162")
        var status = CWIRE_OK
        var limits = cwire_noise_payload_limits(message_bytes: 100, stream_muxers: 2, certificate_hashes: 0)
        let payload = try #require(cwire_noise_payload_decode(bytes, bytes.count, &limits, &status))
        defer { cwire_noise_payload_free(payload) }
        #expect(cwire_noise_payload_stream_muxer_count(payload) == 2)
        limits.stream_muxers = 1
        #expect(cwire_noise_payload_decode(bytes, bytes.count, &limits, &status) == nil)
        #expect(status == CWIRE_LIMIT_PROTOCOLS)
    }

    @Test func aZeroByteDoesNotCutAText() throws {
        let bytes = hex("2205 1203610062")
        var status = CWIRE_OK
        var limits = cwire_noise_payload_limits(message_bytes: 100, stream_muxers: 2, certificate_hashes: 0)
        let payload = try #require(cwire_noise_payload_decode(bytes, bytes.count, &limits, &status))
        defer { cwire_noise_payload_free(payload) }
        #expect(array(cwire_noise_payload_stream_muxer(payload, 0)) == [0x61, 0, 0x62])
    }

    @Test func identifyMessage() throws {
        var status = CWIRE_MALFORMED
        var limits = cwire_identify_limits(message_bytes: Self.identify.count, listen_addresses: 2, protocols: 2)
        let identify = try #require(cwire_identify_decode(Self.identify, Self.identify.count, &limits, &status))
        defer { cwire_identify_free(identify) }
        #expect(status == CWIRE_OK)
        #expect(array(cwire_identify_public_key(identify)) == Array("KEY".utf8))
        #expect(array(cwire_identify_observed_address(identify)) == hex("047f00000106d431"))
        #expect(array(cwire_identify_protocol_version(identify)) == Array("ipfs/0.1.0".utf8))
        #expect(array(cwire_identify_agent_version(identify)) == Array("kubo/0.22.0/".utf8))
        // Present and empty is not absent.
        #expect(array(cwire_identify_signed_peer_record(identify)) == [])
        #expect(cwire_identify_listen_address_count(identify) == 2)
        #expect(array(cwire_identify_listen_address(identify, 1)) == hex("040a000001060fa1"))
        #expect(array(cwire_identify_listen_address(identify, 2)) == nil)
        #expect(cwire_identify_protocol_count(identify) == 2)
        #expect(array(cwire_identify_protocol(identify, 1)) == Array("/ipfs/bitswap/1.2.0".utf8))

        let built = try #require(cwire_identify_create())
        defer { cwire_identify_free(built) }
        #expect(cwire_identify_set_signed_peer_record(built, nil, 0) == CWIRE_OK)
        #expect(cwire_identify_set_agent_version(built, Array("kubo/0.22.0/".utf8), 12) == CWIRE_OK)
        #expect(cwire_identify_set_protocol_version(built, Array("ipfs/0.1.0".utf8), 10) == CWIRE_OK)
        #expect(cwire_identify_set_observed_address(built, hex("047f00000106d431"), 8) == CWIRE_OK)
        #expect(cwire_identify_add_protocol(built, Array("/ipfs/ping/1.0.0".utf8), 16) == CWIRE_OK)
        #expect(cwire_identify_add_protocol(built, Array("/ipfs/bitswap/1.2.0".utf8), 19) == CWIRE_OK)
        #expect(cwire_identify_add_listen_address(built, hex("047f000001060fa1"), 8) == CWIRE_OK)
        #expect(cwire_identify_add_listen_address(built, hex("040a000001060fa1"), 8) == CWIRE_OK)
        #expect(cwire_identify_set_public_key(built, Array("KEY".utf8), 3) == CWIRE_OK)
        let bytes = try encoded(size: cwire_identify_size(built)) { cwire_identify_write(built, $0, $1) }
        #expect(bytes == Self.identify)
    }

    @Test(arguments: [
        (0, 1, 2, CWIRE_LIMIT_ADDRESSES), (0, 2, 1, CWIRE_LIMIT_PROTOCOLS), (1, 2, 2, CWIRE_LIMIT_MESSAGE_BYTES),
    ])
    func identifyLimits(fewer: Int, addresses: Int, protocols: Int, expected: cwire_status) {
        var status = CWIRE_OK
        var limits = cwire_identify_limits(
            message_bytes: Self.identify.count - fewer, listen_addresses: addresses, protocols: protocols)
        #expect(cwire_identify_decode(Self.identify, Self.identify.count, &limits, &status) == nil)
        #expect(status == expected)
    }

    @Test func framesOfIdentifyAddUp() throws {
        let bytes = Self.identify + hex("1a0161 32026162")
        var status = CWIRE_OK
        var limits = cwire_identify_limits(message_bytes: 1000, listen_addresses: 10, protocols: 10)
        let identify = try #require(cwire_identify_decode(bytes, bytes.count, &limits, &status))
        defer { cwire_identify_free(identify) }
        #expect(cwire_identify_protocol_count(identify) == 3)
        #expect(array(cwire_identify_agent_version(identify)) == [0x61, 0x62])
    }

    @Test func signedEnvelope() throws {
        var status = CWIRE_MALFORMED
        let envelope = try #require(
            cwire_envelope_decode(Self.envelope, Self.envelope.count, Self.envelope.count, &status))
        defer { cwire_envelope_free(envelope) }
        var fields = cwire_envelope_get(envelope)
        #expect(array(fields.public_key) == Array("KEY".utf8))
        #expect(array(fields.payload_type) == [3, 1])
        #expect(array(fields.payload) == Array("PAYLOAD".utf8))
        #expect(array(fields.signature) == Array("SIG".utf8))
        let bytes = try encoded(size: cwire_envelope_size(&fields)) { cwire_envelope_write(&fields, $0, $1) }
        #expect(bytes == Self.envelope)

        #expect(cwire_envelope_decode(Self.envelope, Self.envelope.count, Self.envelope.count - 1, &status) == nil)
        #expect(status == CWIRE_LIMIT_MESSAGE_BYTES)
        fields.payload.length = Int(Int32.max) + 1
        #expect(cwire_envelope_size(&fields) == 0)
    }

    @Test func peerRecord() throws {
        var status = CWIRE_MALFORMED
        var limits = cwire_peer_record_limits(message_bytes: Self.record.count, addresses: 2)
        let record = try #require(cwire_peer_record_decode(Self.record, Self.record.count, &limits, &status))
        defer { cwire_peer_record_free(record) }
        #expect(array(cwire_peer_record_peer_id(record)) == hex("00024142"))
        #expect(cwire_peer_record_sequence_number(record) == 1_570_215_229)
        #expect(cwire_peer_record_address_count(record) == 2)
        #expect(array(cwire_peer_record_address(record, 0)) == hex("047f000001060fa1"))
        #expect(array(cwire_peer_record_address(record, 1)) == [])
        #expect(array(cwire_peer_record_address(record, 2)) == nil)

        let built = try #require(cwire_peer_record_create(hex("00024142"), 4, 1_570_215_229))
        defer { cwire_peer_record_free(built) }
        #expect(cwire_peer_record_add_address(built, hex("047f000001060fa1"), 8) == CWIRE_OK)
        #expect(cwire_peer_record_add_address(built, nil, 0) == CWIRE_OK)
        let bytes = try encoded(size: cwire_peer_record_size(built)) { cwire_peer_record_write(built, $0, $1) }
        #expect(bytes == Self.record)

        limits.addresses = 1
        #expect(cwire_peer_record_decode(Self.record, Self.record.count, &limits, &status) == nil)
        #expect(status == CWIRE_LIMIT_ADDRESSES)
        limits = cwire_peer_record_limits(message_bytes: Self.record.count - 1, addresses: 2)
        #expect(cwire_peer_record_decode(Self.record, Self.record.count, &limits, &status) == nil)
        #expect(status == CWIRE_LIMIT_MESSAGE_BYTES)
    }

    /// Unknown fields and repeated singular ones cost protobuf-c many times their bytes.
    @Test(arguments: ["7800", "0a00", "7a00"]) func otherFieldsAtTheMaximumAndOnePast(field: String) throws {
        let maximum = Int(CWIRE_MAXIMUM_OTHER_FIELDS)
        let bytes = [[UInt8]](repeating: hex(field), count: maximum + 1).flatMap { $0 }
        var status = CWIRE_OK
        var limits = cwire_identify_limits(message_bytes: 1 << 16, listen_addresses: 4, protocols: 4)
        let identify = try #require(cwire_identify_decode(bytes, bytes.count - 2, &limits, &status))
        cwire_identify_free(identify)
        #expect(cwire_identify_decode(bytes, bytes.count, &limits, &status) == nil)
        #expect(status == CWIRE_LIMIT_OTHER_FIELDS)
        #expect(cwire_envelope_decode(bytes, bytes.count, 1 << 16, &status) == nil)
        #expect(status == CWIRE_LIMIT_OTHER_FIELDS)

        // In a submessage as in the message.
        let inner = [UInt8]([0x22, 0x82, 0x04]) + [[UInt8]](repeating: hex("7800"), count: maximum + 1).flatMap { $0 }
        var noise = cwire_noise_payload_limits(message_bytes: 1 << 16, stream_muxers: 4, certificate_hashes: 4)
        #expect(cwire_noise_payload_decode(inner, inner.count, &noise, &status) == nil)
        #expect(status == CWIRE_LIMIT_OTHER_FIELDS)
    }

    @Test func nothingIsAnEmptyMessage() throws {
        var status = CWIRE_MALFORMED
        var limits = cwire_identify_limits(message_bytes: 0, listen_addresses: 0, protocols: 0)
        let identify = try #require(cwire_identify_decode(nil, 0, &limits, &status))
        #expect(status == CWIRE_OK)
        #expect(array(cwire_identify_public_key(identify)) == nil)
        #expect(cwire_identify_size(identify) == 0)
        cwire_identify_free(identify)
        cwire_identify_free(nil)
        cwire_noise_payload_free(nil)
        cwire_envelope_free(nil)
        cwire_peer_record_free(nil)
    }
}
