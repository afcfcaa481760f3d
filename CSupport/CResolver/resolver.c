#include "CResolver.h"

#include <sys/types.h>
#include <netinet/in.h>
#include <arpa/nameser.h>
#include <resolv.h>
#include <string.h>

int cresolver_query_text(const char *name, uint8_t *answer, int capacity)
{
#if defined(__GLIBC__) || defined(__APPLE__)
    // A state of its own, so that threads do not share one.
    struct __res_state state;
    memset(&state, 0, sizeof state);
    if (res_ninit(&state) != 0)
        return -1;
    int length = res_nquery(&state, name, ns_c_in, ns_t_txt, answer, capacity);
    res_nclose(&state);
    return length;
#else
    return res_query(name, ns_c_in, ns_t_txt, answer, capacity);
#endif
}
