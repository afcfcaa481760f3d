#include "check.h"

static const cwire_noise_payload_limits generous = {SIZE_MAX, 1 << 20, 1 << 20};

static const char *check_same(const cwire_noise_payload *left, const cwire_noise_payload *right) {
    CHECK(equal(cwire_noise_payload_identity_key(left), cwire_noise_payload_identity_key(right)));
    CHECK(equal(cwire_noise_payload_identity_signature(left), cwire_noise_payload_identity_signature(right)));
    size_t muxers = cwire_noise_payload_stream_muxer_count(left);
    CHECK(muxers == cwire_noise_payload_stream_muxer_count(right));
    for (size_t i = 0; i <= muxers; i++) {
        CHECK(equal(cwire_noise_payload_stream_muxer(left, i), cwire_noise_payload_stream_muxer(right, i)));
    }
    size_t hashes = cwire_noise_payload_certificate_hash_count(left);
    CHECK(hashes == cwire_noise_payload_certificate_hash_count(right));
    for (size_t i = 0; i <= hashes; i++) {
        CHECK(equal(cwire_noise_payload_certificate_hash(left, i), cwire_noise_payload_certificate_hash(right, i)));
    }
    return NULL;
}

static const char *check_encoding(const cwire_noise_payload *payload) {
    cwire_noise_payload *copy = cwire_noise_payload_create();
    CHECK(copy != NULL);
    cwire_bytes bytes = cwire_noise_payload_identity_key(payload);
    if (bytes.data != NULL) CHECK(cwire_noise_payload_set_identity_key(copy, bytes.data, bytes.length) == CWIRE_OK);
    bytes = cwire_noise_payload_identity_signature(payload);
    if (bytes.data != NULL) {
        CHECK(cwire_noise_payload_set_identity_signature(copy, bytes.data, bytes.length) == CWIRE_OK);
    }
    for (size_t i = 0; i < cwire_noise_payload_stream_muxer_count(payload); i++) {
        bytes = cwire_noise_payload_stream_muxer(payload, i);
        CHECK(cwire_noise_payload_add_stream_muxer(copy, bytes.data, bytes.length) == CWIRE_OK);
    }
    for (size_t i = 0; i < cwire_noise_payload_certificate_hash_count(payload); i++) {
        bytes = cwire_noise_payload_certificate_hash(payload, i);
        CHECK(cwire_noise_payload_add_certificate_hash(copy, bytes.data, bytes.length) == CWIRE_OK);
    }
    CHECK_ALL(check_same(payload, copy));

    size_t size = cwire_noise_payload_size(copy);
    uint8_t *buffer = buffer_of(size);
    if (size > 0) CHECK(cwire_noise_payload_write(copy, buffer, size - 1) == 0);
    CHECK(cwire_noise_payload_write(copy, buffer, size) == size);
    cwire_status status;
    cwire_noise_payload *again = cwire_noise_payload_decode(buffer, size, &generous, &status);
    CHECK(again != NULL && status == CWIRE_OK);
    CHECK_ALL(check_same(payload, again));
    cwire_noise_payload_free(again);
    free(buffer);
    cwire_noise_payload_free(copy);
    return NULL;
}

static const char *check_limit(
    const uint8_t *data, size_t length, const cwire_noise_payload_limits *limits, cwire_status expected) {
    cwire_status status;
    cwire_noise_payload *payload = cwire_noise_payload_decode(data, length, limits, &status);
    CHECK(status == expected && (payload != NULL) == (expected == CWIRE_OK));
    cwire_noise_payload_free(payload);
    return NULL;
}

const char *cwire_fuzz_noise_payload(const uint8_t *data, size_t length) {
    cwire_status status;
    cwire_noise_payload *payload = cwire_noise_payload_decode(data, length, &generous, &status);
    CHECK((payload != NULL) == (status == CWIRE_OK));
    if (payload == NULL) return NULL;
    CHECK_ALL(check_encoding(payload));
    cwire_noise_payload_limits exact = {
        length, cwire_noise_payload_stream_muxer_count(payload), cwire_noise_payload_certificate_hash_count(payload),
    };
    CHECK_ALL(check_limit(data, length, &exact, CWIRE_OK));
    cwire_noise_payload_limits lower = exact;
    if (lower.message_bytes-- > 0) CHECK_ALL(check_limit(data, length, &lower, CWIRE_LIMIT_MESSAGE_BYTES));
    lower = exact;
    if (lower.stream_muxers-- > 0) CHECK_ALL(check_limit(data, length, &lower, CWIRE_LIMIT_PROTOCOLS));
    lower = exact;
    if (lower.certificate_hashes-- > 0) CHECK_ALL(check_limit(data, length, &lower, CWIRE_LIMIT_CERTIFICATE_HASHES));
    cwire_noise_payload_free(payload);
    return NULL;
}
