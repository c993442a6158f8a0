/* apply.c: applying a sorted batch to a tree in one sweep.
 *
 * From the root down, the batch is parted among the children that it concerns; at a leaf it becomes
 * edits. From the leaves up, span.c turns edits into nodes and tells the parent by edits of its
 * own. Every touched node is read once and written once; what is not touched is shared with the
 * old tree.
 *
 *   A1  ranges happen before ops: an op's entry is never removed by a range, and an entry that both
 *       a range and an op concern is edited once;
 *   A2  *tree is written at the end, after everything that can fail;
 *   A3  every step of the sweep moves on in the node or in the batch, so that keys out of order (a
 *       hostile file) end it early or give wrong nodes, but never a loop;
 *   A4  whether a branch is appended to follows from its edits, as for leaves, so that a bulk load
 *       packs every level full. */
#include "btree/build.h"

#include "base/marks.h"

/* ---- leaves ---- */

struct leaf_walk {
    struct ns__sweep *sweep;
    struct ns__rung *rung;
    const uint8_t *node;
    uint32_t index; /* the entries below are judged */
    size_t range, range_end;
};

static ns_status make_item(struct ns__sweep *sweep, struct ns__rung *rung,
                           const struct ns__tree_op *op, struct ns__item *item)
{
    NS_ASSERT(op->kind == NS__TREE_PUT);
    NS_ASSERT(op->key.size <= ns__key_bytes_max(sweep->page_size));
    NS_ASSERT(op->value.size <= NS__VALUE_BYTES_MAX);
    item->key = op->key.data;
    item->key_bytes = (uint32_t)op->key.size;
    item->version = op->version;
    item->ref = op->ref;
    item->value_word = (uint64_t)op->value.size << 1;
    item->value = op->value.data;
    item->value_bytes = (uint32_t)op->value.size;
    if (ns__value_is_inline(sweep->page_size, op->key.size, op->value.size)) return NS_OK;

    NS_ASSERT(!sweep->batch->is_catalogue);
    struct ns__run run;
    uint8_t *stored;
    NS_TRY(ns__rung_take(sweep, rung, NS__RUN_BYTES, &stored));
    NS_TRY(ns__change_run_write(sweep->change, op->value, &run));
    ns__run_store(stored, &run);
    sweep->tree.overflow_pages += ns__pages_of(op->value.size, sweep->page_size);
    item->value_word |= 1;
    item->value = stored;
    item->value_bytes = NS__RUN_BYTES;
    return NS_OK;
}

static ns_status edit_old(struct leaf_walk *walk, const struct ns__node_entry *entry,
                          uint32_t index, const struct ns__tree_op *op)
{
    struct ns__tree *tree = &walk->sweep->tree;
    bool is_put = op != NULL && op->kind == NS__TREE_PUT;
    struct ns__edit *edit;
    NS_TRY(ns__entry_run_drop(walk->sweep->change, tree, entry));
    NS_TRY(ns__rung_edit(walk->sweep, walk->rung, is_put ? NS__EDIT_REPLACE : NS__EDIT_REMOVE,
                         index, &edit));
    edit->old_bytes = entry->cell_bytes;
    if (is_put) return make_item(walk->sweep, walk->rung, op, &edit->item);
    if (tree->entries == 0) {
        return ns__corrupt(UINT64_MAX, "the tree has more entries than it counts");
    }
    tree->entries--;
    return NS_OK;
}

static ns_status edit_insert(struct ns__sweep *sweep, struct ns__rung *rung, uint32_t index,
                             const struct ns__tree_op *op)
{
    struct ns__edit *edit;
    NS_TRY(ns__rung_edit(sweep, rung, NS__EDIT_INSERT, index, &edit));
    sweep->tree.entries++;
    return make_item(sweep, rung, op, &edit->item);
}

/* Index of the first entry, from walk->index on, that is not below key. */
static uint32_t position(const struct leaf_walk *walk, ns_slice key)
{
    struct ns__node_entry entry;
    bool found;
    return ns__node_search(walk->node, walk->index, key, &entry, &found);
}

/* Removes the entries of [walk->index, end) that lie in a range. */
static ns_status remove_ranges(struct leaf_walk *walk, uint32_t end)
{
    while (walk->range < walk->range_end && walk->index < end) {
        const struct ns__tree_range *range = &walk->sweep->batch->ranges[walk->range];
        uint32_t first = range->from.size == 0 ? walk->index : position(walk, range->from);
        uint32_t last = range->to.size == 0 ? UINT32_MAX : position(walk, range->to);
        for (uint32_t i = first; i < last && i < end; i++) {
            struct ns__node_entry entry;
            ns__node_entry(walk->node, i, &entry);
            NS_TRY(edit_old(walk, &entry, i, NULL));
        }
        if (last > end) break;
        if (last > walk->index) walk->index = last;
        walk->range++;
    }
    walk->index = end;
    return NS_OK;
}

static ns_status sweep_leaf(struct ns__sweep *sweep, const uint8_t *node, uint64_t ref,
                            const struct ns__part *part)
{
    struct leaf_walk walk = {.sweep = sweep,
                             .rung = &sweep->rungs[0],
                             .node = node,
                             .range = part->range_first,
                             .range_end = part->range_end};
    if ((ns__node_type(node) == NS__TYPE_CATALOGUE) != sweep->batch->is_catalogue) {
        return ns__corrupt(ns__ref_page(ref), "leaf of the wrong type");
    }
    for (size_t i = part->op_first; i < part->op_end; i++) {
        const struct ns__tree_op *op = &sweep->batch->ops[i];
        struct ns__node_entry entry;
        bool found;
        uint32_t index = ns__node_search(node, walk.index, op->key, &entry, &found);
        if (walk.range < walk.range_end) NS_TRY(remove_ranges(&walk, index));
        walk.index = index;
        if (found) {
            NS_TRY(edit_old(&walk, &entry, index, op));
            walk.index = index + 1;
        } else if (op->kind == NS__TREE_PUT) {
            NS_TRY(edit_insert(sweep, walk.rung, index, op));
        }
    }
    return remove_ranges(&walk, ns__node_count(node));
}

/* ---- branches ---- */

/* The first op from `first` on that does not belong before separator index of the branch. */
static size_t ops_below(const struct ns__tree_batch *batch, size_t first, size_t end,
                        const uint8_t *node, uint32_t index)
{
    size_t step = 1, low = first;
    while (low + step <= end &&
           ns__node_separator_compare(node, index, batch->ops[low + step - 1].key) < 0) {
        low += step;
        step *= 2;
    }
    size_t high = low + step - 1 < end ? low + step - 1 : end;
    while (low < high) { /* ops below low are before it, those from high on are not */
        size_t middle = low + (high - low) / 2;
        if (ns__node_separator_compare(node, index, batch->ops[middle].key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Takes from the batch what concerns the part's child; *op and *range move on. */
static ns_status fill_part(struct ns__sweep *sweep, struct ns__rung *rung, const uint8_t *node,
                           const struct ns__part *whole, struct ns__part *part, size_t *op,
                           size_t *range)
{
    const struct ns__tree_batch *batch = sweep->batch;
    bool is_last = part->child + 1 == ns__node_count(node);
    part->is_rightmost = is_last && whole->is_rightmost;
    part->op_first = *op;
    part->op_end =
        is_last ? whole->op_end : ops_below(batch, *op, whole->op_end, node, part->child + 1);
    *op = part->op_end;

    part->range_first = part->range_end = *range;
    while (part->range_end < whole->range_end) {
        ns_slice from = batch->ranges[part->range_end].from;
        if (!is_last && from.size > 0 &&
            ns__node_separator_compare(node, part->child + 1, from) >= 0) {
            break;
        }
        part->range_end++;
    }
    *range = part->range_end;
    if (part->range_first == part->range_end) return NS_OK;

    ns_slice to = batch->ranges[part->range_end - 1].to;
    if (!is_last && (to.size == 0 || ns__node_separator_compare(node, part->child + 1, to) > 0)) {
        *range = part->range_end - 1; /* reaches into the next child */
    }
    part->has_low = part->child > 0 || whole->has_low;
    part->low = whole->low;
    if (part->child > 0) {
        NS_TRY(ns__rung_separator(sweep, rung, node, part->child, &part->low));
    }
    part->has_high = !is_last || whole->has_high;
    part->high = whole->high;
    if (is_last) return NS_OK;
    return ns__rung_separator(sweep, rung, node, part->child + 1, &part->high);
}

/* Parts the batch among the children, and asks for the nodes that will be read. */
static ns_status partition(struct ns__sweep *sweep, struct ns__rung *rung, const uint8_t *node,
                           const struct ns__part *whole)
{
    const struct ns__tree_batch *batch = sweep->batch;
    uint32_t count = ns__node_count(node);
    size_t op = whole->op_first, range = whole->range_first;
    rung->part_count = 0;
    rung->part_next = 0;
    for (uint32_t next = 0; next < count && (op < whole->op_end || range < whole->range_end);) {
        uint32_t child = count - 1;
        struct ns__part *part;
        if (op < whole->op_end) child = ns__node_child(node, next, batch->ops[op].key);
        if (range < whole->range_end) {
            ns_slice from = batch->ranges[range].from;
            uint32_t first = from.size == 0 ? next : ns__node_child(node, next, from);
            if (first < child) child = first;
        }
        ns__pages_prefetch(sweep->pages, ns__node_ref(node, child));
        NS_TRY(ns__rung_part(sweep, rung, &part));
        part->child = child;
        NS_TRY(fill_part(sweep, rung, node, whole, part, &op, &range));
        next = child + 1;
    }
    return NS_OK;
}

/* Asks for the leaf that the part's first op leads to, all of it: it will be copied. level is that
 * of the part's child. A node that cannot be read will fail again when its turn comes. */
static void look_ahead(const struct ns__sweep *sweep, uint32_t level, const uint8_t *node,
                       const struct ns__part *part)
{
    uint64_t ref = ns__node_ref(node, part->child);
    for (; level > 0; level--) {
        if (part->op_first == part->op_end) return;
        if (ns__pages_node(sweep->pages, ref, level, &node) != NS_OK) return;
        ref = ns__node_ref(node, ns__node_child(node, 0, sweep->batch->ops[part->op_first].key));
    }
    const struct ns__pages *pages = sweep->pages;
    const uint8_t *leaf = pages->bases[ref >> 63] + (ns__ref_number(ref) << pages->page_shift);
    for (uint32_t at = 0; at < NS__PAGE_SIZE_MIN; at += 64)
        __builtin_prefetch(leaf + at, 0, 2);
}

ns_status ns__sweep_node(struct ns__sweep *sweep, uint32_t level, const uint8_t *node, uint64_t ref,
                         const struct ns__part *part)
{
    struct ns__rung *rung = &sweep->rungs[level];
    NS_ASSERT(ns__node_level(node) == level && level < NS__LEVEL_MAX);
    NS_ASSERT(rung->edit_count == 0);
    if (level == 0) return sweep_leaf(sweep, node, ref, part);

    NS_TRY(partition(sweep, rung, node, part));
    rung->node = node;
    while (rung->part_next < rung->part_count) {
        const struct ns__part *next = &rung->parts[rung->part_next++];
        if (rung->part_next < rung->part_count) look_ahead(sweep, level - 1, node, next + 1);
        NS_TRY(ns__span_change(sweep, level - 1, next));
    }
    return NS_OK;
}

/* ---- the root ---- */

/* The items of `level` become a tree. */
static ns_status plant(struct ns__sweep *sweep, uint32_t level, bool is_append)
{
    sweep->tree.ref = NS__REF_NONE;
    for (; level < NS__LEVEL_MAX; level++) {
        struct ns__rung *rung = &sweep->rungs[level];
        uint64_t bytes;
        if (rung->item_count == 0) return NS_OK;
        if (level > 0 && rung->item_count == 1) { /* a root with one child gives way to it */
            sweep->tree.ref = rung->items[0].ref;
            NS__MARK(root_collapse);
            return NS_OK;
        }
        NS_TRY(ns__items_plan(sweep, level, &bytes));
        bool is_full = is_append || rung->cut_count == 2;
        NS_TRY(ns__items_pack(sweep, level, is_full ? NS__CUT_FULL : NS__CUT_EVEN, bytes));
        if (rung->piece_count == 1) {
            sweep->tree.ref = rung->pieces[0].ref;
            return NS_OK;
        }
        NS__MARK(root_grow);
        struct ns__rung *above = &sweep->rungs[level + 1];
        NS_ASSERT(above->item_count == 0);
        NS_TRY(ns__rung_items_room(sweep, above, rung->piece_count));
        memcpy(above->items, rung->pieces, rung->piece_count * sizeof *rung->pieces);
        above->item_count = rung->piece_count;
    }
    return ns__error(NS_FULL, "the tree would have more than %u levels", NS__LEVEL_MAX);
}

static ns_status apply_to_root(struct ns__sweep *sweep, const struct ns__part *whole)
{
    uint64_t ref = sweep->tree.ref;
    const uint8_t *node;
    NS_TRY(ns__pages_node(sweep->pages, ref, NS__LEVEL_ANY, &node));
    uint32_t level = ns__node_level(node);
    struct ns__rung *rung = &sweep->rungs[level];
    NS_TRY(ns__rung_open(sweep, level + 1));
    NS_TRY(ns__sweep_node(sweep, level, node, ref, whole));
    if (rung->edit_count == 0) return NS_OK;

    struct ns__splice splice;
    ns__splice_judge(sweep, level, node, &splice);
    if (splice.is_possible) {
        NS_TRY(ns__splice_make(sweep, &splice, &sweep->tree.ref));
        return ns__sweep_drop(sweep, ref);
    }
    NS_TRY(ns__items_append(sweep, level, node, rung->edits, rung->edit_count, ns_bytes(NULL, 0)));
    NS_TRY(ns__sweep_drop(sweep, ref));
    return plant(sweep, level, splice.is_append);
}

static ns_status apply_to_nothing(struct ns__sweep *sweep)
{
    const struct ns__tree_batch *batch = sweep->batch;
    struct ns__rung *rung = &sweep->rungs[0];
    NS_TRY(ns__rung_open(sweep, 1));
    for (size_t i = 0; i < batch->op_count; i++) {
        if (batch->ops[i].kind == NS__TREE_PUT) {
            NS_TRY(edit_insert(sweep, rung, 0, &batch->ops[i]));
        }
    }
    NS_TRY(ns__items_append(sweep, 0, NULL, rung->edits, rung->edit_count, ns_bytes(NULL, 0)));
    return plant(sweep, 0, true);
}

ns_status ns__btree_apply(struct ns__change *change, struct ns__tree *tree,
                          const struct ns__tree_batch *batch, struct ns__arena *scratch)
{
    NS_ASSERT(change != NULL && tree != NULL);
    NS_ASSERT(batch != NULL && scratch != NULL);
    struct ns__sweep sweep; /* the rungs are zeroed as they are opened */
    sweep.change = change;
    sweep.pages = ns__change_pages(change);
    sweep.arena = scratch;
    sweep.batch = batch;
    sweep.page_size = sweep.pages->page_size;
    sweep.tree = *tree;
    sweep.rung_count = 0;

    struct ns__part whole = {
        .is_rightmost = true, .op_end = batch->op_count, .range_end = batch->range_count};
    bool is_cleared = batch->op_count == 0 && batch->range_count > 0 &&
                      batch->ranges[0].from.size == 0 && batch->ranges[0].to.size == 0;
    if (sweep.tree.ref == NS__REF_NONE) {
        NS_TRY(apply_to_nothing(&sweep));
    } else if (is_cleared) {
        return ns__btree_drop(change, tree);
    } else {
        NS_TRY(apply_to_root(&sweep, &whole));
    }
    *tree = sweep.tree;
    return NS_OK;
}
