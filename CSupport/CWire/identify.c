#include "control.h"
#include "generated/identify.pb-c.h"
#include "protobuf.h"

#include <stdlib.h>

// The handle is the message that protoc-c made.
typedef SwiftBitswap__Identify__Identify message_type;

static message_type *from(cwire_identify *identify) { return (message_type *)identify; }
static const message_type *read_from(const cwire_identify *identify) { return (const message_type *)identify; }

cwire_identify *cwire_identify_decode(
    const uint8_t *data, size_t length, const cwire_identify_limits *limits, cwire_status *status) {
    if (length > limits->message_bytes) {
        *status = CWIRE_LIMIT_MESSAGE_BYTES;
        return NULL;
    }
    cwire_rule rules[] = {
        {1, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {2, CWIRE_WIRE_BYTES, limits->listen_addresses, CWIRE_LIMIT_ADDRESSES, NULL, 0, 0},
        {3, CWIRE_WIRE_BYTES, limits->protocols, CWIRE_LIMIT_PROTOCOLS, NULL, 0, 0},
        {4, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {5, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {6, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {8, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
    };
    *status = cwire_check(data, length, rules, sizeof rules / sizeof *rules);
    if (*status != CWIRE_OK) return NULL;
    message_type *message = swift_bitswap__identify__identify__unpack(NULL, length, data);
    if (message == NULL) *status = CWIRE_MALFORMED;
    return (cwire_identify *)message;
}

cwire_identify *cwire_identify_create(void) {
    message_type *message = malloc(sizeof *message);
    if (message != NULL) swift_bitswap__identify__identify__init(message);
    return (cwire_identify *)message;
}

void cwire_identify_free(cwire_identify *identify) {
    swift_bitswap__identify__identify__free_unpacked(from(identify), NULL);
}

// The field on the wire, and its name here.
#define OPTIONAL_BYTES(field, name)                                                                                 \
    cwire_bytes cwire_identify_##name(const cwire_identify *identify) {                                             \
        return cwire_binary_get(read_from(identify)->has_##field, &read_from(identify)->field);                     \
    }                                                                                                               \
    cwire_status cwire_identify_set_##name(cwire_identify *identify, const uint8_t *data, size_t length) {          \
        cwire_status status = cwire_binary_set(&from(identify)->field, data, length);                               \
        if (status == CWIRE_OK) from(identify)->has_##field = 1;                                                    \
        return status;                                                                                              \
    }

#define REPEATED_BYTES(field, name)                                                                                 \
    size_t cwire_identify_##name##_count(const cwire_identify *identify) { return read_from(identify)->n_##field; } \
    cwire_bytes cwire_identify_##name(const cwire_identify *identify, size_t index) {                               \
        return cwire_binary_at(read_from(identify)->field, read_from(identify)->n_##field, index);                  \
    }                                                                                                               \
    cwire_status cwire_identify_add_##name(cwire_identify *identify, const uint8_t *data, size_t length) {          \
        return cwire_binary_add(&from(identify)->field, &from(identify)->n_##field, data, length);                  \
    }

OPTIONAL_BYTES(publickey, public_key)
OPTIONAL_BYTES(observedaddr, observed_address)
OPTIONAL_BYTES(protocolversion, protocol_version)
OPTIONAL_BYTES(agentversion, agent_version)
OPTIONAL_BYTES(signedpeerrecord, signed_peer_record)
REPEATED_BYTES(listenaddrs, listen_address)
REPEATED_BYTES(protocols, protocol)

size_t cwire_identify_size(const cwire_identify *identify) {
    return swift_bitswap__identify__identify__get_packed_size(read_from(identify));
}

size_t cwire_identify_write(const cwire_identify *identify, uint8_t *buffer, size_t capacity) {
    if (cwire_identify_size(identify) > capacity) return 0;
    return swift_bitswap__identify__identify__pack(read_from(identify), buffer);
}
