/*
 * Every decoder of CWire on input that libFuzzer makes up, under Address and Undefined Behaviour Sanitizer. The first
 * byte of an input names the decoder. What it decodes is read to the last byte, held against its limits, and, where it
 * can be written again, written again.
 */
#include "CWire.h"

#include <stdlib.h>
#include <string.h>

static volatile uint8_t sink;

static void require(bool condition) {
    if (!condition) abort();
}

static void read_all(cwire_bytes bytes) {
    for (size_t i = 0; i < bytes.length; i++) sink ^= bytes.data[i];
}

static void inside(cwire_span span, size_t length, size_t maximum) {
    require((uint64_t)span.offset + span.length <= length);
    require(span.length <= maximum);
}

/// The write function fills exactly what the size function says, and nothing when that is one byte more than there is.
#define WRITTEN_AGAIN(size, write)                             \
    do {                                                       \
        size_t size_ = (size);                                 \
        uint8_t *buffer = malloc(size_ ? size_ : 1);           \
        size_t capacity = size_;                               \
        require((write) == size_);                             \
        if (size_) {                                           \
            capacity = size_ - 1;                              \
            require((write) == 0);                             \
        }                                                      \
        free(buffer);                                          \
    } while (0)

static void varint(const uint8_t *data, size_t length) {
    uint64_t value;
    size_t consumed, body;
    if (cwire_uvarint_read(data, length, &value, &consumed) == CWIRE_OK) {
        require(consumed <= length && consumed == cwire_uvarint_size(value));
        WRITTEN_AGAIN(consumed, cwire_uvarint_write(value, buffer, capacity));
    }
    if (cwire_frame_header_read(data, length, 4096, &consumed, &body) == CWIRE_OK) {
        require(consumed <= length && body <= 4096);
    }
}

static void key(const uint8_t *data, size_t length) {
    cwire_key key;
    if (cwire_key_decode(data, length, 1024, &key) != CWIRE_OK) return;
    require(length <= 1024);
    read_all(key.data);
    WRITTEN_AGAIN(
        cwire_key_size(key.type, key.data.length),
        cwire_key_write(key.type, key.data.data, key.data.length, buffer, capacity));
}

static void noise_payload(const uint8_t *data, size_t length) {
    const cwire_noise_payload_limits limits = {512, 4, 3};
    cwire_status status;
    cwire_noise_payload *payload = cwire_noise_payload_decode(data, length, &limits, &status);
    if (!payload) return;
    read_all(cwire_noise_payload_identity_key(payload));
    read_all(cwire_noise_payload_identity_signature(payload));
    require(cwire_noise_payload_stream_muxer_count(payload) <= 4);
    require(cwire_noise_payload_certificate_hash_count(payload) <= 3);
    for (size_t i = 0; i <= 4; i++) read_all(cwire_noise_payload_stream_muxer(payload, i));
    for (size_t i = 0; i <= 3; i++) read_all(cwire_noise_payload_certificate_hash(payload, i));
    WRITTEN_AGAIN(cwire_noise_payload_size(payload), cwire_noise_payload_write(payload, buffer, capacity));
    cwire_noise_payload_free(payload);
}

static void identify(const uint8_t *data, size_t length) {
    const cwire_identify_limits limits = {512, 4, 3};
    cwire_status status;
    cwire_identify *message = cwire_identify_decode(data, length, &limits, &status);
    if (!message) return;
    read_all(cwire_identify_public_key(message));
    read_all(cwire_identify_observed_address(message));
    read_all(cwire_identify_protocol_version(message));
    read_all(cwire_identify_agent_version(message));
    read_all(cwire_identify_signed_peer_record(message));
    require(cwire_identify_listen_address_count(message) <= 4 && cwire_identify_protocol_count(message) <= 3);
    for (size_t i = 0; i <= 4; i++) read_all(cwire_identify_listen_address(message, i));
    for (size_t i = 0; i <= 3; i++) read_all(cwire_identify_protocol(message, i));
    WRITTEN_AGAIN(cwire_identify_size(message), cwire_identify_write(message, buffer, capacity));
    cwire_identify_free(message);
}

static void envelope(const uint8_t *data, size_t length) {
    cwire_status status;
    cwire_envelope *message = cwire_envelope_decode(data, length, 512, &status);
    if (!message) return;
    cwire_envelope_fields fields = cwire_envelope_get(message);
    read_all(fields.public_key);
    read_all(fields.payload_type);
    read_all(fields.payload);
    read_all(fields.signature);
    WRITTEN_AGAIN(cwire_envelope_size(&fields), cwire_envelope_write(&fields, buffer, capacity));
    cwire_envelope_free(message);
}

static void peer_record(const uint8_t *data, size_t length) {
    const cwire_peer_record_limits limits = {512, 4};
    cwire_status status;
    cwire_peer_record *record = cwire_peer_record_decode(data, length, &limits, &status);
    if (!record) return;
    read_all(cwire_peer_record_peer_id(record));
    require(cwire_peer_record_address_count(record) <= 4);
    for (size_t i = 0; i <= 4; i++) read_all(cwire_peer_record_address(record, i));
    WRITTEN_AGAIN(cwire_peer_record_size(record), cwire_peer_record_write(record, buffer, capacity));
    cwire_peer_record_free(record);
}

static void bitswap(const uint8_t *data, size_t length) {
    const cwire_bitswap_limits limits = {2048, 8, 4, 6, 100, 20, 1000};
    cwire_bitswap_message message;
    cwire_bitswap_message_init(&message);
    if (cwire_bitswap_decode(data, length, &limits, &message) == CWIRE_OK) {
        require(length <= 2048);
        require(message.want_count <= 8 && message.block_count <= 4 && message.presence_count <= 6);
        for (size_t i = 0; i < message.want_count; i++) inside(message.wants[i].cid, length, 100);
        for (size_t i = 0; i < message.presence_count; i++) inside(message.presences[i].cid, length, 100);
        for (size_t i = 0; i < message.block_count; i++) {
            inside(message.blocks[i].prefix, length, 20);
            inside(message.blocks[i].data, length, 1000);
            require(!message.blocks[i].legacy || message.blocks[i].prefix.length == 0);
        }
        WRITTEN_AGAIN(
            cwire_bitswap_wantlist_size(message.wants, message.want_count, message.full),
            cwire_bitswap_wantlist_write(
                data, message.wants, message.want_count, message.full, buffer, capacity));
    } else {
        require(message.want_count == 0 && message.block_count == 0 && message.presence_count == 0);
    }
    cwire_bitswap_message_free(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const decoders[])(const uint8_t *, size_t) = {
        bitswap, varint, key, noise_payload, identify, envelope, peer_record,
    };
    if (size == 0) return 0;
    // A copy of the very size, so that one byte past the end is seen.
    size_t length = size - 1;
    uint8_t *copy = malloc(length ? length : 1);
    memcpy(copy, data + 1, length);
    decoders[data[0] % (sizeof decoders / sizeof *decoders)](copy, length);
    free(copy);
    return 0;
}
