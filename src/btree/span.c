/* span.c: what becomes of a child whose edits do not fit the fast path: balance between neighbours.
 *
 * A *span* is a run of neighbouring children of one branch that are packed together. It begins as
 * one child. If that overflows into two nodes, one neighbour joins, so that two full nodes become
 * three and fill stays high (about four fifths under random insertion). If it has shrunk below
 * half, neighbours join until there is enough for half a node, or all of it fits in one. Append
 * patterns split without neighbours and leave full nodes behind.
 *
 * The neighbour on the right has not been swept yet: its part of the batch is taken too. The one
 * on the left has: if it is a new node already, it is given up again in the same change.
 *
 * Terms. A *thin* node is below half although a delete shrank it, because its parent had no other
 * child. A branch cannot have a single child either, so a branch that comes down to one is not
 * built at all: its child stands for it, *stunted* by the missing level. Either is mended when the
 * parent's level finds a neighbour, or becomes the root.
 *
 *   B1  edits of the parent stay ascending: a span replaces its first child (or the new piece that
 *       it begins with), removes the other old ones, and inserts its further pieces behind them;
 *   B2  a thin or stunted item is the only item of its list until mended, so none is ever stored in
 *       a branch with others;
 *   B3  no key of an item points into a pool that is reset before the item is packed: items at a
 *       level use that level's pool, pieces the pool of the level above. */
#include "btree/build.h"

#include "base/marks.h"

struct span {
    uint32_t level;
    uint32_t first, last; /* old children of the parent whose place it takes */
    bool is_insert;       /* it begins with a new piece, which stands before `first` */
    ns_slice key;         /* that piece's separator */
};

static inline uint32_t half(const struct ns__sweep *sweep)
{
    return sweep->page_size / 2;
}

static inline struct ns__rung *parent_of(struct ns__sweep *sweep, const struct span *span)
{
    return &sweep->rungs[span->level + 1];
}

/* The separator of an old child; empty for the first. */
static ns_status separator(struct ns__sweep *sweep, uint32_t level, uint32_t index,
                           ns_slice *key_out)
{
    *key_out = ns_bytes(NULL, 0);
    if (level == 0 || index == 0) return NS_OK; /* leaves know their keys */
    const uint8_t *parent = sweep->rungs[level + 1].node;
    return ns__rung_separator(sweep, &sweep->rungs[level], parent, index, key_out);
}

/* Does a range delete all that the child can hold, and no op puts anything back? */
static bool is_covered(const struct ns__sweep *sweep, const struct ns__part *part)
{
    if (part->op_first < part->op_end || part->range_first == part->range_end) return false;
    const struct ns__tree_range *range = &sweep->batch->ranges[part->range_first];
    bool covers_low =
        range->from.size == 0 || (part->has_low && ns__slice_compare(range->from, part->low) <= 0);
    bool covers_high =
        range->to.size == 0 || (part->has_high && ns__slice_compare(range->to, part->high) >= 0);
    return covers_low && covers_high;
}

/* ---- mending ---- */

static ns_status mend(struct ns__sweep *sweep, uint32_t level);

/* Appends what a child item stands for to the items below. */
static ns_status open_item(struct ns__sweep *sweep, uint32_t level, const struct ns__item *item)
{
    struct ns__rung *below = &sweep->rungs[level - 1];
    if (item->stunted > 0) {
        NS_TRY(ns__rung_items_room(sweep, below, 1));
        below->items[below->item_count] = *item;
        below->items[below->item_count++].stunted--;
        return NS_OK;
    }
    const uint8_t *node;
    NS_TRY(ns__pages_node(sweep->pages, item->ref, level - 1, &node));
    NS_TRY(ns__items_append(sweep, level - 1, node, NULL, 0, ns_bytes(item->key, item->key_bytes)));
    return ns__sweep_drop(sweep, item->ref);
}

/* Makes nodes, or a stunted one, of the items of a level, of which there are some. */
static ns_status close_items(struct ns__sweep *sweep, uint32_t level, enum ns__cut_policy policy,
                             uint64_t planned_bytes)
{
    struct ns__rung *rung = &sweep->rungs[level];
    NS_ASSERT(rung->item_count > 0);
    if (level == 0 || rung->item_count > 1) {
        if (rung->cut_count == 2) policy = NS__CUT_FULL;
        return ns__items_pack(sweep, level, policy, planned_bytes);
    }
    struct ns__item *piece;
    rung->piece_count = 0;
    NS_TRY(ns__rung_piece(sweep, rung, &piece));
    *piece = rung->items[0];
    piece->stunted++;
    rung->item_count = 0;
    return NS_OK;
}

/* Joins the children behind items `at` and `at + 1` of a level. */
static ns_status join(struct ns__sweep *sweep, uint32_t level, size_t at)
{
    struct ns__rung *rung = &sweep->rungs[level], *below = &sweep->rungs[level - 1];
    NS_ASSERT(level > 0 && at + 1 < rung->item_count);
    ns__rung_reset(below);
    NS_TRY(open_item(sweep, level, &rung->items[at]));
    NS_TRY(open_item(sweep, level, &rung->items[at + 1]));
    if (level > 1) NS_TRY(mend(sweep, level - 1));

    uint64_t bytes;
    NS_TRY(ns__items_plan(sweep, level - 1, &bytes));
    bool is_lone = level > 1 && below->item_count == 1;
    bool is_thin = below->cut_count == 2 && bytes < half(sweep) && !is_lone;
    NS_TRY(close_items(sweep, level - 1, NS__CUT_EVEN, bytes));
    NS_ASSERT(below->piece_count > 0);
    if (!is_lone) below->pieces[0].is_thin = is_thin;
    below->pieces[0].key = rung->items[at].key;
    below->pieces[0].key_bytes = rung->items[at].key_bytes;

    size_t n = below->piece_count, behind = rung->item_count - (at + 2);
    NS_TRY(ns__rung_items_room(sweep, rung, n));
    memmove(rung->items + at + n, rung->items + at + 2, behind * sizeof *rung->items);
    memcpy(rung->items + at, below->pieces, n * sizeof *rung->items);
    rung->item_count = at + n + behind;
    return NS_OK;
}

/* Joins thin and stunted children with a neighbour, if the list has any: B2. */
static ns_status mend(struct ns__sweep *sweep, uint32_t level)
{
    struct ns__rung *rung = &sweep->rungs[level];
    NS_ASSERT(level > 0);
    size_t i = 0;
    while (i < rung->item_count && rung->item_count > 1) {
        if (!rung->items[i].is_thin && rung->items[i].stunted == 0) {
            i++;
            continue;
        }
        if (i + 1 == rung->item_count) i--;
        NS_TRY(join(sweep, level, i)); /* into one, or into several that are neither */
    }
    return NS_OK;
}

/* ---- neighbours ---- */

struct neighbour {
    uint64_t ref;      /* 0: there is none */
    size_t edit_count; /* left: edits of the parent that stay */
    uint32_t index;
    bool is_insert;
    ns_slice key;
};

/* The living node before the span: an old child, a new node in its place, or a new piece. */
static struct neighbour left_of(struct ns__sweep *sweep, const struct span *span)
{
    const struct ns__rung *parent = parent_of(sweep, span);
    struct neighbour left = {0};
    uint32_t index = span->first;
    size_t count = parent->edit_count;
    while (count > 0 && parent->edits[count - 1].kind == NS__EDIT_REMOVE &&
           parent->edits[count - 1].index + 1 == index) {
        count--;
        index--;
    }
    const struct ns__edit *before = count > 0 ? &parent->edits[count - 1] : NULL;
    if (before != NULL && before->kind == NS__EDIT_INSERT && before->index == index) {
        left.is_insert = true;
        left.index = index;
        left.key = ns_bytes(before->item.key, before->item.key_bytes);
        left.ref = before->item.ref;
        left.edit_count = count - 1;
    } else if (index > 0) {
        left.index = index - 1;
        left.ref = ns__node_ref(parent->node, index - 1);
        left.edit_count = count;
        if (before != NULL && before->kind == NS__EDIT_REF && before->index == index - 1) {
            NS_ASSERT(before->item.stunted == 0 && !before->item.is_thin); /* B2 */
            left.ref = before->item.ref;
            left.edit_count = count - 1;
        }
    }
    return left;
}

static struct neighbour right_of(struct ns__sweep *sweep, const struct span *span)
{
    const struct ns__rung *parent = parent_of(sweep, span);
    struct neighbour right = {0};
    if (span->last + 1 < ns__node_count(parent->node)) {
        right.index = span->last + 1;
        right.ref = ns__node_ref(parent->node, right.index);
    }
    return right;
}

static ns_status take_left(struct ns__sweep *sweep, struct span *span, const struct neighbour *left)
{
    struct ns__rung *parent = parent_of(sweep, span);
    const uint8_t *node;
    ns_slice key = left->key;
    NS_TRY(ns__pages_node(sweep->pages, left->ref, span->level, &node));
    if (!left->is_insert) NS_TRY(separator(sweep, span->level, left->index, &key));
    NS_TRY(ns__items_prepend(sweep, span->level, node, key));
    parent->edit_count = left->edit_count;
    span->first = left->index;
    span->is_insert = left->is_insert;
    span->key = left->key;
    return ns__sweep_drop(sweep, left->ref);
}

static ns_status take_right(struct ns__sweep *sweep, struct span *span,
                            const struct neighbour *right)
{
    struct ns__rung *rung = &sweep->rungs[span->level], *parent = parent_of(sweep, span);
    const struct ns__part *part = NULL;
    if (parent->part_next < parent->part_count &&
        parent->parts[parent->part_next].child == right->index) {
        part = &parent->parts[parent->part_next++];
    }
    span->last = right->index;
    if (part != NULL && is_covered(sweep, part)) {
        return ns__subtree_drop(sweep->change, &sweep->tree, right->ref, span->level);
    }
    const uint8_t *node;
    ns_slice key;
    NS_TRY(ns__pages_node(sweep->pages, right->ref, span->level, &node));
    rung->edit_count = 0;
    if (part != NULL) NS_TRY(ns__sweep_node(sweep, span->level, node, right->ref, part));
    NS_TRY(separator(sweep, span->level, right->index, &key));
    NS_TRY(ns__items_append(sweep, span->level, node, rung->edits, rung->edit_count, key));
    return ns__sweep_drop(sweep, right->ref);
}

/* Takes the emptier neighbour into the span. *taken_out: there was one. */
static ns_status take_neighbour(struct ns__sweep *sweep, struct span *span, bool *taken_out)
{
    struct neighbour left = left_of(sweep, span), right = right_of(sweep, span);
    const uint8_t *node;
    *taken_out = left.ref != 0 || right.ref != 0;
    if (left.ref != 0 && right.ref != 0) {
        NS_TRY(ns__pages_node(sweep->pages, left.ref, span->level, &node));
        uint32_t left_bytes = ns__node_used_bytes(node, sweep->page_size);
        NS_TRY(ns__pages_node(sweep->pages, right.ref, span->level, &node));
        if (left_bytes <= ns__node_used_bytes(node, sweep->page_size)) right.ref = 0;
    }
    if (right.ref != 0) return take_right(sweep, span, &right);
    return left.ref != 0 ? take_left(sweep, span, &left) : NS_OK;
}

/* ---- settling ---- */

static void note_split(uint32_t level)
{
    if (level == 0)
        NS__MARK(leaf_split);
    else
        NS__MARK(branch_split);
}

static void note_merge(uint32_t level)
{
    if (level == 0)
        NS__MARK(leaf_merge);
    else
        NS__MARK(branch_merge);
}

/* The pieces of the span become edits of the parent: B1. */
static ns_status emit(struct ns__sweep *sweep, const struct span *span, bool is_thin)
{
    struct ns__rung *rung = &sweep->rungs[span->level], *parent = parent_of(sweep, span);
    struct ns__edit *edit;
    uint32_t gone = span->first;
    size_t next = 0;
    if (rung->piece_count > 0) {
        enum ns__edit_kind kind = span->is_insert ? NS__EDIT_INSERT : NS__EDIT_REF;
        NS_TRY(ns__rung_edit(sweep, parent, kind, span->first, &edit));
        edit->item = rung->pieces[next++];
        edit->item.is_thin = edit->item.is_thin || is_thin;
        edit->item.key = span->key.data;
        edit->item.key_bytes = (uint32_t)span->key.size;
        if (!span->is_insert) gone++;
    }
    for (; gone <= span->last; gone++) {
        NS_TRY(ns__rung_edit(sweep, parent, NS__EDIT_REMOVE, gone, &edit));
    }
    if (rung->piece_count > 1) note_split(span->level);
    if (rung->piece_count == 1 && span->last > span->first) note_merge(span->level);
    for (; next < rung->piece_count; next++) {
        NS_TRY(ns__rung_edit(sweep, parent, NS__EDIT_INSERT, span->last + 1, &edit));
        edit->item = rung->pieces[next];
    }
    return NS_OK;
}

/* Packs the span, whose first child's items are loaded. has_shrunk: it may be too small. */
static ns_status settle(struct ns__sweep *sweep, struct span *span, bool is_append, bool has_shrunk)
{
    struct ns__rung *rung = &sweep->rungs[span->level];
    bool is_wide = false, is_thin = false;
    uint64_t bytes = 0;
    rung->piece_count = 0;
    while (rung->item_count > 0) {
        if (span->level > 0) NS_TRY(mend(sweep, span->level));
        NS_TRY(ns__items_plan(sweep, span->level, &bytes));
        bool is_over = rung->cut_count == 3 && !is_append && !is_wide;
        bool is_under = rung->cut_count == 2 && bytes < half(sweep) && (has_shrunk || is_wide);
        bool is_lone = span->level > 0 && rung->item_count == 1;
        if (!is_over && !is_under && !is_lone) break;
        bool is_taken;
        NS_TRY(take_neighbour(sweep, span, &is_taken));
        is_thin = is_under && !is_taken;
        if (!is_taken) break;
        is_wide = true;
    }
    if (rung->item_count > 0) {
        if (rung->item_count == 1 && span->level > 0) is_thin = false; /* but stunted */
        NS_TRY(close_items(sweep, span->level, is_append ? NS__CUT_FULL : NS__CUT_EVEN, bytes));
    }
    return emit(sweep, span, is_thin);
}

ns_status ns__span_change(struct ns__sweep *sweep, uint32_t level, const struct ns__part *part)
{
    struct ns__rung *rung = &sweep->rungs[level], *parent = &sweep->rungs[level + 1];
    NS_ASSERT(part->child < ns__node_count(parent->node));
    uint64_t ref = ns__node_ref(parent->node, part->child);
    struct ns__edit *edit;
    if (is_covered(sweep, part)) {
        NS_TRY(ns__subtree_drop(sweep->change, &sweep->tree, ref, level));
        return ns__rung_edit(sweep, parent, NS__EDIT_REMOVE, part->child, &edit);
    }
    const uint8_t *node;
    struct ns__splice splice;
    NS_TRY(ns__pages_node(sweep->pages, ref, level, &node));
    ns__rung_reset(rung);
    NS_TRY(ns__sweep_node(sweep, level, node, ref, part));
    if (rung->edit_count == 0) return NS_OK;
    ns__splice_judge(sweep, level, node, &splice);
    if (splice.is_possible && !splice.is_small) {
        NS_TRY(ns__rung_edit(sweep, parent, NS__EDIT_REF, part->child, &edit));
        NS_TRY(ns__splice_make(sweep, &splice, &edit->item.ref));
        return ns__sweep_drop(sweep, ref);
    }
    struct span span = {.level = level, .first = part->child, .last = part->child};
    ns_slice key;
    bool is_append =
        splice.is_append && (part->is_rightmost || splice.inserted_bytes >= half(sweep));
    NS_TRY(separator(sweep, level, part->child, &key));
    NS_TRY(ns__items_append(sweep, level, node, rung->edits, rung->edit_count, key));
    NS_TRY(ns__sweep_drop(sweep, ref));
    return settle(sweep, &span, is_append, splice.is_small);
}
