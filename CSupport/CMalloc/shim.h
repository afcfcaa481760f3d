#pragma once
#include <stdlib.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

/* Sizes up to `largest` come from the heap, which keeps up to `kept` free bytes at its end. Nothing without glibc. */
static inline void cmalloc_keep_freed(int largest, int kept) {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, largest);
    mallopt(M_TRIM_THRESHOLD, kept);
#else
    (void)largest;
    (void)kept;
#endif
}
