#include "control.h"
#include "generated/envelope.pb-c.h"
#include "protobuf.h"

// The handle is the message that protoc-c made.
typedef SwiftBitswap__Envelope__Envelope message_type;

cwire_envelope *cwire_envelope_decode(const uint8_t *data, size_t length, size_t maximum, cwire_status *status) {
    if (length > maximum) {
        *status = CWIRE_LIMIT_MESSAGE_BYTES;
        return NULL;
    }
    cwire_rule rules[] = {
        {1, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {2, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {3, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {5, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
    };
    *status = cwire_check(data, length, rules, sizeof rules / sizeof *rules);
    if (*status != CWIRE_OK) return NULL;
    message_type *message = swift_bitswap__envelope__envelope__unpack(NULL, length, data);
    if (message == NULL) *status = CWIRE_MALFORMED;
    return (cwire_envelope *)message;
}

cwire_envelope_fields cwire_envelope_get(const cwire_envelope *envelope) {
    const message_type *message = (const message_type *)envelope;
    cwire_envelope_fields fields = {
        cwire_binary_get(true, &message->public_key),
        cwire_binary_get(true, &message->payload_type),
        cwire_binary_get(true, &message->payload),
        cwire_binary_get(true, &message->signature),
    };
    return fields;
}

void cwire_envelope_free(cwire_envelope *envelope) {
    swift_bitswap__envelope__envelope__free_unpacked((message_type *)envelope, NULL);
}

// protobuf-c only reads what it packs, though its types do not say so.
static ProtobufCBinaryData borrow(cwire_bytes bytes) {
    ProtobufCBinaryData data = {bytes.length, (uint8_t *)(uintptr_t)bytes.data};
    return data;
}

static bool borrow_message(const cwire_envelope_fields *fields, message_type *message) {
    if (fields->public_key.length > CWIRE_MAXIMUM_PROTOBUF_LENGTH
        || fields->payload_type.length > CWIRE_MAXIMUM_PROTOBUF_LENGTH
        || fields->payload.length > CWIRE_MAXIMUM_PROTOBUF_LENGTH
        || fields->signature.length > CWIRE_MAXIMUM_PROTOBUF_LENGTH) {
        return false;
    }
    swift_bitswap__envelope__envelope__init(message);
    message->public_key = borrow(fields->public_key);
    message->payload_type = borrow(fields->payload_type);
    message->payload = borrow(fields->payload);
    message->signature = borrow(fields->signature);
    return true;
}

size_t cwire_envelope_size(const cwire_envelope_fields *fields) {
    message_type message;
    if (!borrow_message(fields, &message)) return 0;
    return swift_bitswap__envelope__envelope__get_packed_size(&message);
}

size_t cwire_envelope_write(const cwire_envelope_fields *fields, uint8_t *buffer, size_t capacity) {
    message_type message;
    if (!borrow_message(fields, &message)) return 0;
    if (swift_bitswap__envelope__envelope__get_packed_size(&message) > capacity) return 0;
    return swift_bitswap__envelope__envelope__pack(&message, buffer);
}
