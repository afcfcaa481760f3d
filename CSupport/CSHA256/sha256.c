#include "CSHA256.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#define CSHA256_X86 1
#endif

#if CSHA256_X86

#define BLOCK 64
#define LANES 2
#define SHA __attribute__((target("sha,sse4.1,ssse3")))

static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

// The state as the instructions want it: the words a b e f, and c d g h.
struct lane {
    __m128i abef, cdgh;
};

SHA static inline __attribute__((always_inline)) struct lane initial(void) {
    struct lane lane;
    lane.abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
    lane.cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
    return lane;
}

// `lanes` is a constant where this is inlined: the compiler unrolls it all, and while the instructions of one lane wait
// for their results those of the other run.
SHA static inline __attribute__((always_inline)) void compress(
    struct lane *state, const uint8_t **at, size_t blocks, const int lanes) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    for (; blocks > 0; blocks--) {
        struct lane before[LANES];
        __m128i words[LANES][4];
        for (int lane = 0; lane < lanes; lane++) {
            before[lane] = state[lane];
            for (int i = 0; i < 4; i++)
                words[lane][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(at[lane] + 16 * i)), swap);
            at[lane] += BLOCK;
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) {
            const __m128i k = _mm_load_si128((const __m128i *)(K + 4 * i));
            for (int lane = 0; lane < lanes; lane++) {
                __m128i *w = words[lane];
                __m128i message = _mm_add_epi32(w[i % 4], k);
                state[lane].cdgh = _mm_sha256rnds2_epu32(state[lane].cdgh, state[lane].abef, message);
                message = _mm_shuffle_epi32(message, 0x0e);
                state[lane].abef = _mm_sha256rnds2_epu32(state[lane].abef, state[lane].cdgh, message);
                if (i < 12) {
                    __m128i next = _mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]);
                    next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4));
                    w[i % 4] = _mm_sha256msg2_epu32(next, w[(i + 3) % 4]);
                }
            }
        }
        for (int lane = 0; lane < lanes; lane++) {
            state[lane].abef = _mm_add_epi32(state[lane].abef, before[lane].abef);
            state[lane].cdgh = _mm_add_epi32(state[lane].cdgh, before[lane].cdgh);
        }
    }
}

SHA static void one(struct lane *state, const uint8_t *at, size_t blocks) { compress(state, &at, blocks, 1); }

SHA static void two(struct lane *state, const uint8_t **at, size_t blocks) { compress(state, at, blocks, 2); }

// The bytes past the last whole block, padded: returns how many blocks they make.
static size_t tail(const uint8_t *bytes, size_t count, uint8_t out[2 * BLOCK]) {
    const size_t rest = count % BLOCK;
    const size_t blocks = rest < BLOCK - 8 ? 1 : 2;
    memset(out, 0, 2 * BLOCK);
    if (rest > 0) memcpy(out, bytes + (count - rest), rest);
    out[rest] = 0x80;
    const uint64_t bits = __builtin_bswap64((uint64_t)count * 8);
    memcpy(out + blocks * BLOCK - 8, &bits, 8);
    return blocks;
}

SHA static void store(const struct lane *state, uint8_t *digest) {
    uint32_t abef[4], cdgh[4];
    _mm_storeu_si128((__m128i *)abef, state->abef);
    _mm_storeu_si128((__m128i *)cdgh, state->cdgh);
    const uint32_t words[8] = {abef[3], abef[2], cdgh[3], cdgh[2], abef[1], abef[0], cdgh[1], cdgh[0]};
    for (int i = 0; i < 8; i++) {
        const uint32_t word = __builtin_bswap32(words[i]);
        memcpy(digest + 4 * i, &word, 4);
    }
}

SHA static void finish(
    struct lane *state, const uint8_t *bytes, size_t count, size_t done, uint8_t *digest) {
    uint8_t last[2 * BLOCK];
    one(state, bytes + done * BLOCK, count / BLOCK - done);
    one(state, last, tail(bytes, count, last));
    store(state, digest);
}

SHA void csha256_hash(const uint8_t *bytes, size_t count, uint8_t *digest) {
    struct lane state = initial();
    finish(&state, bytes, count, 0, digest);
}

SHA void csha256_hash_two(
    const uint8_t *first, size_t first_count, const uint8_t *second, size_t second_count, uint8_t *digests) {
    struct lane states[LANES] = {initial(), initial()};
    const uint8_t *at[LANES] = {first, second};
    const size_t both = (first_count < second_count ? first_count : second_count) / BLOCK;
    two(states, at, both);
    finish(&states[0], first, first_count, both, digests);
    finish(&states[1], second, second_count, both, digests + CSHA256_DIGEST_SIZE);
}

bool csha256_is_available(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & (1u << 29))) return false;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 9)) && (c & (1u << 19));
}

#else

bool csha256_is_available(void) { return false; }

void csha256_hash(const uint8_t *bytes, size_t count, uint8_t *digest) {
    (void)bytes, (void)count, (void)digest;
}

void csha256_hash_two(
    const uint8_t *first, size_t first_count, const uint8_t *second, size_t second_count, uint8_t *digests) {
    (void)first, (void)first_count, (void)second, (void)second_count, (void)digests;
}

#endif

bool csha256_is_fast(void) {
#ifdef __OPTIMIZE__
    return csha256_is_available();
#else
    return false;
#endif
}
