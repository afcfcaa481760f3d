#include "../../CSupport/CWire/generated/bitswap.pb-c.h"
#include "../../CSupport/CWire/protobuf.h"
#include "check.h"

typedef SwiftBitswap__Bitswap__Message oracle_message;

// More than any input here can hold.
static const cwire_bitswap_limits generous = {
    UINT32_MAX, 1 << 20, 1 << 20, 1 << 20, UINT32_MAX, UINT32_MAX, UINT32_MAX,
};

static bool inside(cwire_span span, size_t length) {
    return span.offset <= length && span.length <= length - span.offset && (span.length > 0 || span.offset == 0);
}

static const char *check_spans(const cwire_bitswap_message *message, size_t length) {
    for (size_t i = 0; i < message->want_count; i++) CHECK(inside(message->wants[i].cid, length));
    for (size_t i = 0; i < message->presence_count; i++) CHECK(inside(message->presences[i].cid, length));
    for (size_t i = 0; i < message->block_count; i++) {
        CHECK(inside(message->blocks[i].data, length));
        CHECK(inside(message->blocks[i].prefix, length));
        if (message->blocks[i].legacy) CHECK(message->blocks[i].prefix.length == 0);
    }
    return NULL;
}

static bool equal_span(const uint8_t *data, cwire_span span, ProtobufCBinaryData binary) {
    return equal_bytes(data + span.offset, span.length, binary.data, binary.len);
}

// protobuf-c 1.4.1 forgets `full` of the earlier of two wantlists, which protobuf merges; then it is no oracle for it.
static size_t wantlist_submessages(const uint8_t *data, size_t length) {
    size_t count = 0;
    cwire_reader reader = cwire_reader_make(data, length);
    while (reader.next != reader.end) {
        cwire_field field;
        if (cwire_read_field(&reader, &field) != CWIRE_OK) break;
        if (field.number == 1) count++;
    }
    return count;
}

// Whether a field called `number`, a bool, comes with another wire type than varint in this submessage.
static bool is_bool_of_wrong_wire_type(const cwire_field *field, uint32_t number) {
    return field->number == number && field->wire_type != CWIRE_WIRE_VARINT;
}

static bool has_bool_of_wrong_wire_type(const uint8_t *data, size_t length) {
    cwire_field message, list, entry;
    cwire_reader messages = cwire_reader_make(data, length);
    while (messages.next != messages.end && cwire_read_field(&messages, &message) == CWIRE_OK) {
        if (message.number != 1) continue;
        cwire_reader lists = cwire_reader_make(message.bytes, message.length);
        while (lists.next != lists.end && cwire_read_field(&lists, &list) == CWIRE_OK) {
            if (is_bool_of_wrong_wire_type(&list, 2)) return true;
            if (list.number != 1) continue;
            cwire_reader entries = cwire_reader_make(list.bytes, list.length);
            while (entries.next != entries.end && cwire_read_field(&entries, &entry) == CWIRE_OK) {
                if (is_bool_of_wrong_wire_type(&entry, 3) || is_bool_of_wrong_wire_type(&entry, 5)) return true;
            }
        }
    }
    return false;
}

static const char *check_against_oracle(
    const uint8_t *data, size_t length, const cwire_bitswap_message *message, const oracle_message *oracle) {
    CHECK(message->pending_bytes == oracle->pendingbytes);
    CHECK(message->has_wantlist == (oracle->wantlist != NULL));
    CHECK(message->want_count == (oracle->wantlist == NULL ? 0 : oracle->wantlist->n_entries));
    if (wantlist_submessages(data, length) == 1) CHECK(message->full == (bool)oracle->wantlist->full);
    for (size_t i = 0; i < message->want_count; i++) {
        const cwire_want *want = &message->wants[i];
        const SwiftBitswap__Bitswap__Message__Wantlist__Entry *entry = oracle->wantlist->entries[i];
        CHECK(equal_span(data, want->cid, entry->block));
        CHECK(want->priority == entry->priority);
        CHECK(want->type == (int32_t)entry->wanttype);
        CHECK(want->cancel == (bool)entry->cancel);
        CHECK(want->send_dont_have == (bool)entry->senddonthave);
    }

    size_t legacy = 0;
    size_t payload = 0;
    for (size_t i = 0; i < message->block_count; i++) {
        const cwire_block *block = &message->blocks[i];
        if (block->legacy) {
            CHECK(legacy < oracle->n_blocks);
            CHECK(equal_span(data, block->data, oracle->blocks[legacy++]));
        } else {
            CHECK(payload < oracle->n_payload);
            CHECK(equal_span(data, block->data, oracle->payload[payload]->data));
            CHECK(equal_span(data, block->prefix, oracle->payload[payload++]->prefix));
        }
    }
    CHECK(legacy == oracle->n_blocks);
    CHECK(payload == oracle->n_payload);

    CHECK(message->presence_count == oracle->n_blockpresences);
    for (size_t i = 0; i < message->presence_count; i++) {
        CHECK(equal_span(data, message->presences[i].cid, oracle->blockpresences[i]->cid));
        CHECK(message->presences[i].type == (int32_t)oracle->blockpresences[i]->type);
    }
    return NULL;
}

// Everything as it was decoded, in the order of the field numbers: legacy blocks before others.
static size_t encoded_size(const cwire_bitswap_message *message) {
    size_t size = 0;
    if (message->has_wantlist) size += cwire_bitswap_wantlist_size(message->wants, message->want_count, message->full);
    for (size_t i = 0; i < message->block_count; i++) {
        const cwire_block *block = &message->blocks[i];
        size += block->data.length;
        size += block->legacy ? cwire_bitswap_legacy_block_header_size(block->data.length)
                              : cwire_bitswap_block_header_size(block->prefix.length, block->data.length);
    }
    for (size_t i = 0; i < message->presence_count; i++) {
        size += cwire_bitswap_presence_size(message->presences[i].cid.length, message->presences[i].type);
    }
    return size + cwire_bitswap_pending_bytes_size(message->pending_bytes);
}

static const char *encode(const uint8_t *data, const cwire_bitswap_message *message, uint8_t *buffer, size_t size) {
    uint8_t *next = buffer;
    uint8_t *end = buffer + size;
#define LEFT ((size_t)(end - next))
    if (message->has_wantlist) {
        next += cwire_bitswap_wantlist_write(
            data, message->wants, message->want_count, message->full, next, LEFT);
    }
    for (int legacy = 1; legacy >= 0; legacy--) {
        for (size_t i = 0; i < message->block_count; i++) {
            const cwire_block *block = &message->blocks[i];
            if (block->legacy != (legacy == 1)) continue;
            size_t header = legacy == 1
                ? cwire_bitswap_legacy_block_header_write(block->data.length, next, LEFT)
                : cwire_bitswap_block_header_write(
                      data + block->prefix.offset, block->prefix.length, block->data.length, next, LEFT);
            CHECK(header > 0);
            next += header;
            CHECK(block->data.length <= LEFT);
            next = cwire_put_bytes(next, data + block->data.offset, block->data.length);
        }
    }
    for (size_t i = 0; i < message->presence_count; i++) {
        const cwire_presence *presence = &message->presences[i];
        size_t written = cwire_bitswap_presence_write(
            data + presence->cid.offset, presence->cid.length, presence->type, next, LEFT);
        CHECK(written > 0);
        next += written;
    }
    next += cwire_bitswap_pending_bytes_write(message->pending_bytes, next, LEFT);
    CHECK(next == end);
#undef LEFT
    return NULL;
}

// The wantlist written in pieces is the one written at once.
static const char *check_wantlist_pieces(const uint8_t *data, const cwire_bitswap_message *message) {
    size_t size = cwire_bitswap_wantlist_size(message->wants, message->want_count, message->full);
    CHECK(size > 0);
    uint8_t *whole = buffer_of(size);
    CHECK(cwire_bitswap_wantlist_write(data, message->wants, message->want_count, message->full, whole, size - 1) == 0);
    CHECK(cwire_bitswap_wantlist_write(data, message->wants, message->want_count, message->full, whole, size) == size);

    size_t body = message->full ? CWIRE_BITSWAP_FULL_SIZE : 0;
    for (size_t i = 0; i < message->want_count; i++) body += cwire_bitswap_want_size(&message->wants[i]);
    CHECK(cwire_bitswap_wantlist_header_size(body) + body == size);
    uint8_t *pieces = buffer_of(size);
    size_t used = cwire_bitswap_wantlist_header_write(body, pieces, size);
    for (size_t i = 0; i < message->want_count; i++) {
        const cwire_want *want = &message->wants[i];
        used += cwire_bitswap_want_write(data + want->cid.offset, want, pieces + used, size - used);
    }
    if (message->full) used += cwire_bitswap_full_write(pieces + used, size - used);
    CHECK(equal_bytes(whole, size, pieces, used));
    free(whole);
    free(pieces);
    return NULL;
}

static const char *check_encoding(const uint8_t *data, const cwire_bitswap_message *message) {
    if (message->has_wantlist) CHECK_ALL(check_wantlist_pieces(data, message));
    size_t size = encoded_size(message);
    uint8_t *buffer = buffer_of(size);
    CHECK_ALL(encode(data, message, buffer, size));

    cwire_bitswap_message again;
    cwire_bitswap_message_init(&again);
    CHECK(cwire_bitswap_decode(buffer, size, &generous, &again) == CWIRE_OK);
    CHECK(again.has_wantlist == message->has_wantlist && again.full == message->full);

    // What we write, protobuf-c reads as the same and writes with the same bytes.
    oracle_message *oracle = swift_bitswap__bitswap__message__unpack(NULL, size, buffer);
    CHECK(oracle != NULL);
    CHECK_ALL(check_against_oracle(buffer, size, &again, oracle));
    CHECK(swift_bitswap__bitswap__message__get_packed_size(oracle) == size);
    uint8_t *packed = buffer_of(size);
    swift_bitswap__bitswap__message__pack(oracle, packed);
    CHECK(equal_bytes(buffer, size, packed, size));

    free(packed);
    swift_bitswap__bitswap__message__free_unpacked(oracle, NULL);
    cwire_bitswap_message_free(&again);
    free(buffer);
    return NULL;
}

static void raise_to(size_t *limit, size_t value) {
    if (*limit < value) *limit = value;
}

// Under limits that fit exactly it decodes; when any one is lowered by one it fails with that limit's code.
static const char *check_limits(const uint8_t *data, size_t length, const cwire_bitswap_message *message) {
    cwire_bitswap_limits exact = {
        length, message->want_count, message->block_count, message->presence_count, 0, 0, 0,
    };
    for (size_t i = 0; i < message->want_count; i++) raise_to(&exact.cid_bytes, message->wants[i].cid.length);
    for (size_t i = 0; i < message->presence_count; i++) raise_to(&exact.cid_bytes, message->presences[i].cid.length);
    for (size_t i = 0; i < message->block_count; i++) {
        raise_to(&exact.prefix_bytes, message->blocks[i].prefix.length);
        raise_to(&exact.block_bytes, message->blocks[i].data.length);
    }

    cwire_bitswap_message other;
    cwire_bitswap_message_init(&other);
    cwire_status status = cwire_bitswap_decode(data, length, &exact, &other);
    // A field given twice counts with its last value; the first may have been the longer one.
    bool hidden = status == CWIRE_LIMIT_CID_BYTES || status == CWIRE_LIMIT_PREFIX_BYTES
        || status == CWIRE_LIMIT_BLOCK_BYTES;
    CHECK(status == CWIRE_OK || hidden);
    if (status == CWIRE_OK) {
        CHECK(other.want_capacity <= exact.wants && other.block_capacity <= exact.blocks);
        CHECK(other.presence_capacity <= exact.presences);
#define CHECK_LOWERED(field, code)                                                   \
    if (exact.field > 0) {                                                           \
        cwire_bitswap_limits lower = exact;                                          \
        lower.field--;                                                               \
        CHECK(cwire_bitswap_decode(data, length, &lower, &other) == code);           \
        CHECK(other.want_count == 0 && other.block_count == 0 && other.presence_count == 0); \
    }
        CHECK_LOWERED(message_bytes, CWIRE_LIMIT_MESSAGE_BYTES)
        CHECK_LOWERED(wants, CWIRE_LIMIT_WANTS)
        CHECK_LOWERED(blocks, CWIRE_LIMIT_BLOCKS)
        CHECK_LOWERED(presences, CWIRE_LIMIT_PRESENCES)
        CHECK_LOWERED(cid_bytes, CWIRE_LIMIT_CID_BYTES)
        CHECK_LOWERED(prefix_bytes, CWIRE_LIMIT_PREFIX_BYTES)
        CHECK_LOWERED(block_bytes, CWIRE_LIMIT_BLOCK_BYTES)
#undef CHECK_LOWERED
    }
    cwire_bitswap_message_free(&other);
    return NULL;
}

const char *cwire_fuzz_bitswap(const uint8_t *data, size_t length) {
    cwire_bitswap_message message;
    cwire_bitswap_message_init(&message);
    cwire_status status = cwire_bitswap_decode(data, length, &generous, &message);
    oracle_message *oracle = swift_bitswap__bitswap__message__unpack(NULL, length, data);

    if (status == CWIRE_OK) {
        CHECK_ALL(check_spans(&message, length));
        // protobuf-c refuses keys and lengths that take more than five bytes; else it agrees.
        if (oracle != NULL) CHECK_ALL(check_against_oracle(data, length, &message, oracle));
        CHECK_ALL(check_encoding(data, &message));
        CHECK_ALL(check_limits(data, length, &message));
    } else {
        CHECK(message.want_count == 0 && message.block_count == 0 && message.presence_count == 0);
        CHECK(!message.has_wantlist && !message.full && message.pending_bytes == 0);
        // Where we are stricter than protobuf-c, and nowhere else; of bool fields it does not look at the wire type.
        if (oracle != NULL) {
            CHECK(status == CWIRE_BAD_FIELD_NUMBER || status == CWIRE_VARINT_TOO_LONG
                || (status == CWIRE_WRONG_WIRE_TYPE && has_bool_of_wrong_wire_type(data, length)));
        }
    }

    if (oracle != NULL) swift_bitswap__bitswap__message__free_unpacked(oracle, NULL);
    cwire_bitswap_message_free(&message);
    return NULL;
}
