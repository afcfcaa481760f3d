#include "control.h"
#include "generated/noise.pb-c.h"
#include "protobuf.h"

#include <stdlib.h>

// The handle is the message that protoc-c made.
typedef SwiftBitswap__Noise__NoiseHandshakePayload message_type;
typedef SwiftBitswap__Noise__NoiseExtensions extensions_type;

static message_type *from(cwire_noise_payload *payload) { return (message_type *)payload; }
static const message_type *read_from(const cwire_noise_payload *payload) { return (const message_type *)payload; }

cwire_noise_payload *cwire_noise_payload_decode(
    const uint8_t *data, size_t length, const cwire_noise_payload_limits *limits, cwire_status *status) {
    if (length > limits->message_bytes) {
        *status = CWIRE_LIMIT_MESSAGE_BYTES;
        return NULL;
    }
    cwire_rule extension_rules[] = {
        {1, CWIRE_WIRE_BYTES, limits->certificate_hashes, CWIRE_LIMIT_CERTIFICATE_HASHES, NULL, 0, 0},
        {2, CWIRE_WIRE_BYTES, limits->stream_muxers, CWIRE_LIMIT_PROTOCOLS, NULL, 0, 0},
    };
    cwire_rule rules[] = {
        {1, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {2, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {4, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, extension_rules, sizeof extension_rules / sizeof *extension_rules, 0},
    };
    *status = cwire_check(data, length, rules, sizeof rules / sizeof *rules);
    if (*status != CWIRE_OK) return NULL;
    message_type *message = swift_bitswap__noise__noise_handshake_payload__unpack(NULL, length, data);
    if (message == NULL) *status = CWIRE_MALFORMED;
    return (cwire_noise_payload *)message;
}

cwire_noise_payload *cwire_noise_payload_create(void) {
    message_type *message = malloc(sizeof *message);
    if (message != NULL) swift_bitswap__noise__noise_handshake_payload__init(message);
    return (cwire_noise_payload *)message;
}

void cwire_noise_payload_free(cwire_noise_payload *payload) {
    swift_bitswap__noise__noise_handshake_payload__free_unpacked(from(payload), NULL);
}

cwire_bytes cwire_noise_payload_identity_key(const cwire_noise_payload *payload) {
    return cwire_binary_get(read_from(payload)->has_identity_key, &read_from(payload)->identity_key);
}

cwire_bytes cwire_noise_payload_identity_signature(const cwire_noise_payload *payload) {
    return cwire_binary_get(read_from(payload)->has_identity_sig, &read_from(payload)->identity_sig);
}

cwire_status cwire_noise_payload_set_identity_key(cwire_noise_payload *payload, const uint8_t *data, size_t length) {
    cwire_status status = cwire_binary_set(&from(payload)->identity_key, data, length);
    if (status == CWIRE_OK) from(payload)->has_identity_key = 1;
    return status;
}

cwire_status cwire_noise_payload_set_identity_signature(
    cwire_noise_payload *payload, const uint8_t *data, size_t length) {
    cwire_status status = cwire_binary_set(&from(payload)->identity_sig, data, length);
    if (status == CWIRE_OK) from(payload)->has_identity_sig = 1;
    return status;
}

// The extensions to write into, made when there are none.
static extensions_type *extensions_of(cwire_noise_payload *payload) {
    message_type *message = from(payload);
    if (message->extensions == NULL) {
        message->extensions = malloc(sizeof *message->extensions);
        if (message->extensions != NULL) swift_bitswap__noise__noise_extensions__init(message->extensions);
    }
    return message->extensions;
}

#define EXTENSION(field, name)                                                                                       \
    size_t cwire_noise_payload_##name##_count(const cwire_noise_payload *payload) {                                  \
        const extensions_type *extensions = read_from(payload)->extensions;                                          \
        return extensions == NULL ? 0 : extensions->n_##field;                                                       \
    }                                                                                                                \
    cwire_bytes cwire_noise_payload_##name(const cwire_noise_payload *payload, size_t index) {                       \
        const extensions_type *extensions = read_from(payload)->extensions;                                          \
        if (extensions == NULL) return cwire_binary_get(false, NULL);                                                \
        return cwire_binary_at(extensions->field, extensions->n_##field, index);                                     \
    }                                                                                                                \
    cwire_status cwire_noise_payload_add_##name(cwire_noise_payload *payload, const uint8_t *data, size_t length) {  \
        extensions_type *extensions = extensions_of(payload);                                                        \
        if (extensions == NULL) return CWIRE_OUT_OF_MEMORY;                                                          \
        return cwire_binary_add(&extensions->field, &extensions->n_##field, data, length);                           \
    }

EXTENSION(stream_muxers, stream_muxer)
EXTENSION(webtransport_certhashes, certificate_hash)

size_t cwire_noise_payload_size(const cwire_noise_payload *payload) {
    return swift_bitswap__noise__noise_handshake_payload__get_packed_size(read_from(payload));
}

size_t cwire_noise_payload_write(const cwire_noise_payload *payload, uint8_t *buffer, size_t capacity) {
    if (cwire_noise_payload_size(payload) > capacity) return 0;
    return swift_bitswap__noise__noise_handshake_payload__pack(read_from(payload), buffer);
}
