#include "protobuf.h"

// The keys of the fields, each one byte.
enum {
    MESSAGE_WANTLIST = 1 << 3 | CWIRE_WIRE_BYTES,
    MESSAGE_BLOCKS = 2 << 3 | CWIRE_WIRE_BYTES,
    MESSAGE_PAYLOAD = 3 << 3 | CWIRE_WIRE_BYTES,
    MESSAGE_PRESENCES = 4 << 3 | CWIRE_WIRE_BYTES,
    MESSAGE_PENDING_BYTES = 5 << 3 | CWIRE_WIRE_VARINT,
    WANTLIST_ENTRIES = 1 << 3 | CWIRE_WIRE_BYTES,
    WANTLIST_FULL = 2 << 3 | CWIRE_WIRE_VARINT,
    ENTRY_BLOCK = 1 << 3 | CWIRE_WIRE_BYTES,
    ENTRY_PRIORITY = 2 << 3 | CWIRE_WIRE_VARINT,
    ENTRY_CANCEL = 3 << 3 | CWIRE_WIRE_VARINT,
    ENTRY_WANT_TYPE = 4 << 3 | CWIRE_WIRE_VARINT,
    ENTRY_SEND_DONT_HAVE = 5 << 3 | CWIRE_WIRE_VARINT,
    BLOCK_PREFIX = 1 << 3 | CWIRE_WIRE_BYTES,
    BLOCK_DATA = 2 << 3 | CWIRE_WIRE_BYTES,
    PRESENCE_CID = 1 << 3 | CWIRE_WIRE_BYTES,
    PRESENCE_TYPE = 2 << 3 | CWIRE_WIRE_VARINT,
};

// Fields that hold their default are left out, as proto3 has it.

static inline size_t int32_field_size(int32_t value) {
    return value == 0 ? 0 : 1 + cwire_varint_size(cwire_int32_bits(value));
}

static inline uint8_t *put_int32_field(uint8_t *next, uint8_t key, int32_t value) {
    if (value == 0) return next;
    *next++ = key;
    return cwire_put_varint(next, cwire_int32_bits(value));
}

static inline size_t bool_field_size(bool value) { return value ? 2 : 0; }

static inline uint8_t *put_bool_field(uint8_t *next, uint8_t key, bool value) {
    if (!value) return next;
    *next++ = key;
    *next++ = 1;
    return next;
}

static inline size_t optional_bytes_field_size(size_t length) {
    return length == 0 ? 0 : cwire_bytes_field_size(length);
}

static inline uint8_t *put_header(uint8_t *next, uint8_t key, size_t length) {
    *next++ = key;
    return cwire_put_varint(next, length);
}

static inline uint8_t *put_optional_bytes_field(uint8_t *next, uint8_t key, const uint8_t *bytes, size_t length) {
    if (length == 0) return next;
    next = put_header(next, key, length);
    return cwire_put_bytes(next, bytes, length);
}

// A header alone: 0 when the length has no form.
static size_t header_size(size_t length) {
    return length > CWIRE_MAXIMUM_PROTOBUF_LENGTH ? 0 : 1 + cwire_varint_size(length);
}

static size_t header_write(uint8_t key, size_t length, uint8_t *buffer, size_t capacity) {
    size_t size = header_size(length);
    if (size == 0 || size > capacity) return 0;
    put_header(buffer, key, length);
    return size;
}

// ---- The wantlist ----

// The inside of one entry. A CID length is a uint32, so this does not overflow.
static inline size_t want_body_size(const cwire_want *want) {
    return optional_bytes_field_size(want->cid.length) + int32_field_size(want->priority)
        + bool_field_size(want->cancel) + int32_field_size(want->type) + bool_field_size(want->send_dont_have);
}

static inline uint8_t *put_want(uint8_t *next, const uint8_t *cid, const cwire_want *want, size_t body_size) {
    next = put_header(next, WANTLIST_ENTRIES, body_size);
    next = put_optional_bytes_field(next, ENTRY_BLOCK, cid, want->cid.length);
    next = put_int32_field(next, ENTRY_PRIORITY, want->priority);
    next = put_bool_field(next, ENTRY_CANCEL, want->cancel);
    next = put_int32_field(next, ENTRY_WANT_TYPE, want->type);
    return put_bool_field(next, ENTRY_SEND_DONT_HAVE, want->send_dont_have);
}

// False: too long for protobuf.
static bool wantlist_body_size(const cwire_want *wants, size_t count, bool full, size_t *size) {
    size_t total = bool_field_size(full);
    for (size_t index = 0; index < count; index++) {
        size_t body = want_body_size(&wants[index]);
        if (body > CWIRE_MAXIMUM_PROTOBUF_LENGTH) return false;
        total += cwire_bytes_field_size(body);
        if (total > CWIRE_MAXIMUM_PROTOBUF_LENGTH) return false;
    }
    *size = total;
    return true;
}

size_t cwire_bitswap_wantlist_size(const cwire_want *wants, size_t count, bool full) {
    size_t body;
    return wantlist_body_size(wants, count, full, &body) ? cwire_bytes_field_size(body) : 0;
}

size_t cwire_bitswap_wantlist_write(
    const uint8_t *cids, const cwire_want *wants, size_t count, bool full, uint8_t *buffer, size_t capacity) {
    size_t body;
    if (!wantlist_body_size(wants, count, full, &body) || cwire_bytes_field_size(body) > capacity) return 0;
    uint8_t *next = put_header(buffer, MESSAGE_WANTLIST, body);
    for (size_t index = 0; index < count; index++) {
        const cwire_want *want = &wants[index];
        // Without a CID there may be no `cids` either.
        const uint8_t *cid = want->cid.length == 0 ? NULL : cids + want->cid.offset;
        next = put_want(next, cid, want, want_body_size(want));
    }
    put_bool_field(next, WANTLIST_FULL, full);
    return cwire_bytes_field_size(body);
}

size_t cwire_bitswap_wantlist_header_size(size_t body_length) { return header_size(body_length); }

size_t cwire_bitswap_wantlist_header_write(size_t body_length, uint8_t *buffer, size_t capacity) {
    return header_write(MESSAGE_WANTLIST, body_length, buffer, capacity);
}

size_t cwire_bitswap_want_size(const cwire_want *want) {
    size_t body = want_body_size(want);
    return body > CWIRE_MAXIMUM_PROTOBUF_LENGTH ? 0 : cwire_bytes_field_size(body);
}

size_t cwire_bitswap_want_write(const uint8_t *cid, const cwire_want *want, uint8_t *buffer, size_t capacity) {
    size_t size = cwire_bitswap_want_size(want);
    if (size == 0 || size > capacity) return 0;
    put_want(buffer, cid, want, want_body_size(want));
    return size;
}

size_t cwire_bitswap_full_write(uint8_t *buffer, size_t capacity) {
    if (capacity < CWIRE_BITSWAP_FULL_SIZE) return 0;
    put_bool_field(buffer, WANTLIST_FULL, true);
    return CWIRE_BITSWAP_FULL_SIZE;
}

// ---- Blocks ----

// The inside of a Block; false: too long for protobuf.
static bool block_body_size(size_t prefix_length, size_t data_length, size_t *size) {
    if (prefix_length > CWIRE_MAXIMUM_PROTOBUF_LENGTH || data_length > CWIRE_MAXIMUM_PROTOBUF_LENGTH) return false;
    *size = optional_bytes_field_size(prefix_length) + optional_bytes_field_size(data_length);
    return *size <= CWIRE_MAXIMUM_PROTOBUF_LENGTH;
}

size_t cwire_bitswap_block_header_size(size_t prefix_length, size_t data_length) {
    size_t body;
    return block_body_size(prefix_length, data_length, &body) ? cwire_bytes_field_size(body) - data_length : 0;
}

size_t cwire_bitswap_block_header_write(
    const uint8_t *prefix, size_t prefix_length, size_t data_length, uint8_t *buffer, size_t capacity) {
    size_t body;
    if (!block_body_size(prefix_length, data_length, &body)) return 0;
    size_t size = cwire_bytes_field_size(body) - data_length;
    if (size > capacity) return 0;
    uint8_t *next = put_header(buffer, MESSAGE_PAYLOAD, body);
    next = put_optional_bytes_field(next, BLOCK_PREFIX, prefix, prefix_length);
    if (data_length > 0) put_header(next, BLOCK_DATA, data_length);
    return size;
}

size_t cwire_bitswap_legacy_block_header_size(size_t data_length) { return header_size(data_length); }

size_t cwire_bitswap_legacy_block_header_write(size_t data_length, uint8_t *buffer, size_t capacity) {
    return header_write(MESSAGE_BLOCKS, data_length, buffer, capacity);
}

// ---- Presences and pending bytes ----

static size_t presence_body_size(size_t cid_length, int32_t type) {
    return optional_bytes_field_size(cid_length) + int32_field_size(type);
}

size_t cwire_bitswap_presence_size(size_t cid_length, int32_t type) {
    if (cid_length > CWIRE_MAXIMUM_PROTOBUF_LENGTH) return 0;
    size_t body = presence_body_size(cid_length, type);
    return body > CWIRE_MAXIMUM_PROTOBUF_LENGTH ? 0 : cwire_bytes_field_size(body);
}

size_t cwire_bitswap_presence_write(
    const uint8_t *cid, size_t cid_length, int32_t type, uint8_t *buffer, size_t capacity) {
    size_t size = cwire_bitswap_presence_size(cid_length, type);
    if (size == 0 || size > capacity) return 0;
    uint8_t *next = put_header(buffer, MESSAGE_PRESENCES, presence_body_size(cid_length, type));
    next = put_optional_bytes_field(next, PRESENCE_CID, cid, cid_length);
    put_int32_field(next, PRESENCE_TYPE, type);
    return size;
}

size_t cwire_bitswap_pending_bytes_size(int32_t pending_bytes) { return int32_field_size(pending_bytes); }

size_t cwire_bitswap_pending_bytes_write(int32_t pending_bytes, uint8_t *buffer, size_t capacity) {
    size_t size = int32_field_size(pending_bytes);
    if (size > capacity) return 0;
    put_int32_field(buffer, MESSAGE_PENDING_BYTES, pending_bytes);
    return size;
}
