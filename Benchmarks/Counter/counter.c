// Counts allocations, and bytes that are copied, of a program that it is loaded into before everything else (LD_PRELOAD).
// For glibc. The program reads the counts through `bitswap_counts`.
//
// Counted are calls that reach the C library's functions by name: those of the program and of every library, not what a
// compiler has written out in place, nor what the kernel copies.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static uint64_t allocations, allocated_bytes, copies, copied_bytes;

// Allocations, their bytes, copies, their bytes.
void bitswap_counts(uint64_t counts[4]) {
    counts[0] = __atomic_load_n(&allocations, __ATOMIC_RELAXED);
    counts[1] = __atomic_load_n(&allocated_bytes, __ATOMIC_RELAXED);
    counts[2] = __atomic_load_n(&copies, __ATOMIC_RELAXED);
    counts[3] = __atomic_load_n(&copied_bytes, __ATOMIC_RELAXED);
}

static void allocated(size_t size) {
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&allocated_bytes, size, __ATOMIC_RELAXED);
}

void *malloc(size_t size) {
    allocated(size);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocated(count * size);
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    allocated(size);
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    allocated(size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
    void *memory = memalign(alignment, size);
    if (memory == NULL) return ENOMEM;
    *result = memory;
    return 0;
}

static void *(*real_memmove)(void *, const void *, size_t);

__attribute__((constructor)) static void find(void) {
    real_memmove = (void *(*)(void *, const void *, size_t))dlsym(RTLD_NEXT, "memmove");
}

static void *copy(void *to, const void *from, size_t size) {
    __atomic_fetch_add(&copies, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&copied_bytes, size, __ATOMIC_RELAXED);
    if (real_memmove != NULL) return real_memmove(to, from, size);
    // Before the constructor has run. Volatile, or the compiler makes a call of memmove of it.
    volatile unsigned char *target = to;
    const volatile unsigned char *source = from;
    if ((uintptr_t)to <= (uintptr_t)from) {
        for (size_t i = 0; i < size; i++) target[i] = source[i];
    } else {
        for (size_t i = size; i > 0; i--) target[i - 1] = source[i - 1];
    }
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) { return copy(to, from, size); }
void *memmove(void *to, const void *from, size_t size) { return copy(to, from, size); }

// What programs call that were built with _FORTIFY_SOURCE.
extern void __chk_fail(void) __attribute__((noreturn));

void *__memcpy_chk(void *to, const void *from, size_t size, size_t room) {
    if (size > room) __chk_fail();
    return copy(to, from, size);
}

void *__memmove_chk(void *to, const void *from, size_t size, size_t room) {
    if (size > room) __chk_fail();
    return copy(to, from, size);
}
