/* assert.c: the latch that keeps the first broken invariant of the process. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/atomic.h"

enum { LATCH_EMPTY, LATCH_FILLING, LATCH_FULL };

static uint64_t latch;
static char latch_text[256];

void ns__assert_failed(const char *expression, const char *file, int line)
{
    uint64_t expected = LATCH_EMPTY;
    if (ns__atomic_swap_if(&latch, &expected, LATCH_FILLING)) {
        (void)snprintf(latch_text, sizeof latch_text, "%s:%d: %s", file, line, expression);
        ns__atomic_store(&latch, LATCH_FULL);
    }
#if defined(NS_CHECKED)
    (void)fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, expression);
    (void)fflush(stderr);
    abort();
#endif
}

const char *ns__assert_broken(void)
{
    switch (ns__atomic_load(&latch)) {
    case LATCH_EMPTY: return NULL;
    case LATCH_FULL: return latch_text;
    default: return "a broken invariant is being recorded";
    }
}
