#ifndef CSHA256_H
#define CSHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// SHA-256 (FIPS 180-4) by the processor's SHA instructions, two inputs at a time: one input alone leaves the unit idle
// for nearly half of the time, because each instruction waits for the one before it.

#define CSHA256_DIGEST_SIZE 32

// Whether this processor has the instructions. Nothing else here may be called when it has not.
bool csha256_is_available(void);

// Whether what was built is worth calling: without optimisation it is slower than other code.
bool csha256_is_fast(void);

void csha256_hash(const uint8_t *bytes, size_t count, uint8_t *digest);

// Two inputs at once, of any lengths; those of about the same length gain most. The digests lie one behind the other.
void csha256_hash_two(
    const uint8_t *first, size_t first_count, const uint8_t *second, size_t second_count, uint8_t *digests);

#endif
