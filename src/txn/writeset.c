/* writeset.c: puts, deletes and deleted ranges before they are committed.
 *
 * What a keyspace of the set says of a key: its point if there is one; else "deleted" if a range
 * covers it or the base's content is hidden; else nothing, and the base answers.
 *
 * Invariants, per keyspace (FMT-27 asks for them, so a body is a walk over the lists).
 *   1. Ranges are not empty, disjoint, and do not touch.
 *   2. Points lie after ranges in time: a put in a range is there; a delete in a range would
 *      say nothing, and is not recorded.
 *   3. A delete is recorded only for a key that the base has. So equal logical changes, in
 *      whatever order of calls, leave equal lists.
 *   4. The base is *hidden* when the keyspace was created or dropped here: then there are puts
 *      only, no deletes and no ranges.
 *   5. A keyspace that was dropped and not created again has neither points nor ranges.
 *
 * Memory is taken before anything is changed, so that NS_NOMEM leaves the set as it was.
 * Keyspaces are in writeset_keyspaces.c, the body in body.c. */
#include "txn/writeset.h"

#include "base/assert.h"
#include "base/status.h"

static bool is_hidden(const struct ns__writeset_keyspace *entry)
{
    return entry->is_created || entry->is_dropped;
}

static bool is_entry_empty(const struct ns__writeset_keyspace *entry)
{
    return !is_hidden(entry) && ns__skiplist_is_empty(&entry->points) &&
           ns__skiplist_is_empty(&entry->ranges);
}

void ns__writeset_init(struct ns__writeset *set, struct ns__alloc *alloc, uint64_t seed)
{
    memset(set, 0, sizeof *set);
    ns__arena_init(&set->arena, alloc);
    set->memory.arena = &set->arena;
    set->memory.heights.state = seed;
}

void ns__writeset_deinit(struct ns__writeset *set)
{
    ns__arena_deinit(&set->arena);
    memset(set, 0, sizeof *set);
}

void ns__writeset_reset(struct ns__writeset *set)
{
    ns__arena_reset(&set->arena);
    set->memory.spare = NULL;
    set->recent = NULL;
    memset(&set->keyspaces, 0, sizeof set->keyspaces);
    memset(&set->created, 0, sizeof set->created);
    memset(&set->dropped, 0, sizeof set->dropped);
    set->changes++;
}

bool ns__writeset_is_empty(const struct ns__writeset *set)
{
    for (size_t i = 0; i < set->keyspaces.count; i++) {
        if (!is_entry_empty(set->keyspaces.items[i])) return false;
    }
    return true;
}

bool ns__writeset_touches(const struct ns__writeset *set, ns_keyspace keyspace)
{
    const struct ns__writeset_keyspace *entry = ns__writeset_entry(set, keyspace);
    return entry != NULL && !is_entry_empty(entry);
}

/* The range of the list that holds key; NULL if none does. */
static const struct ns__skipnode *range_of(const struct ns__writeset_keyspace *entry, ns_slice key)
{
    if (ns__skiplist_is_empty(&entry->ranges)) return NULL;
    const struct ns__skipnode *range = ns__skiplist_floor(&entry->ranges, key);
    if (range == NULL) return NULL;
    ns_slice to = range->point.value;
    return to.size == 0 || ns__slice_compare(key, to) < 0 ? range : NULL;
}

enum ns__writeset_answer ns__writeset_get(const struct ns__writeset *set, ns_keyspace keyspace,
                                          ns_slice key, ns_slice *value_out)
{
    if (value_out != NULL) *value_out = ns_bytes(NULL, 0);
    const struct ns__writeset_keyspace *entry = ns__writeset_entry(set, keyspace);
    if (entry == NULL) return NS__WRITESET_SILENT;
    const struct ns__skipnode *node = ns__skiplist_find(&entry->points, key);
    if (node != NULL) {
        if (!node->point.is_put) return NS__WRITESET_DELETED;
        if (value_out != NULL) *value_out = node->point.value;
        return NS__WRITESET_PUT;
    }
    if (is_hidden(entry) || range_of(entry, key) != NULL) return NS__WRITESET_DELETED;
    return NS__WRITESET_SILENT;
}

bool ns__writeset_range_at(const struct ns__writeset *set, ns_keyspace keyspace, ns_slice key,
                           ns_slice *from_out, ns_slice *to_out)
{
    *from_out = ns_bytes(NULL, 0);
    *to_out = ns_bytes(NULL, 0);
    const struct ns__writeset_keyspace *entry = ns__writeset_entry(set, keyspace);
    if (entry == NULL) return false;
    if (is_hidden(entry)) return true;
    const struct ns__skipnode *range = range_of(entry, key);
    if (range == NULL) return false;
    *from_out = range->point.key;
    *to_out = range->point.value;
    return true;
}

/* ---- changes ---- */

ns_status ns__writeset_put(struct ns__writeset *set, ns_keyspace keyspace, ns_slice key,
                           ns_slice value)
{
    struct ns__writeset_keyspace *entry;
    NS_TRY(ns__writeset_entry_make(set, keyspace, &entry));
    NS_ASSERT(entry->is_created || !entry->is_dropped);
    NS_TRY(ns__skiplist_put(&set->memory, &entry->points, key, value, true));
    set->changes++;
    return NS_OK;
}

ns_status ns__writeset_del(struct ns__writeset *set, ns_keyspace keyspace, ns_slice key,
                           bool in_base)
{
    struct ns__writeset_keyspace *entry;
    NS_TRY(ns__writeset_entry_make(set, keyspace, &entry));
    NS_ASSERT(entry->is_created || !entry->is_dropped);
    if (in_base && !is_hidden(entry) && range_of(entry, key) == NULL) {
        NS_TRY(ns__skiplist_put(&set->memory, &entry->points, key, ns_bytes(NULL, 0), false));
    } else {
        ns__skiplist_remove(&set->memory, &entry->points, key);
    }
    set->changes++;
    return NS_OK;
}

/* Does `to`, an end of a range, lie beyond the key? */
static bool ends_past(ns_slice to, ns_slice key)
{
    return to.size == 0 || ns__slice_compare(to, key) > 0;
}

/* Adds [from, to) to the ranges. Those that overlap or touch it become one with it: the last
 * that starts at or before `from` when it reaches `from`, and all that start in [from, to]. */
static ns_status add_range(struct ns__writeset *set, struct ns__skiplist *ranges, ns_slice from,
                           ns_slice to)
{
    const struct ns__skipnode *first = ns__skiplist_floor(ranges, from);
    const struct ns__skipnode *last = to.size > 0 ? ns__skiplist_floor(ranges, to) : ranges->last;
    if (first != NULL &&
        (ends_past(first->point.value, from) || ns__slice_equal(first->point.value, from))) {
        from = first->point.key;
    }
    if (last != NULL && to.size > 0 && ends_past(last->point.value, to)) to = last->point.value;
    NS_TRY(ns__skiplist_put(&set->memory, ranges, from, to, true));
    ns__skiplist_cut(&set->memory, ranges, from, true, to);
    return NS_OK;
}

ns_status ns__writeset_del_range(struct ns__writeset *set, ns_keyspace keyspace, ns_slice from,
                                 ns_slice to)
{
    if (to.size > 0 && ns__slice_compare(from, to) >= 0) return NS_OK;
    struct ns__writeset_keyspace *entry;
    NS_TRY(ns__writeset_entry_make(set, keyspace, &entry));
    NS_ASSERT(entry->is_created || !entry->is_dropped);
    if (!is_hidden(entry)) NS_TRY(add_range(set, &entry->ranges, from, to));
    ns__skiplist_cut(&set->memory, &entry->points, from, false, to);
    set->changes++;
    return NS_OK;
}

/* ---- walking ---- */

const struct ns__point *ns__writeset_seek(const struct ns__writeset *set, ns_keyspace keyspace,
                                          ns_slice key)
{
    const struct ns__writeset_keyspace *entry = ns__writeset_entry(set, keyspace);
    if (entry == NULL) return NULL;
    const struct ns__skipnode *node = ns__skiplist_seek(&entry->points, key);
    return node != NULL ? &node->point : NULL;
}

const struct ns__point *ns__writeset_seek_before(const struct ns__writeset *set,
                                                 ns_keyspace keyspace, ns_slice key, bool from_end)
{
    const struct ns__writeset_keyspace *entry = ns__writeset_entry(set, keyspace);
    if (entry == NULL) return NULL;
    const struct ns__skipnode *node =
        from_end ? entry->points.last : ns__skiplist_before(&entry->points, key);
    return node != NULL ? &node->point : NULL;
}

const struct ns__point *ns__writeset_next(const struct ns__point *point)
{
    const struct ns__skipnode *node = (const void *)point;
    return node->next[0] != NULL ? &node->next[0]->point : NULL;
}

const struct ns__point *ns__writeset_prev(const struct ns__point *point)
{
    const struct ns__skipnode *node = (const void *)point;
    return node->prev != NULL ? &node->prev->point : NULL;
}
