/* writeset.h: the uncommitted changes of one write transaction: per keyspace a set of disjoint
 * deleted ranges and a sorted set of puts and deletes that came after them. Memory comes from
 * one arena and dies with the transaction. One thread. */
#ifndef NS_TXN_WRITESET_H
#define NS_TXN_WRITESET_H

#include "base/arena.h"
#include "format/record.h"
#include "txn/skiplist.h"
#include <northstar/log.h>

/* The changes of one keyspace. */
struct ns__writeset_keyspace {
    ns_keyspace id;
    bool is_created; /* here, and not dropped since */
    bool is_dropped; /* of the base, here; both: dropped, then created again */
    ns_slice name;   /* if created or dropped */
    struct ns__skiplist points;
    struct ns__skiplist ranges; /* key: from; value: to (empty: open); disjoint, not touching */
};

struct ns__writeset_list { /* pointers in some order, in arena memory */
    struct ns__writeset_keyspace **items;
    size_t count, room;
};

struct ns__writeset {
    struct ns__arena arena;
    struct ns__skipmemory memory;
    struct ns__writeset_list keyspaces;   /* by id */
    struct ns__writeset_list created;     /* by name */
    struct ns__writeset_list dropped;     /* by name; those created again are in both */
    struct ns__writeset_keyspace *recent; /* the one changed last; NULL: none */
    uint64_t changes; /* counts every change: a view of a value is valid until it moves */
};

void ns__writeset_init(struct ns__writeset *set, struct ns__alloc *alloc, uint64_t seed);
void ns__writeset_deinit(struct ns__writeset *set); /* a zeroed set is fine */
void ns__writeset_reset(struct ns__writeset *set);  /* empty again, keeps some memory */
/* Would the body have no operations? */
bool ns__writeset_is_empty(const struct ns__writeset *set);
/* Does the set say anything of this keyspace or of keys in it? */
bool ns__writeset_touches(const struct ns__writeset *set, ns_keyspace keyspace);

/* What the set says of a key. value_out (may be NULL) is a view, {NULL, 0} unless
 * NS__WRITESET_PUT. */
enum ns__writeset_answer { NS__WRITESET_SILENT, NS__WRITESET_PUT, NS__WRITESET_DELETED };
enum ns__writeset_answer ns__writeset_get(const struct ns__writeset *set, ns_keyspace keyspace,
                                          ns_slice key, ns_slice *value_out);

/* Changes. Keys and values are copied. NS_NOMEM leaves the set as it was. The keyspace has not
 * been dropped. */
ns_status ns__writeset_put(struct ns__writeset *set, ns_keyspace keyspace, ns_slice key,
                           ns_slice value);
/* in_base: the key exists in the base (under no deleted range): a delete is recorded; otherwise
 * only an earlier put is undone. */
ns_status ns__writeset_del(struct ns__writeset *set, ns_keyspace keyspace, ns_slice key,
                           bool in_base);
/* Drops points in [from, to) and adds the range, merged with those it overlaps or touches. An
 * empty from is the start, an empty to the end; from >= to is nothing. */
ns_status ns__writeset_del_range(struct ns__writeset *set, ns_keyspace keyspace, ns_slice from,
                                 ns_slice to);

/* ---- keyspaces ---- */

/* Created and dropped ones. `exists_in_base` as the caller found it in the root. Dropping a
 * keyspace created here takes the creation back; dropping one of the base hides all of it (the
 * set then answers NS__WRITESET_DELETED for keys not put since); creating again the name of a
 * dropped one gives the same id and starts empty. NS_NOMEM. */
ns_status ns__writeset_create(struct ns__writeset *set, ns_slice name, ns_keyspace keyspace);
ns_status ns__writeset_drop(struct ns__writeset *set, ns_slice name, ns_keyspace keyspace,
                            bool exists_in_base);
/* NS_OK: created here; NS_GONE: dropped here (detail not set); NS_NOTFOUND: the set says
 * nothing. The id is given with NS_OK and NS_GONE, and 0 with NS_NOTFOUND. */
ns_status ns__writeset_find_name(const struct ns__writeset *set, ns_slice name,
                                 ns_keyspace *keyspace_out);
/* The same answers for an id. */
ns_status ns__writeset_find_id(const struct ns__writeset *set, ns_keyspace keyspace);
/* Created names in byte order: index 0.. ; false past the last. */
bool ns__writeset_created(const struct ns__writeset *set, size_t index, ns_slice *name_out,
                          ns_keyspace *keyspace_out);

/* ---- ordered walk over points (puts and deletes) of one keyspace ---- */

/* First point >= key (empty key: the first), last point < key (from_end: the last of all). NULL
 * if none. Valid until the set changes. */
const struct ns__point *ns__writeset_seek(const struct ns__writeset *set, ns_keyspace keyspace,
                                          ns_slice key);
const struct ns__point *ns__writeset_seek_before(const struct ns__writeset *set,
                                                 ns_keyspace keyspace, ns_slice key, bool from_end);
/* The neighbours of a point. NULL past either end. */
const struct ns__point *ns__writeset_next(const struct ns__point *point);
const struct ns__point *ns__writeset_prev(const struct ns__point *point);
/* Is key in a deleted range (or the whole keyspace dropped)? If so that range: from_out (empty:
 * start) and to_out (empty: open end), both empty otherwise. */
bool ns__writeset_range_at(const struct ns__writeset *set, ns_keyspace keyspace, ns_slice key,
                           ns_slice *from_out, ns_slice *to_out);

/* ---- the canonical body (FMT-26, FMT-27) ---- */

/* Bytes and operations of the body. */
void ns__writeset_body_size(const struct ns__writeset *set, size_t *bytes_out,
                            uint64_t *op_count_out);
/* Writes exactly that many bytes. */
void ns__writeset_body_encode(const struct ns__writeset *set, uint8_t *out);

/* Shared by writeset*.c: the changes of a keyspace; NULL: none. With entry_make: made if absent
 * (NS_NOMEM). */
struct ns__writeset_keyspace *ns__writeset_entry(const struct ns__writeset *set,
                                                 ns_keyspace keyspace);
ns_status ns__writeset_entry_make(struct ns__writeset *set, ns_keyspace keyspace,
                                  struct ns__writeset_keyspace **entry_out);

#endif
