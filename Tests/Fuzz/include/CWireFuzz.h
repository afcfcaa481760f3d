/*
 * What must hold of everything that parses bytes from outside, whatever the bytes. Each function takes any input and
 * returns NULL, or a static text: what did not hold. libFuzzer drives them (Tests/Fuzz/run), and so do the unit tests,
 * with random input and with the files in FailCases/.
 */
#ifndef CWIRE_FUZZ_H
#define CWIRE_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/// Compared with the code protoc-c made, encoded again, and decoded under limits that fit exactly and that do not.
const char *cwire_fuzz_bitswap(const uint8_t *data, size_t length);
/// Varints and frame headers.
const char *cwire_fuzz_frame(const uint8_t *data, size_t length);
/// PublicKey and PrivateKey, compared with the code protoc-c made.
const char *cwire_fuzz_key(const uint8_t *data, size_t length);
/// The control messages: rebuilt field by field and decoded again.
const char *cwire_fuzz_noise_payload(const uint8_t *data, size_t length);
const char *cwire_fuzz_identify(const uint8_t *data, size_t length);
const char *cwire_fuzz_envelope(const uint8_t *data, size_t length);
const char *cwire_fuzz_peer_record(const uint8_t *data, size_t length);

#endif
