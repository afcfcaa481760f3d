#include "control.h"
#include "generated/peer_record.pb-c.h"
#include "protobuf.h"

#include <stdlib.h>

// The handle is the message that protoc-c made.
typedef SwiftBitswap__PeerRecord__PeerRecord message_type;
typedef SwiftBitswap__PeerRecord__PeerRecord__AddressInfo address_type;

static message_type *from(cwire_peer_record *record) { return (message_type *)record; }
static const message_type *read_from(const cwire_peer_record *record) { return (const message_type *)record; }

cwire_peer_record *cwire_peer_record_decode(
    const uint8_t *data, size_t length, const cwire_peer_record_limits *limits, cwire_status *status) {
    if (length > limits->message_bytes) {
        *status = CWIRE_LIMIT_MESSAGE_BYTES;
        return NULL;
    }
    cwire_rule address_rules[] = {{1, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0}};
    cwire_rule rules[] = {
        {1, CWIRE_WIRE_BYTES, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {2, CWIRE_WIRE_VARINT, CWIRE_UNCOUNTED, CWIRE_OK, NULL, 0, 0},
        {3, CWIRE_WIRE_BYTES, limits->addresses, CWIRE_LIMIT_ADDRESSES, address_rules, 1, 0},
    };
    *status = cwire_check(data, length, rules, sizeof rules / sizeof *rules);
    if (*status != CWIRE_OK) return NULL;
    message_type *message = swift_bitswap__peer_record__peer_record__unpack(NULL, length, data);
    if (message == NULL) *status = CWIRE_MALFORMED;
    return (cwire_peer_record *)message;
}

cwire_peer_record *cwire_peer_record_create(const uint8_t *peer_id, size_t length, uint64_t sequence_number) {
    message_type *message = malloc(sizeof *message);
    if (message == NULL) return NULL;
    swift_bitswap__peer_record__peer_record__init(message);
    message->seq = sequence_number;
    if (cwire_binary_set(&message->peer_id, peer_id, length) != CWIRE_OK) {
        free(message);
        return NULL;
    }
    return (cwire_peer_record *)message;
}

void cwire_peer_record_free(cwire_peer_record *record) {
    swift_bitswap__peer_record__peer_record__free_unpacked(from(record), NULL);
}

cwire_bytes cwire_peer_record_peer_id(const cwire_peer_record *record) {
    return cwire_binary_get(true, &read_from(record)->peer_id);
}

uint64_t cwire_peer_record_sequence_number(const cwire_peer_record *record) { return read_from(record)->seq; }

size_t cwire_peer_record_address_count(const cwire_peer_record *record) { return read_from(record)->n_addresses; }

cwire_bytes cwire_peer_record_address(const cwire_peer_record *record, size_t index) {
    const message_type *message = read_from(record);
    if (index >= message->n_addresses) return cwire_binary_get(false, NULL);
    return cwire_binary_get(true, &message->addresses[index]->multiaddr);
}

cwire_status cwire_peer_record_add_address(cwire_peer_record *record, const uint8_t *data, size_t length) {
    message_type *message = from(record);
    address_type *address = malloc(sizeof *address);
    if (address == NULL) return CWIRE_OUT_OF_MEMORY;
    swift_bitswap__peer_record__peer_record__address_info__init(address);
    if (cwire_binary_set(&address->multiaddr, data, length) != CWIRE_OK) {
        free(address);
        return CWIRE_OUT_OF_MEMORY;
    }
    address_type **grown = realloc(message->addresses, (message->n_addresses + 1) * sizeof *grown);
    if (grown == NULL) {
        free(address->multiaddr.data);
        free(address);
        return CWIRE_OUT_OF_MEMORY;
    }
    message->addresses = grown;
    grown[message->n_addresses++] = address;
    return CWIRE_OK;
}

size_t cwire_peer_record_size(const cwire_peer_record *record) {
    return swift_bitswap__peer_record__peer_record__get_packed_size(read_from(record));
}

size_t cwire_peer_record_write(const cwire_peer_record *record, uint8_t *buffer, size_t capacity) {
    if (cwire_peer_record_size(record) > capacity) return 0;
    return swift_bitswap__peer_record__peer_record__pack(read_from(record), buffer);
}
