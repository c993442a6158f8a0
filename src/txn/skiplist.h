/* skiplist.h: points sorted by key in arena memory. A write set keeps two lists per keyspace:
 * its points, and its deleted ranges (key: where one starts, value: where it ends). One thread. */
#ifndef NS_TXN_SKIPLIST_H
#define NS_TXN_SKIPLIST_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/prng.h"

#define NS__SKIPLIST_LEVELS 14u /* each holds a quarter of the one below: enough for 4^14 nodes */

struct ns__point { /* a put or a delete of one key */
    ns_slice key;
    ns_slice value; /* put */
    bool is_put;
};

struct ns__skipnode {
    struct ns__point point;    /* first, so that a point leads to its node */
    struct ns__skipnode *prev; /* on level 0; NULL: the first */
    uint8_t *value_memory;
    size_t value_room; /* bytes at value_memory */
    uint32_t room;     /* bytes behind the links, for the key and at first the value; saturates */
    uint32_t height;
    uint64_t head; /* first eight bytes of the key as a number; beside the links: read together */
    struct ns__skipnode *next[];
};

/* What the lists of one write set share. */
struct ns__skipmemory {
    struct ns__arena *arena;
    struct ns__prng heights;
    struct ns__skipnode *spare; /* removed nodes, linked by next[0] */
};

/* Must not be moved: tail points into it. */
struct ns__skiplist {
    uint32_t height; /* levels in use */
    struct ns__skipnode *last;
    struct ns__skipnode *first[NS__SKIPLIST_LEVELS];
    struct ns__skipnode **tail[NS__SKIPLIST_LEVELS]; /* per level: the links whose entry is NULL */
};

void ns__skiplist_init(struct ns__skiplist *list);

static inline bool ns__skiplist_is_empty(const struct ns__skiplist *list)
{
    return list->last == NULL;
}

/* The node of a key; the first >= key; the last <= key; the last < key. NULL if there is none. */
struct ns__skipnode *ns__skiplist_find(const struct ns__skiplist *list, ns_slice key);
struct ns__skipnode *ns__skiplist_seek(const struct ns__skiplist *list, ns_slice key);
struct ns__skipnode *ns__skiplist_floor(const struct ns__skiplist *list, ns_slice key);
struct ns__skipnode *ns__skiplist_before(const struct ns__skiplist *list, ns_slice key);

/* Inserts or replaces; key and value are copied and may point into this list. NS_NOMEM: nothing
 * changed. */
ns_status ns__skiplist_put(struct ns__skipmemory *memory, struct ns__skiplist *list, ns_slice key,
                           ns_slice value, bool is_put);
void ns__skiplist_remove(struct ns__skipmemory *memory, struct ns__skiplist *list, ns_slice key);

/* Removes the keys in [from, to), or (from, to) if after_from. An empty `to` is the end.
 * from >= to is nothing. */
void ns__skiplist_cut(struct ns__skipmemory *memory, struct ns__skiplist *list, ns_slice from,
                      bool after_from, ns_slice to);

#endif
