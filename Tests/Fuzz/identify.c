#include "check.h"

static const cwire_identify_limits generous = {SIZE_MAX, 1 << 20, 1 << 20};

static const char *check_same(const cwire_identify *left, const cwire_identify *right) {
    CHECK(equal(cwire_identify_public_key(left), cwire_identify_public_key(right)));
    CHECK(equal(cwire_identify_observed_address(left), cwire_identify_observed_address(right)));
    CHECK(equal(cwire_identify_protocol_version(left), cwire_identify_protocol_version(right)));
    CHECK(equal(cwire_identify_agent_version(left), cwire_identify_agent_version(right)));
    CHECK(equal(cwire_identify_signed_peer_record(left), cwire_identify_signed_peer_record(right)));
    size_t addresses = cwire_identify_listen_address_count(left);
    CHECK(addresses == cwire_identify_listen_address_count(right));
    for (size_t i = 0; i <= addresses; i++) {
        CHECK(equal(cwire_identify_listen_address(left, i), cwire_identify_listen_address(right, i)));
    }
    size_t protocols = cwire_identify_protocol_count(left);
    CHECK(protocols == cwire_identify_protocol_count(right));
    for (size_t i = 0; i <= protocols; i++) {
        CHECK(equal(cwire_identify_protocol(left, i), cwire_identify_protocol(right, i)));
    }
    return NULL;
}

static const char *check_encoding(const cwire_identify *identify) {
    cwire_identify *copy = cwire_identify_create();
    CHECK(copy != NULL);
    cwire_bytes bytes;
#define COPY(name)                                                                                  \
    bytes = cwire_identify_##name(identify);                                                        \
    if (bytes.data != NULL) CHECK(cwire_identify_set_##name(copy, bytes.data, bytes.length) == CWIRE_OK);
    COPY(public_key)
    COPY(observed_address)
    COPY(protocol_version)
    COPY(agent_version)
    COPY(signed_peer_record)
#undef COPY
    for (size_t i = 0; i < cwire_identify_listen_address_count(identify); i++) {
        bytes = cwire_identify_listen_address(identify, i);
        CHECK(cwire_identify_add_listen_address(copy, bytes.data, bytes.length) == CWIRE_OK);
    }
    for (size_t i = 0; i < cwire_identify_protocol_count(identify); i++) {
        bytes = cwire_identify_protocol(identify, i);
        CHECK(cwire_identify_add_protocol(copy, bytes.data, bytes.length) == CWIRE_OK);
    }
    CHECK_ALL(check_same(identify, copy));

    size_t size = cwire_identify_size(copy);
    uint8_t *buffer = buffer_of(size);
    if (size > 0) CHECK(cwire_identify_write(copy, buffer, size - 1) == 0);
    CHECK(cwire_identify_write(copy, buffer, size) == size);
    cwire_status status;
    cwire_identify *again = cwire_identify_decode(buffer, size, &generous, &status);
    CHECK(again != NULL && status == CWIRE_OK);
    CHECK_ALL(check_same(identify, again));
    cwire_identify_free(again);
    free(buffer);
    cwire_identify_free(copy);
    return NULL;
}

static const char *check_limit(
    const uint8_t *data, size_t length, const cwire_identify_limits *limits, cwire_status expected) {
    cwire_status status;
    cwire_identify *identify = cwire_identify_decode(data, length, limits, &status);
    CHECK(status == expected && (identify != NULL) == (expected == CWIRE_OK));
    cwire_identify_free(identify);
    return NULL;
}

const char *cwire_fuzz_identify(const uint8_t *data, size_t length) {
    cwire_status status;
    cwire_identify *identify = cwire_identify_decode(data, length, &generous, &status);
    CHECK((identify != NULL) == (status == CWIRE_OK));
    if (identify == NULL) return NULL;
    CHECK_ALL(check_encoding(identify));
    cwire_identify_limits exact = {
        length, cwire_identify_listen_address_count(identify), cwire_identify_protocol_count(identify),
    };
    CHECK_ALL(check_limit(data, length, &exact, CWIRE_OK));
    cwire_identify_limits lower = exact;
    if (lower.message_bytes-- > 0) CHECK_ALL(check_limit(data, length, &lower, CWIRE_LIMIT_MESSAGE_BYTES));
    lower = exact;
    if (lower.listen_addresses-- > 0) CHECK_ALL(check_limit(data, length, &lower, CWIRE_LIMIT_ADDRESSES));
    lower = exact;
    if (lower.protocols-- > 0) CHECK_ALL(check_limit(data, length, &lower, CWIRE_LIMIT_PROTOCOLS));
    cwire_identify_free(identify);
    return NULL;
}
