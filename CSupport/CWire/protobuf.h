// Reading and writing the parts of a protobuf message. Private to CWire.
#ifndef CWIRE_PROTOBUF_H
#define CWIRE_PROTOBUF_H

#include <string.h>

#include "CWire.h"

enum {
    CWIRE_WIRE_VARINT = 0,
    CWIRE_WIRE_FIXED64 = 1,
    CWIRE_WIRE_BYTES = 2,
    CWIRE_WIRE_FIXED32 = 5,
};

// protobuf lengths are below 2^31; everything that goes out keeps to it, so sums of a few lengths never overflow.
#define CWIRE_MAXIMUM_PROTOBUF_LENGTH ((size_t)INT32_MAX)

// ---- Reading ----

// The unread rest of a message or submessage.
typedef struct {
    const uint8_t *next;
    const uint8_t *end;
} cwire_reader;

// One field: for CWIRE_WIRE_VARINT its value, for CWIRE_WIRE_BYTES its bytes, for fixed ones neither.
typedef struct {
    uint32_t number;
    uint32_t wire_type;
    uint64_t value;
    const uint8_t *bytes;
    size_t length;
} cwire_field;

static inline cwire_reader cwire_reader_make(const uint8_t *data, size_t length) {
    // Adding 0 to NULL is undefined in C; an empty input may come as NULL.
    cwire_reader reader = {data, length == 0 ? data : data + length};
    return reader;
}

static inline size_t cwire_reader_left(const cwire_reader *reader) {
    return reader->next == reader->end ? 0 : (size_t)(reader->end - reader->next);
}

// A varint as protobuf allows it: up to 10 bytes, not past 64 bits, need not be the shortest.
static inline cwire_status cwire_read_varint(cwire_reader *reader, uint64_t *value) {
    const uint8_t *next = reader->next;
    const uint8_t *end = reader->end;
    if (next == end) return CWIRE_TRUNCATED;
    if (*next < 0x80) {
        *value = *next;
        reader->next = next + 1;
        return CWIRE_OK;
    }
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (next == end) return CWIRE_TRUNCATED;
        uint8_t byte = *next++;
        if (shift == 63 && byte > 1) return CWIRE_VARINT_TOO_LONG;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            reader->next = next;
            return CWIRE_OK;
        }
    }
    return CWIRE_VARINT_TOO_LONG;
}

// Reads one field, known or not. The reader must not be empty.
static inline cwire_status cwire_read_field(cwire_reader *reader, cwire_field *field) {
    uint64_t key;
    cwire_status status = cwire_read_varint(reader, &key);
    if (status != CWIRE_OK) return status;
    uint64_t number = key >> 3;
    if (number == 0 || number > 0x1fffffff) return CWIRE_BAD_FIELD_NUMBER;
    field->number = (uint32_t)number;
    field->wire_type = (uint32_t)(key & 7);
    field->value = 0;
    field->bytes = reader->next;
    field->length = 0;

    switch (field->wire_type) {
    case CWIRE_WIRE_VARINT:
        return cwire_read_varint(reader, &field->value);
    case CWIRE_WIRE_BYTES: {
        uint64_t length;
        status = cwire_read_varint(reader, &length);
        if (status != CWIRE_OK) return status;
        if (length > cwire_reader_left(reader)) return CWIRE_BAD_LENGTH;
        field->bytes = reader->next;
        field->length = (size_t)length;
        if (length > 0) reader->next += length;
        return CWIRE_OK;
    }
    case CWIRE_WIRE_FIXED64:
    case CWIRE_WIRE_FIXED32: {
        size_t length = field->wire_type == CWIRE_WIRE_FIXED64 ? 8 : 4;
        if (length > cwire_reader_left(reader)) return CWIRE_TRUNCATED;
        reader->next += length;
        return CWIRE_OK;
    }
    default:
        return CWIRE_UNSUPPORTED_WIRE_TYPE;
    }
}

// int32 and enums travel as 64-bit varints; what is past 32 bits is dropped.
static inline int32_t cwire_int32(uint64_t value) {
    uint32_t low = (uint32_t)value;
    int32_t result;
    memcpy(&result, &low, sizeof result);
    return result;
}

// ---- Writing ----

static inline size_t cwire_varint_size(uint64_t value) {
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

// Writes without a check: the caller made room.
static inline uint8_t *cwire_put_varint(uint8_t *next, uint64_t value) {
    while (value >= 0x80) {
        *next++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *next++ = (uint8_t)value;
    return next;
}

static inline uint8_t *cwire_put_bytes(uint8_t *next, const uint8_t *bytes, size_t length) {
    if (length == 0) return next;
    memcpy(next, bytes, length);
    return next + length;
}

// Negative int32 values are sign-extended to 64 bits, so they take ten bytes.
static inline uint64_t cwire_int32_bits(int32_t value) { return (uint64_t)(int64_t)value; }

// The key of a field with a number below 16.
static inline uint8_t cwire_key_byte(uint32_t number, uint32_t wire_type) {
    return (uint8_t)(number << 3 | wire_type);
}

// Tag, length and bytes of a field with a number below 16.
static inline size_t cwire_bytes_field_size(size_t length) { return 1 + cwire_varint_size(length) + length; }

#endif
