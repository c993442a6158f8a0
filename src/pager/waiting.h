/* waiting.h: things that are dead in the newest root but may still be seen by an older one.
 *
 * A thing (a frame, or a run of file pages) has a birth and a death, both generations: the roots
 * with birth <= generation < death reach it. It may be reused exactly when no holder (a generation
 * that somebody still looks at) is in that interval. That one rule makes a long-lived reader cost
 * only what it can see.
 *
 * Each thing waits in the bucket of the newest holder that reaches it, and is looked at again only
 * when that holder is gone; so a commit costs O(holders + things that died in it). Nodes come from
 * a pool that is filled before anything can no longer be undone; moving them needs no memory. Not
 * for concurrent use. */
#ifndef NS_PAGER_WAITING_H
#define NS_PAGER_WAITING_H

#include "base/alloc.h"
#include "base/status.h"

struct ns__thing {
    struct ns__thing *next;
    uint64_t number; /* frame or first page */
    uint64_t pages;  /* 0: a frame */
    uint64_t birth, death;
    uint32_t epoch; /* of the page before it died: change.c */
};

struct ns__thing_pool {
    struct ns__alloc *alloc;
    struct ns__thing *free;
    uint64_t free_count;
    struct ns__thing_slab *slabs;
};

void ns__pool_init(struct ns__thing_pool *pool, struct ns__alloc *alloc);
void ns__pool_deinit(struct ns__thing_pool *pool);
/* At least `count` nodes can be taken without failing. NS_NOMEM. */
ns_status ns__pool_reserve(struct ns__thing_pool *pool, uint64_t count);
/* After a reserve it cannot fail; else NULL is possible. */
struct ns__thing *ns__pool_take(struct ns__thing_pool *pool, uint64_t number, uint64_t pages,
                                uint64_t birth, uint64_t death);
void ns__pool_give(struct ns__thing_pool *pool, struct ns__thing *thing);

struct ns__bucket {
    uint64_t holder;
    uint64_t pages; /* in this bucket; frames count 1 */
    struct ns__thing *things;
};

struct ns__waiting {
    struct ns__alloc *alloc;
    struct ns__bucket *buckets; /* ascending by holder */
    uint32_t count, capacity;
    uint64_t pages; /* in all buckets */
};

/* capacity: the largest number of distinct holders ever. NS_NOMEM. */
ns_status ns__waiting_init(struct ns__waiting *waiting, struct ns__alloc *alloc, uint32_t capacity);
void ns__waiting_deinit(struct ns__waiting *waiting); /* nodes belong to the pool */

/* Takes a list of dead things and looks again at those whose holder is gone. holders: ascending,
 * distinct. Returns the list of things that nobody reaches any more. */
struct ns__thing *ns__waiting_sift(struct ns__waiting *waiting, struct ns__thing *dead,
                                   const uint64_t *holders, uint32_t holder_count);

#endif
