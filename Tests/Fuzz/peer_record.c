#include "check.h"

static const cwire_peer_record_limits generous = {SIZE_MAX, 1 << 20};

static const char *check_same(const cwire_peer_record *left, const cwire_peer_record *right) {
    CHECK(equal(cwire_peer_record_peer_id(left), cwire_peer_record_peer_id(right)));
    CHECK(cwire_peer_record_sequence_number(left) == cwire_peer_record_sequence_number(right));
    size_t count = cwire_peer_record_address_count(left);
    CHECK(count == cwire_peer_record_address_count(right));
    for (size_t i = 0; i <= count; i++) {
        CHECK(equal(cwire_peer_record_address(left, i), cwire_peer_record_address(right, i)));
    }
    return NULL;
}

static const char *check_limit(
    const uint8_t *data, size_t length, const cwire_peer_record_limits *limits, cwire_status expected) {
    cwire_status status;
    cwire_peer_record *record = cwire_peer_record_decode(data, length, limits, &status);
    CHECK(status == expected && (record != NULL) == (expected == CWIRE_OK));
    cwire_peer_record_free(record);
    return NULL;
}

const char *cwire_fuzz_peer_record(const uint8_t *data, size_t length) {
    cwire_status status;
    cwire_peer_record *record = cwire_peer_record_decode(data, length, &generous, &status);
    CHECK((record != NULL) == (status == CWIRE_OK));
    if (record == NULL) return NULL;

    cwire_bytes peer_id = cwire_peer_record_peer_id(record);
    size_t count = cwire_peer_record_address_count(record);
    cwire_peer_record *copy = cwire_peer_record_create(
        peer_id.data, peer_id.length, cwire_peer_record_sequence_number(record));
    CHECK(copy != NULL);
    for (size_t i = 0; i < count; i++) {
        cwire_bytes address = cwire_peer_record_address(record, i);
        CHECK(cwire_peer_record_add_address(copy, address.data, address.length) == CWIRE_OK);
    }
    CHECK_ALL(check_same(record, copy));
    size_t size = cwire_peer_record_size(copy);
    uint8_t *buffer = buffer_of(size);
    if (size > 0) CHECK(cwire_peer_record_write(copy, buffer, size - 1) == 0);
    CHECK(cwire_peer_record_write(copy, buffer, size) == size);
    cwire_peer_record *again = cwire_peer_record_decode(buffer, size, &generous, &status);
    CHECK(again != NULL && status == CWIRE_OK);
    CHECK_ALL(check_same(record, again));
    cwire_peer_record_free(again);
    free(buffer);
    cwire_peer_record_free(copy);

    cwire_peer_record_limits exact = {length, count};
    CHECK_ALL(check_limit(data, length, &exact, CWIRE_OK));
    cwire_peer_record_limits lower = exact;
    if (lower.message_bytes-- > 0) CHECK_ALL(check_limit(data, length, &lower, CWIRE_LIMIT_MESSAGE_BYTES));
    lower = exact;
    if (lower.addresses-- > 0) CHECK_ALL(check_limit(data, length, &lower, CWIRE_LIMIT_ADDRESSES));
    cwire_peer_record_free(record);
    return NULL;
}
