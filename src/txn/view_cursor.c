/* view_cursor.c: moving over a tree and the write set over it as if they were one.
 *
 * Two sides are walked together: the *base*, a cursor of the keyspace's tree, and the *points*
 * of the write set. The entry that the cursor stands on comes from one of them.
 *
 * Invariants, while the cursor stands on an entry with key K.
 *   1. Going forward, base stands on an entry >= K with no visible one of the base between, or
 *      nowhere if none is left; point is the first point >= K. Going backward the same with <=
 *      and last.
 *   2. is_point: the entry is point's, and `copy` holds K; then base may stand on K too, in
 *      point's shadow. Otherwise the entry is base's, base stands on K, and K is base's own
 *      copy.
 *   3. point belongs to the set as it was at `changes`. When the set has moved on, point is
 *      sought again from K; base need not be: entries of the base become hidden or shadowed by
 *      changes, and never visible again.
 *   4. When the direction turns, what does not stand on K is sought again from K.
 *
 * Base entries in a deleted range are skipped by seeking to the end of the range, not one by
 * one.
 *
 * Without a write set a move is a move of base, and one comparison if there is a bound on that
 * side. */
#include "txn/view.h"

#include "base/marks.h"

enum place { BEFORE_FIRST, ON_ENTRY, PAST_LAST };

struct ns__view_cursor {
    struct ns__view *view;
    struct ns__alloc *alloc;
    ns_keyspace keyspace;
    enum place place;
    bool is_forward;
    bool is_point;
    struct ns__btree_cursor base;
    const struct ns__writeset *overlay; /* NULL: the set says nothing of the keyspace */
    const struct ns__point *point;
    uint64_t changes; /* of the set, when overlay and point were found */
    size_t copy_bytes;
    uint8_t *copy;   /* of the key; key_room bytes */
    uint8_t *sought; /* of a key given by the caller; key_room bytes */
    size_t key_room;
    ns_slice from, to; /* in bounds */
    uint8_t *bounds;
    size_t bounds_bytes;
};

static size_t cursor_bytes(size_t key_room)
{
    return sizeof(struct ns__view_cursor) + 2 * key_room;
}

ns_status ns__view_cursor_new(struct ns__view *view, ns_keyspace keyspace, struct ns__alloc *alloc,
                              struct ns__view_cursor **cursor_out)
{
    *cursor_out = NULL;
    NS_TRY(ns__view_has_keyspace(view, keyspace));
    struct ns__tree tree;
    ns_status status = ns__view_tree(view, keyspace, &tree); /* empty if it was created here */
    if (status != NS_OK && status != NS_NOTFOUND) return status;
    size_t key_room = ns__key_bytes_max(view->pages->page_size);
    struct ns__view_cursor *cursor = ns__alloc(alloc, cursor_bytes(key_room));
    if (cursor == NULL) return NS_NOMEM;
    memset(cursor, 0, sizeof *cursor);
    cursor->view = view;
    cursor->alloc = alloc;
    cursor->keyspace = keyspace;
    cursor->key_room = key_room;
    cursor->copy = (uint8_t *)(cursor + 1);
    cursor->sought = cursor->copy + key_room;
    cursor->changes = UINT64_MAX;
    status = ns__btree_cursor_init(&cursor->base, view->pages, &tree, alloc);
    if (status != NS_OK) {
        ns__view_cursor_free(cursor);
        return status;
    }
    *cursor_out = cursor;
    return NS_OK;
}

void ns__view_cursor_free(struct ns__view_cursor *cursor)
{
    if (cursor == NULL) return;
    ns__btree_cursor_deinit(&cursor->base);
    ns__alloc_release(cursor->alloc, cursor->bounds, cursor->bounds_bytes);
    ns__alloc_release(cursor->alloc, cursor, cursor_bytes(cursor->key_room));
}

ns_status ns__view_cursor_bounds(struct ns__view_cursor *cursor, ns_slice from, ns_slice to)
{
    size_t bytes = from.size + to.size;
    uint8_t *bounds = NULL;
    if (bytes > 0) {
        bounds = ns__alloc(cursor->alloc, bytes);
        if (bounds == NULL) return NS_NOMEM;
        if (from.size > 0) memcpy(bounds, from.data, from.size);
        if (to.size > 0) memcpy(bounds + from.size, to.data, to.size);
    }
    ns__alloc_release(cursor->alloc, cursor->bounds, cursor->bounds_bytes);
    cursor->bounds = bounds;
    cursor->bounds_bytes = bytes;
    cursor->from = ns_bytes(bounds, from.size);
    cursor->to = ns_bytes(from.size > 0 && to.size > 0 ? bounds + from.size : bounds, to.size);
    cursor->place = BEFORE_FIRST;
    return NS_OK;
}

/* ---- the two sides ---- */

static inline bool base_is_on(const struct ns__view_cursor *cursor)
{
    return ns__btree_cursor_is_on(&cursor->base);
}

static inline ns_slice base_key(const struct ns__view_cursor *cursor)
{
    return ns_bytes(cursor->base.key, cursor->base.key_bytes);
}

static inline ns_slice current_key(const struct ns__view_cursor *cursor)
{
    return cursor->is_point ? ns_bytes(cursor->copy, cursor->copy_bytes) : base_key(cursor);
}

/* An end of the tree is no failure of a move of one side. */
static inline ns_status unless_end(ns_status status)
{
    return status == NS_NOTFOUND ? NS_OK : status;
}

static inline ns_status step_base(struct ns__view_cursor *cursor)
{
    return unless_end(cursor->is_forward ? ns__btree_cursor_next(&cursor->base)
                                         : ns__btree_cursor_prev(&cursor->base));
}

static void step_point(struct ns__view_cursor *cursor)
{
    cursor->point =
        cursor->is_forward ? ns__writeset_next(cursor->point) : ns__writeset_prev(cursor->point);
}

/* Did the set change since overlay and point were found? Finds overlay again if so; point is
 * then of no use. */
static inline bool is_changed(struct ns__view_cursor *cursor)
{
    const struct ns__writeset *set = cursor->view->set;
    if (set == NULL || set->changes == cursor->changes) return false;
    cursor->changes = set->changes;
    cursor->overlay = ns__writeset_touches(set, cursor->keyspace) ? set : NULL;
    cursor->point = NULL;
    return true;
}

/* Stands on the first entry >= key (forward) or the last < key, or beyond the end if it is
 * empty, on both sides. */
static ns_status seek_sides(struct ns__view_cursor *cursor, bool is_forward, ns_slice key)
{
    bool is_edge = key.size == 0;
    ns_status status;
    (void)is_changed(cursor);
    cursor->is_forward = is_forward;
    cursor->point = NULL;
    if (is_forward) {
        if (cursor->overlay != NULL) {
            cursor->point = ns__writeset_seek(cursor->overlay, cursor->keyspace, key);
        }
        status = is_edge ? ns__btree_cursor_first(&cursor->base)
                         : ns__btree_cursor_seek(&cursor->base, key);
    } else {
        if (cursor->overlay != NULL) {
            cursor->point =
                ns__writeset_seek_before(cursor->overlay, cursor->keyspace, key, is_edge);
        }
        status = is_edge ? ns__btree_cursor_last(&cursor->base)
                         : ns__btree_cursor_seek_before(&cursor->base, key);
    }
    return unless_end(status);
}

/* ---- settling on an entry ---- */

static ns_status fail(struct ns__view_cursor *cursor, ns_status status)
{
    cursor->place = BEFORE_FIRST;
    return status;
}

static ns_status settle_at_end(struct ns__view_cursor *cursor)
{
    cursor->place = cursor->is_forward ? PAST_LAST : BEFORE_FIRST;
    return NS_NOTFOUND;
}

static inline bool is_out_of_bounds(const struct ns__view_cursor *cursor, ns_slice key)
{
    if (cursor->is_forward) {
        return cursor->to.size > 0 && ns__slice_compare(key, cursor->to) >= 0;
    }
    return cursor->from.size > 0 && ns__slice_compare(key, cursor->from) < 0;
}

/* Moves base out of deleted ranges. */
static ns_status skip_hidden(struct ns__view_cursor *cursor)
{
    ns_slice from, to;
    while (base_is_on(cursor) &&
           ns__writeset_range_at(cursor->overlay, cursor->keyspace, base_key(cursor), &from, &to)) {
        NS__MARK(range_hides_base);
        ns_slice end = cursor->is_forward ? to : from;
        if (end.size == 0) {
            cursor->base.depth = 0;
            break;
        }
        NS_TRY(unless_end(cursor->is_forward ? ns__btree_cursor_seek(&cursor->base, end)
                                             : ns__btree_cursor_seek_before(&cursor->base, end)));
    }
    return NS_OK;
}

static ns_status settle_on_base(struct ns__view_cursor *cursor)
{
    cursor->is_point = false;
    cursor->place = ON_ENTRY;
    return NS_OK;
}

static ns_status settle_on_point(struct ns__view_cursor *cursor)
{
    ns_slice key = cursor->point->key;
    if (key.size > cursor->key_room) {
        return fail(cursor,
                    ns__error(NS_INTERNAL, "a write set holds a key of %zu bytes", key.size));
    }
    memcpy(cursor->copy, key.data, key.size);
    cursor->copy_bytes = key.size;
    cursor->is_point = true;
    cursor->place = ON_ENTRY;
    return NS_OK;
}

/* From where the sides stand to the nearest visible entry in the direction of travel. */
static ns_status settle_merged(struct ns__view_cursor *cursor)
{
    for (;;) {
        ns_status status = skip_hidden(cursor);
        if (status != NS_OK) return fail(cursor, status);
        const struct ns__point *point = cursor->point;
        if (point == NULL && !base_is_on(cursor)) return settle_at_end(cursor);
        int order; /* below 0: base comes first */
        if (point == NULL || !base_is_on(cursor)) {
            order = point == NULL ? -1 : 1;
        } else {
            order = ns__slice_compare(base_key(cursor), point->key);
            if (!cursor->is_forward) order = -order;
        }
        if (is_out_of_bounds(cursor, order < 0 ? base_key(cursor) : point->key)) {
            return settle_at_end(cursor);
        }
        if (order < 0) return settle_on_base(cursor);
        if (point->is_put) return settle_on_point(cursor);
        step_point(cursor);
        if (order == 0) {
            status = step_base(cursor);
            if (status != NS_OK) return fail(cursor, status);
        }
    }
}

static inline ns_status settle(struct ns__view_cursor *cursor, ns_status moved)
{
    if (moved != NS_OK) return fail(cursor, moved);
    if (cursor->overlay != NULL) return settle_merged(cursor);
    if (!base_is_on(cursor) || is_out_of_bounds(cursor, base_key(cursor))) {
        return settle_at_end(cursor);
    }
    return settle_on_base(cursor);
}

/* ---- moves ---- */

/* Both sides leave the current key in this direction; there is a write set. */
static ns_status leave_both(struct ns__view_cursor *cursor, bool is_forward)
{
    ns_slice key = current_key(cursor);
    bool is_turn = cursor->is_forward != is_forward;
    bool is_stale = is_changed(cursor) || is_turn;
    cursor->is_forward = is_forward;
    if (cursor->overlay != NULL) {
        if (is_stale) {
            NS__MARK(cursor_reposition);
            cursor->point = is_forward ? ns__writeset_seek(cursor->overlay, cursor->keyspace, key)
                                       : ns__writeset_seek_before(cursor->overlay, cursor->keyspace,
                                                                  key, false);
        }
        if (cursor->point != NULL && ns__slice_equal(cursor->point->key, key)) step_point(cursor);
    }
    if (!cursor->is_point) return step_base(cursor);
    if (is_turn) {
        NS_TRY(unless_end(is_forward ? ns__btree_cursor_seek(&cursor->base, key)
                                     : ns__btree_cursor_seek_before(&cursor->base, key)));
    }
    if (base_is_on(cursor) && ns__slice_equal(base_key(cursor), key)) return step_base(cursor);
    return NS_OK;
}

static inline ns_status leave(struct ns__view_cursor *cursor, bool is_forward)
{
    if (cursor->view->set != NULL) return leave_both(cursor, is_forward);
    cursor->is_forward = is_forward;
    return step_base(cursor);
}

ns_status ns__view_cursor_first(struct ns__view_cursor *cursor)
{
    return settle(cursor, seek_sides(cursor, true, cursor->from));
}

ns_status ns__view_cursor_last(struct ns__view_cursor *cursor)
{
    return settle(cursor, seek_sides(cursor, false, cursor->to));
}

ns_status ns__view_cursor_next(struct ns__view_cursor *cursor)
{
    if (cursor->place == ON_ENTRY) return settle(cursor, leave(cursor, true));
    return cursor->place == PAST_LAST ? NS_NOTFOUND : ns__view_cursor_first(cursor);
}

ns_status ns__view_cursor_prev(struct ns__view_cursor *cursor)
{
    if (cursor->place == ON_ENTRY) return settle(cursor, leave(cursor, false));
    return cursor->place == BEFORE_FIRST ? NS_NOTFOUND : ns__view_cursor_last(cursor);
}

/* A key that the caller may have got from this cursor, where no move overwrites it. Longer ones
 * cannot come from here. */
static ns_slice keep_sought(struct ns__view_cursor *cursor, ns_slice key)
{
    if (key.size == 0 || key.size > cursor->key_room) return key;
    memmove(cursor->sought, key.data, key.size);
    return ns_bytes(cursor->sought, key.size);
}

ns_status ns__view_cursor_seek(struct ns__view_cursor *cursor, ns_slice key)
{
    key = keep_sought(cursor, key);
    if (ns__slice_compare(key, cursor->from) < 0) key = cursor->from;
    return settle(cursor, seek_sides(cursor, true, key));
}

ns_status ns__view_cursor_seek_exact(struct ns__view_cursor *cursor, ns_slice key)
{
    key = keep_sought(cursor, key);
    ns_status status = ns__view_cursor_seek(cursor, key);
    if (status == NS_OK && !ns__slice_equal(current_key(cursor), key)) {
        cursor->place = PAST_LAST;
        status = NS_NOTFOUND;
    }
    return status;
}

ns_status ns__view_cursor_seek_before(struct ns__view_cursor *cursor, ns_slice key)
{
    key = keep_sought(cursor, key);
    if (key.size == 0) {
        cursor->place = BEFORE_FIRST;
        return NS_NOTFOUND;
    }
    if (cursor->to.size > 0 && ns__slice_compare(key, cursor->to) > 0) key = cursor->to;
    return settle(cursor, seek_sides(cursor, false, key));
}

/* ---- the entry ---- */

/* The value of the current key, wherever it is by now. */
static ns_status current_value(const struct ns__view_cursor *cursor, ns_slice *value_out)
{
    const struct ns__writeset *set = cursor->view->set;
    *value_out = ns_bytes(NULL, 0);
    if (set != NULL && set->changes != cursor->changes) {
        enum ns__writeset_answer answer =
            ns__writeset_get(set, cursor->keyspace, current_key(cursor), value_out);
        if (answer != NS__WRITESET_SILENT || cursor->is_point) return NS_OK;
    } else if (cursor->is_point) {
        *value_out = cursor->point->value;
        return NS_OK;
    }
    return ns__btree_cursor_entry(&cursor->base, value_out, NULL, NULL);
}

ns_status ns__view_cursor_get(const struct ns__view_cursor *cursor, ns_slice *key_out,
                              ns_slice *value_out)
{
    ns_slice key = ns_bytes(NULL, 0), value = key;
    ns_status status = NS_NOTFOUND;
    if (cursor->place == ON_ENTRY) {
        status = value_out != NULL ? current_value(cursor, &value) : NS_OK;
        if (status == NS_OK) key = current_key(cursor);
    }
    if (key_out != NULL) *key_out = key;
    if (value_out != NULL) *value_out = value;
    return status;
}
