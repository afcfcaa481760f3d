// Makes one target a libFuzzer program: compiled with -DFUZZ_TARGET=cwire_fuzz_... by Tests/Fuzz/run.
#include <stdio.h>
#include <stdlib.h>

#include "../include/CWireFuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    const char *failure = FUZZ_TARGET(data, length);
    if (failure != NULL) {
        fprintf(stderr, "%s\n", failure);
        abort();
    }
    return 0;
}
