#ifndef MARKERS_H
#define MARKERS_H

/// Where callgrind begins to count, and where it writes down what it has counted.
void bitswap_count_begin(void);
void bitswap_count_end(void);

#endif
