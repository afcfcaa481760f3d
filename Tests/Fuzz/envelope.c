#include "check.h"

static bool same(const cwire_envelope_fields *left, const cwire_envelope_fields *right) {
    return equal(left->public_key, right->public_key) && equal(left->payload_type, right->payload_type)
        && equal(left->payload, right->payload) && equal(left->signature, right->signature);
}

const char *cwire_fuzz_envelope(const uint8_t *data, size_t length) {
    cwire_status status;
    cwire_envelope *envelope = cwire_envelope_decode(data, length, length, &status);
    CHECK((envelope != NULL) == (status == CWIRE_OK));
    if (envelope == NULL) return NULL;

    cwire_envelope_fields fields = cwire_envelope_get(envelope);
    size_t size = cwire_envelope_size(&fields);
    uint8_t *buffer = buffer_of(size);
    if (size > 0) CHECK(cwire_envelope_write(&fields, buffer, size - 1) == 0);
    CHECK(cwire_envelope_write(&fields, buffer, size) == size);
    cwire_envelope *again = cwire_envelope_decode(buffer, size, size, &status);
    CHECK(again != NULL && status == CWIRE_OK);
    cwire_envelope_fields fields_again = cwire_envelope_get(again);
    CHECK(same(&fields, &fields_again));
    cwire_envelope_free(again);
    free(buffer);

    if (length > 0) {
        CHECK(cwire_envelope_decode(data, length, length - 1, &status) == NULL);
        CHECK(status == CWIRE_LIMIT_MESSAGE_BYTES);
    }
    cwire_envelope_free(envelope);
    return NULL;
}
