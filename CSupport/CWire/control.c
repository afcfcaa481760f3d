#include "control.h"

#include <stdlib.h>

#include "protobuf.h"

static cwire_rule *rule_for(uint32_t number, cwire_rule *rules, size_t rule_count) {
    for (size_t index = 0; index < rule_count; index++) {
        if (rules[index].number == number) return &rules[index];
    }
    return NULL;
}

cwire_status cwire_check(const uint8_t *data, size_t length, cwire_rule *rules, size_t rule_count) {
    size_t others = 0;
    cwire_reader reader = cwire_reader_make(data, length);
    while (reader.next != reader.end) {
        cwire_field field;
        cwire_status status = cwire_read_field(&reader, &field);
        if (status != CWIRE_OK) return status;
        cwire_rule *rule = rule_for(field.number, rules, rule_count);
        if (rule != NULL && rule->wire_type != field.wire_type) return CWIRE_WRONG_WIRE_TYPE;
        if (rule == NULL || rule->maximum == CWIRE_UNCOUNTED) {
            if (others == CWIRE_MAXIMUM_OTHER_FIELDS) return CWIRE_LIMIT_OTHER_FIELDS;
            others++;
        } else {
            if (rule->seen == rule->maximum) return rule->past_maximum;
            rule->seen++;
        }
        if (rule != NULL && rule->inner_count > 0) {
            // Rules are nested two deep at most, so is the recursion.
            status = cwire_check(field.bytes, field.length, rule->inner, rule->inner_count);
            if (status != CWIRE_OK) return status;
        }
    }
    return CWIRE_OK;
}

static cwire_status copy_binary(ProtobufCBinaryData *field, const uint8_t *data, size_t length) {
    if (length > CWIRE_MAXIMUM_PROTOBUF_LENGTH) return CWIRE_OUT_OF_MEMORY;
    // malloc, because protobuf-c's own allocator is malloc and its free frees this.
    uint8_t *copy = malloc(length > 0 ? length : 1);
    if (copy == NULL) return CWIRE_OUT_OF_MEMORY;
    if (length > 0) memcpy(copy, data, length);
    field->data = copy;
    field->len = length;
    return CWIRE_OK;
}

cwire_status cwire_binary_set(ProtobufCBinaryData *field, const uint8_t *data, size_t length) {
    ProtobufCBinaryData copy;
    cwire_status status = copy_binary(&copy, data, length);
    if (status != CWIRE_OK) return status;
    free(field->data);
    *field = copy;
    return CWIRE_OK;
}

cwire_status cwire_binary_add(ProtobufCBinaryData **array, size_t *count, const uint8_t *data, size_t length) {
    if (*count >= SIZE_MAX / sizeof **array - 1) return CWIRE_OUT_OF_MEMORY;
    ProtobufCBinaryData *grown = realloc(*array, (*count + 1) * sizeof **array);
    if (grown == NULL) return CWIRE_OUT_OF_MEMORY;
    *array = grown;
    cwire_status status = copy_binary(&grown[*count], data, length);
    if (status == CWIRE_OK) (*count)++;
    return status;
}

cwire_bytes cwire_binary_get(bool present, const ProtobufCBinaryData *field) {
    static const uint8_t empty[1] = {0};
    cwire_bytes bytes = {NULL, 0};
    if (present) {
        bytes.data = field->len > 0 ? field->data : empty;
        bytes.length = field->len;
    }
    return bytes;
}

cwire_bytes cwire_binary_at(const ProtobufCBinaryData *array, size_t count, size_t index) {
    return index < count ? cwire_binary_get(true, &array[index]) : cwire_binary_get(false, NULL);
}
