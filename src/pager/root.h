/* root.h: one version of the database: what a snapshot copies, a commit makes and a meta stores. */
#ifndef NS_PAGER_ROOT_H
#define NS_PAGER_ROOT_H

#include "format/layout.h"

/* A multiple of 8 bytes without padding, so that it can be copied word by word. */
struct ns__root {
    uint64_t generation; /* of the root; the clock of births and deaths */
    uint64_t txn_id;     /* newest transaction in it; 0: none */
    int64_t unix_us;     /* its commit time */
    uint64_t log_end;    /* log offset after the envelope that holds it: where replay goes on */
    uint8_t chain[NS__CHAIN_BYTES];
    struct ns__tree main;
    struct ns__tree catalogue;
    uint64_t keyspaces; /* named ones */
};

_Static_assert(sizeof(struct ns__root) % 8 == 0, "copied word by word");

#endif
