// What the targets share.
#ifndef CWIRE_FUZZ_CHECK_H
#define CWIRE_FUZZ_CHECK_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "CWire.h"
#include "CWireFuzz.h"

#define TEXT_OF_LINE_(line) #line
#define TEXT_OF_LINE(line) TEXT_OF_LINE_(line)

// Ends the function around it with the text of the condition. Leaks what the function holds; the run is over anyway.
#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) return __FILE__ ":" TEXT_OF_LINE(__LINE__) ": not so: " #condition; \
    } while (0)

// The same for a function that returns such a text itself.
#define CHECK_ALL(call)                        \
    do {                                       \
        const char *failure = (call);          \
        if (failure != NULL) return failure;   \
    } while (0)

static inline bool equal_bytes(const uint8_t *left, size_t left_length, const uint8_t *right, size_t right_length) {
    return left_length == right_length && (left_length == 0 || memcmp(left, right, left_length) == 0);
}

static inline bool equal(cwire_bytes left, cwire_bytes right) {
    return (left.data == NULL) == (right.data == NULL)
        && equal_bytes(left.data, left.length, right.data, right.length);
}

// A buffer of exactly this size, so that the sanitizer sees every byte past it. Never NULL.
static inline uint8_t *buffer_of(size_t size) {
    uint8_t *buffer = malloc(size > 0 ? size : 1);
    if (buffer == NULL) abort();
    return buffer;
}

#endif
