#include "protobuf.h"

// keys.proto: PublicKey and PrivateKey have the same two fields.
enum { FIELD_TYPE = 1, FIELD_DATA = 2 };

cwire_status cwire_key_decode(const uint8_t *data, size_t length, size_t maximum, cwire_key *key) {
    if (length > maximum) return CWIRE_LIMIT_MESSAGE_BYTES;
    bool has_type = false;
    bool has_data = false;
    int32_t type = 0;
    cwire_bytes bytes = {NULL, 0};

    cwire_reader reader = cwire_reader_make(data, length);
    while (reader.next != reader.end) {
        cwire_field field;
        cwire_status status = cwire_read_field(&reader, &field);
        if (status != CWIRE_OK) return status;
        if (field.number == FIELD_TYPE) {
            if (field.wire_type != CWIRE_WIRE_VARINT) return CWIRE_WRONG_WIRE_TYPE;
            type = cwire_int32(field.value);
            has_type = true;
        } else if (field.number == FIELD_DATA) {
            if (field.wire_type != CWIRE_WIRE_BYTES) return CWIRE_WRONG_WIRE_TYPE;
            bytes.data = field.bytes;
            bytes.length = field.length;
            has_data = true;
        }
    }

    if (!has_type || !has_data) return CWIRE_MISSING_FIELD;
    if (type < CWIRE_KEY_RSA || type > CWIRE_KEY_ECDSA) return CWIRE_UNKNOWN_KEY_TYPE;
    key->type = (cwire_key_type)type;
    key->data = bytes;
    return CWIRE_OK;
}

size_t cwire_key_size(cwire_key_type type, size_t key_length) {
    if (key_length > CWIRE_MAXIMUM_PROTOBUF_LENGTH) return 0;
    return 1 + cwire_varint_size((uint32_t)type) + cwire_bytes_field_size(key_length);
}

size_t cwire_key_write(cwire_key_type type, const uint8_t *key, size_t key_length, uint8_t *buffer, size_t capacity) {
    size_t size = cwire_key_size(type, key_length);
    if (size == 0 || size > capacity) return 0;
    uint8_t *next = buffer;
    *next++ = cwire_key_byte(FIELD_TYPE, CWIRE_WIRE_VARINT);
    next = cwire_put_varint(next, (uint32_t)type);
    *next++ = cwire_key_byte(FIELD_DATA, CWIRE_WIRE_BYTES);
    next = cwire_put_varint(next, key_length);
    cwire_put_bytes(next, key, key_length);
    return size;
}
