/* snapshot.h: published roots, and who is looking at them.
 *
 * A ring holds the newest roots by generation; a slot per open transaction names the generation
 * that it looks at. Beginning takes no lock and never waits: load the generation, store it in
 * the slot (sequentially consistent), copy the root from the ring, load the generation again;
 * retry if it moved. The publisher stores the root in the ring first and the generation after
 * it, then (fence) scans the slots before anything is reused. */
#ifndef NS_TXN_SNAPSHOT_H
#define NS_TXN_SNAPSHOT_H

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/status.h"
#include "pager/root.h"

#define NS__RING_ROOTS 64u
#define NS__SPARE_SLOTS 2u /* beside slot_count: for the library's own holders */
#define NS__ROOT_WORDS (sizeof(struct ns__root) / 8)

struct ns__slot {        /* one cache line */
    uint64_t generation; /* atomic: 0 free, UINT64_MAX taken and holding nothing */
    uint64_t mode;       /* ns_txn_mode, for ns_db_readers; atomic */
    uint64_t txn_id;     /* atomic */
    uint64_t since_us;   /* atomic */
    void *owner;         /* cached transaction object; touched by the slot's holder only */
    uint64_t pad[3];
};

_Static_assert(sizeof(struct ns__slot) == 64, "one cache line");

struct ns__snapshots {
    uint64_t generation; /* atomic: newest published */
    uint8_t pad[56];
    uint64_t ring[NS__RING_ROOTS][NS__ROOT_WORDS]; /* atomic words */
    struct ns__slot *slots;                        /* slot_count, on cache lines; in slots_memory */
    uint32_t slot_count;
    uint64_t slots_used; /* atomic: high-water mark of slots ever taken */
    struct ns__alloc *alloc;
    void *slots_memory;
};

/* root is published as the first; its generation is at least 1. slot_count is at least 1.
 * NS_NOMEM, NS_INVALID. */
ns_status ns__snapshots_init(struct ns__snapshots *snapshots, struct ns__alloc *alloc,
                             uint32_t slot_count, const struct ns__root *root);
void ns__snapshots_deinit(struct ns__snapshots *snapshots); /* zeroed ones are fine */

/* Takes a free slot (tries the one this thread used last first) without a lock. NS_BUSY when all
 * are taken (the detail names the limit and the option). It holds nothing yet; *slot_out is NULL
 * after failure. */
ns_status ns__slot_take(struct ns__snapshots *snapshots, struct ns__slot **slot_out);
/* Whatever it held is let go. owner stays for the next holder. */
/* The same among the NS__SPARE_SLOTS that transactions cannot take: a checkpoint never waits for a
 * reader to end. NS_BUSY when both are taken. */
ns_status ns__slot_take_spare(struct ns__snapshots *snapshots, struct ns__slot **slot_out);
void ns__slot_free(struct ns__slot *slot);

/* Makes the slot hold the newest published root, and copies it. A slot that holds another one
 * lets it go. */
void ns__slot_hold(struct ns__snapshots *snapshots, struct ns__slot *slot,
                   struct ns__root *root_out);
/* The slot holds nothing (stays taken). */
void ns__slot_park(struct ns__slot *slot);

/* Publisher only (one at a time): root->generation is the newest plus one. */
void ns__snapshots_publish(struct ns__snapshots *snapshots, const struct ns__root *root);
/* Any thread: a copy of the newest published root; holds nothing. */
void ns__snapshots_newest(struct ns__snapshots *snapshots, struct ns__root *root_out);

/* Ascending distinct generations held by slots, after a full fence. out has room for slot_count +
 * NS__SPARE_SLOTS.
 * Returns how many. Complete for generations older than the newest one that the caller knows to
 * be published; that one itself is always in use. A generation may be listed that is being given
 * up, even a very old one. */
uint32_t ns__snapshots_held(struct ns__snapshots *snapshots, uint64_t *out);
uint32_t ns__snapshots_open(struct ns__snapshots *snapshots); /* slots taken by transactions */

#endif
