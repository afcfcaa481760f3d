#include "protobuf.h"

#include <stdlib.h>

enum { MESSAGE_WANTLIST = 1, MESSAGE_BLOCKS = 2, MESSAGE_PAYLOAD = 3, MESSAGE_PRESENCES = 4, MESSAGE_PENDING_BYTES = 5 };
enum { WANTLIST_ENTRIES = 1, WANTLIST_FULL = 2 };
enum { ENTRY_BLOCK = 1, ENTRY_PRIORITY = 2, ENTRY_CANCEL = 3, ENTRY_WANT_TYPE = 4, ENTRY_SEND_DONT_HAVE = 5 };
enum { BLOCK_PREFIX = 1, BLOCK_DATA = 2 };
enum { PRESENCE_CID = 1, PRESENCE_TYPE = 2 };

// What a decode carries down into the submessages.
typedef struct {
    const uint8_t *start;
    const cwire_bitswap_limits *limits;
    cwire_bitswap_message *message;
} decoder;

void cwire_bitswap_message_init(cwire_bitswap_message *message) { memset(message, 0, sizeof *message); }

void cwire_bitswap_message_reset(cwire_bitswap_message *message) {
    message->want_count = 0;
    message->block_count = 0;
    message->presence_count = 0;
    message->pending_bytes = 0;
    message->has_wantlist = false;
    message->full = false;
}

void cwire_bitswap_message_free(cwire_bitswap_message *message) {
    free(message->wants);
    free(message->blocks);
    free(message->presences);
    cwire_bitswap_message_init(message);
}

size_t cwire_bitswap_message_memory(const cwire_bitswap_message *message) {
    return message->want_capacity * sizeof *message->wants + message->block_capacity * sizeof *message->blocks
        + message->presence_capacity * sizeof *message->presences;
}

// The array with room for one more than `count`, or NULL: no memory. Called with count below limit.
static void *make_room(void *array, size_t count, size_t *capacity, size_t limit, size_t element_size) {
    if (count < *capacity) return array;
    size_t wanted = *capacity == 0 ? 16 : *capacity > SIZE_MAX / 2 ? SIZE_MAX : *capacity * 2;
    if (wanted > limit) wanted = limit;
    if (wanted > SIZE_MAX / element_size) return NULL;
    void *grown = realloc(array, wanted * element_size);
    if (grown != NULL) *capacity = wanted;
    return grown;
}

static cwire_status read_span(
    const decoder *decoder, const cwire_field *field, size_t limit, cwire_status past_limit, cwire_span *span) {
    if (field->wire_type != CWIRE_WIRE_BYTES) return CWIRE_WRONG_WIRE_TYPE;
    if (field->length > limit) return past_limit;
    // The whole message is shorter than 2^32.
    span->length = (uint32_t)field->length;
    span->offset = field->length == 0 ? 0 : (uint32_t)(field->bytes - decoder->start);
    return CWIRE_OK;
}

static inline cwire_status read_int32(const cwire_field *field, int32_t *value) {
    if (field->wire_type != CWIRE_WIRE_VARINT) return CWIRE_WRONG_WIRE_TYPE;
    *value = cwire_int32(field->value);
    return CWIRE_OK;
}

static inline cwire_status read_bool(const cwire_field *field, bool *value) {
    if (field->wire_type != CWIRE_WIRE_VARINT) return CWIRE_WRONG_WIRE_TYPE;
    *value = field->value != 0;
    return CWIRE_OK;
}

static cwire_status read_want(const decoder *decoder, const cwire_field *outer) {
    cwire_bitswap_message *message = decoder->message;
    if (outer->wire_type != CWIRE_WIRE_BYTES) return CWIRE_WRONG_WIRE_TYPE;
    if (message->want_count >= decoder->limits->wants) return CWIRE_LIMIT_WANTS;
    cwire_want *wants = make_room(
        message->wants, message->want_count, &message->want_capacity, decoder->limits->wants, sizeof *wants);
    if (wants == NULL) return CWIRE_OUT_OF_MEMORY;
    message->wants = wants;

    cwire_want want = {{0, 0}, 0, CWIRE_WANT_BLOCK, false, false};
    cwire_reader reader = cwire_reader_make(outer->bytes, outer->length);
    while (reader.next != reader.end) {
        cwire_field field;
        cwire_status status = cwire_read_field(&reader, &field);
        if (status != CWIRE_OK) return status;
        switch (field.number) {
        case ENTRY_BLOCK:
            status = read_span(decoder, &field, decoder->limits->cid_bytes, CWIRE_LIMIT_CID_BYTES, &want.cid);
            break;
        case ENTRY_PRIORITY: status = read_int32(&field, &want.priority); break;
        case ENTRY_CANCEL: status = read_bool(&field, &want.cancel); break;
        case ENTRY_WANT_TYPE: status = read_int32(&field, &want.type); break;
        case ENTRY_SEND_DONT_HAVE: status = read_bool(&field, &want.send_dont_have); break;
        default: break;
        }
        if (status != CWIRE_OK) return status;
    }
    message->wants[message->want_count++] = want;
    return CWIRE_OK;
}

static cwire_status read_wantlist(const decoder *decoder, const cwire_field *outer) {
    if (outer->wire_type != CWIRE_WIRE_BYTES) return CWIRE_WRONG_WIRE_TYPE;
    decoder->message->has_wantlist = true;
    cwire_reader reader = cwire_reader_make(outer->bytes, outer->length);
    while (reader.next != reader.end) {
        cwire_field field;
        cwire_status status = cwire_read_field(&reader, &field);
        if (status != CWIRE_OK) return status;
        switch (field.number) {
        case WANTLIST_ENTRIES: status = read_want(decoder, &field); break;
        case WANTLIST_FULL: status = read_bool(&field, &decoder->message->full); break;
        default: break;
        }
        if (status != CWIRE_OK) return status;
    }
    return CWIRE_OK;
}

static cwire_status append_block(const decoder *decoder, const cwire_block *block) {
    cwire_bitswap_message *message = decoder->message;
    if (message->block_count >= decoder->limits->blocks) return CWIRE_LIMIT_BLOCKS;
    cwire_block *blocks = make_room(
        message->blocks, message->block_count, &message->block_capacity, decoder->limits->blocks, sizeof *blocks);
    if (blocks == NULL) return CWIRE_OUT_OF_MEMORY;
    message->blocks = blocks;
    blocks[message->block_count++] = *block;
    return CWIRE_OK;
}

static cwire_status read_block(const decoder *decoder, const cwire_field *outer) {
    if (outer->wire_type != CWIRE_WIRE_BYTES) return CWIRE_WRONG_WIRE_TYPE;
    const cwire_bitswap_limits *limits = decoder->limits;
    cwire_block block = {{0, 0}, {0, 0}, false};
    cwire_reader reader = cwire_reader_make(outer->bytes, outer->length);
    while (reader.next != reader.end) {
        cwire_field field;
        cwire_status status = cwire_read_field(&reader, &field);
        if (status != CWIRE_OK) return status;
        switch (field.number) {
        case BLOCK_PREFIX:
            status = read_span(decoder, &field, limits->prefix_bytes, CWIRE_LIMIT_PREFIX_BYTES, &block.prefix);
            break;
        case BLOCK_DATA:
            status = read_span(decoder, &field, limits->block_bytes, CWIRE_LIMIT_BLOCK_BYTES, &block.data);
            break;
        default: break;
        }
        if (status != CWIRE_OK) return status;
    }
    return append_block(decoder, &block);
}

static cwire_status read_legacy_block(const decoder *decoder, const cwire_field *field) {
    cwire_block block = {{0, 0}, {0, 0}, true};
    cwire_status status =
        read_span(decoder, field, decoder->limits->block_bytes, CWIRE_LIMIT_BLOCK_BYTES, &block.data);
    return status == CWIRE_OK ? append_block(decoder, &block) : status;
}

static cwire_status read_presence(const decoder *decoder, const cwire_field *outer) {
    cwire_bitswap_message *message = decoder->message;
    const cwire_bitswap_limits *limits = decoder->limits;
    if (outer->wire_type != CWIRE_WIRE_BYTES) return CWIRE_WRONG_WIRE_TYPE;
    if (message->presence_count >= limits->presences) return CWIRE_LIMIT_PRESENCES;
    cwire_presence *presences = make_room(
        message->presences, message->presence_count, &message->presence_capacity, limits->presences,
        sizeof *presences);
    if (presences == NULL) return CWIRE_OUT_OF_MEMORY;
    message->presences = presences;

    cwire_presence presence = {{0, 0}, CWIRE_PRESENCE_HAVE};
    cwire_reader reader = cwire_reader_make(outer->bytes, outer->length);
    while (reader.next != reader.end) {
        cwire_field field;
        cwire_status status = cwire_read_field(&reader, &field);
        if (status != CWIRE_OK) return status;
        switch (field.number) {
        case PRESENCE_CID:
            status = read_span(decoder, &field, limits->cid_bytes, CWIRE_LIMIT_CID_BYTES, &presence.cid);
            break;
        case PRESENCE_TYPE: status = read_int32(&field, &presence.type); break;
        default: break;
        }
        if (status != CWIRE_OK) return status;
    }
    presences[message->presence_count++] = presence;
    return CWIRE_OK;
}

static cwire_status read_message(const decoder *decoder, size_t length) {
    cwire_reader reader = cwire_reader_make(decoder->start, length);
    while (reader.next != reader.end) {
        cwire_field field;
        cwire_status status = cwire_read_field(&reader, &field);
        if (status != CWIRE_OK) return status;
        switch (field.number) {
        case MESSAGE_WANTLIST: status = read_wantlist(decoder, &field); break;
        case MESSAGE_BLOCKS: status = read_legacy_block(decoder, &field); break;
        case MESSAGE_PAYLOAD: status = read_block(decoder, &field); break;
        case MESSAGE_PRESENCES: status = read_presence(decoder, &field); break;
        case MESSAGE_PENDING_BYTES: status = read_int32(&field, &decoder->message->pending_bytes); break;
        default: break;
        }
        if (status != CWIRE_OK) return status;
    }
    return CWIRE_OK;
}

cwire_status cwire_bitswap_decode(
    const uint8_t *data, size_t length, const cwire_bitswap_limits *limits, cwire_bitswap_message *message) {
    cwire_bitswap_message_reset(message);
    if (length > limits->message_bytes || length > UINT32_MAX) return CWIRE_LIMIT_MESSAGE_BYTES;
    decoder decoder = {data, limits, message};
    cwire_status status = read_message(&decoder, length);
    if (status != CWIRE_OK) cwire_bitswap_message_reset(message);
    return status;
}
