#include "protobuf.h"

const char *cwire_status_text(cwire_status status) {
    switch (status) {
    case CWIRE_OK: return "no error";
    case CWIRE_TRUNCATED: return "the input ends too early";
    case CWIRE_BAD_LENGTH: return "a length points past the end of the message";
    case CWIRE_VARINT_TOO_LONG: return "a varint is too long";
    case CWIRE_VARINT_NOT_MINIMAL: return "a varint is not in its shortest form";
    case CWIRE_BAD_FIELD_NUMBER: return "a field number is out of range";
    case CWIRE_WRONG_WIRE_TYPE: return "a field has the wrong wire type";
    case CWIRE_UNSUPPORTED_WIRE_TYPE: return "a wire type is not supported";
    case CWIRE_MISSING_FIELD: return "a required field is missing";
    case CWIRE_UNKNOWN_KEY_TYPE: return "the key type is unknown";
    case CWIRE_MALFORMED: return "the message is malformed";
    case CWIRE_OUT_OF_MEMORY: return "out of memory";
    case CWIRE_LIMIT_FRAME_BYTES: return "the frame is larger than allowed";
    case CWIRE_LIMIT_MESSAGE_BYTES: return "the message is larger than allowed";
    case CWIRE_LIMIT_WANTS: return "the message has more wants than allowed";
    case CWIRE_LIMIT_BLOCKS: return "the message has more blocks than allowed";
    case CWIRE_LIMIT_PRESENCES: return "the message has more presences than allowed";
    case CWIRE_LIMIT_CID_BYTES: return "a CID is longer than allowed";
    case CWIRE_LIMIT_PREFIX_BYTES: return "a block's CID prefix is longer than allowed";
    case CWIRE_LIMIT_BLOCK_BYTES: return "a block is larger than allowed";
    case CWIRE_LIMIT_ADDRESSES: return "the message has more addresses than allowed";
    case CWIRE_LIMIT_PROTOCOLS: return "the message has more protocols than allowed";
    case CWIRE_LIMIT_CERTIFICATE_HASHES: return "the message has more certificate hashes than allowed";
    case CWIRE_LIMIT_OTHER_FIELDS: return "the message has more fields than allowed";
    }
    return "unknown status";
}

size_t cwire_uvarint_size(uint64_t value) {
    return value > INT64_MAX ? 0 : cwire_varint_size(value);
}

size_t cwire_uvarint_write(uint64_t value, uint8_t *buffer, size_t capacity) {
    size_t size = cwire_uvarint_size(value);
    if (size == 0 || size > capacity) return 0;
    cwire_put_varint(buffer, value);
    return size;
}

cwire_status cwire_uvarint_read(const uint8_t *data, size_t length, uint64_t *value, size_t *consumed) {
    uint64_t result = 0;
    for (size_t index = 0; index < CWIRE_UVARINT_MAXIMUM_LENGTH; index++) {
        if (index == length) return CWIRE_TRUNCATED;
        uint8_t byte = data[index];
        result |= (uint64_t)(byte & 0x7f) << (7 * index);
        if (byte < 0x80) {
            if (byte == 0 && index > 0) return CWIRE_VARINT_NOT_MINIMAL;
            *value = result;
            *consumed = index + 1;
            return CWIRE_OK;
        }
    }
    return CWIRE_VARINT_TOO_LONG;
}

cwire_status cwire_frame_header_read(
    const uint8_t *data, size_t length, size_t maximum, size_t *header_length, size_t *body_length) {
    uint64_t value;
    size_t consumed;
    cwire_status status = cwire_uvarint_read(data, length, &value, &consumed);
    if (status != CWIRE_OK) return status;
    if (value > maximum) return CWIRE_LIMIT_FRAME_BYTES;
    *header_length = consumed;
    *body_length = (size_t)value;
    return CWIRE_OK;
}

size_t cwire_frame_header_size(size_t body_length) { return cwire_uvarint_size(body_length); }

size_t cwire_frame_header_write(size_t body_length, uint8_t *buffer, size_t capacity) {
    return cwire_uvarint_write(body_length, buffer, capacity);
}
