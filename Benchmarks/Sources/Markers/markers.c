#include "Markers.h"

__attribute__((noinline)) void bitswap_count_begin(void) { __asm__ volatile("" ::: "memory"); }

__attribute__((noinline)) void bitswap_count_end(void) { __asm__ volatile("" ::: "memory"); }
