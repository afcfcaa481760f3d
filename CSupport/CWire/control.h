// What the small control messages share: bounds checked before protobuf-c allocates anything, and bytes fields owned
// by a message that protobuf-c frees. Private to CWire.
#ifndef CWIRE_CONTROL_H
#define CWIRE_CONTROL_H

#include <protobuf-c/protobuf-c.h>

#include "CWire.h"

// What is known of one field: its wire type, how often it may occur in the whole message and what it is called when it
// occurs once more (UNCOUNTED: it counts among the other fields), and the fields inside it when it is a submessage.
#define CWIRE_UNCOUNTED SIZE_MAX
typedef struct cwire_rule {
    uint32_t number;
    uint32_t wire_type;
    size_t maximum;
    cwire_status past_maximum;
    struct cwire_rule *inner;
    size_t inner_count;
    size_t seen;
} cwire_rule;

// Walks the whole message once, allocates nothing: lengths, wire types of the known fields, and how many there are of
// all, since protobuf-c takes some 40 to 100 bytes for the smallest field.
cwire_status cwire_check(const uint8_t *data, size_t length, cwire_rule *rules, size_t rule_count);

// Copies bytes into a field, freeing what it held.
cwire_status cwire_binary_set(ProtobufCBinaryData *field, const uint8_t *data, size_t length);

// Appends a copy to a repeated field.
cwire_status cwire_binary_add(ProtobufCBinaryData **array, size_t *count, const uint8_t *data, size_t length);

// The field as a slice: data NULL exactly when it is absent.
cwire_bytes cwire_binary_get(bool present, const ProtobufCBinaryData *field);

// An element of a repeated field, or an absent slice past its end.
cwire_bytes cwire_binary_at(const ProtobufCBinaryData *array, size_t count, size_t index);

#endif
