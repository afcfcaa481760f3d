#include <secp256k1.h>

/* The flags of a context are macros with casts, which Swift does not import. */
static inline secp256k1_context *csecp256k1_verification_context(void) {
    return secp256k1_context_create(SECP256K1_CONTEXT_VERIFY);
}
