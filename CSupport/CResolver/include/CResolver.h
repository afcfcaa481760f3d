#ifndef CRESOLVER_H
#define CRESOLVER_H

#include <stdint.h>

/// Asks the system's resolver for the TXT records of a name; blocks. Writes the DNS message of the answer and returns its
/// length, which may be more than `capacity`, or -1 when there is none.
int cresolver_query_text(const char *name, uint8_t *answer, int capacity);

#endif
