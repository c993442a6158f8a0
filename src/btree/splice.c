/* splice.c: the fast path of a change: one old node and a few edits become one new node.
 *
 * The new node keeps the old one's prefix, version base and cells: the dense arrays are copied with
 * the entries spliced in and out, the heap is copied as it lies, and new cells go below it. Room
 * that replaced and removed cells leave is counted as dead; when there is not enough room below the
 * heap, the live cells are moved together instead (compacted). A new cell that fits in the one
 * that it replaces is written there.
 *
 *   X1  a splice is possible only if every new key begins with the prefix, no version is below the
 *       base, and the result fits without its dead bytes;
 *   X2  heads ascend in the new node. They do by construction, unless a hostile node lied about its
 *       bounds, so that is data and not asserted;
 *   X3  used bytes are exact, since the cells of a valid node are disjoint and fill its heap with
 *       the dead bytes (format/node.c, N6); so compaction always finds room. */
#include "btree/build.h"

static inline ns_slice edit_key(const struct ns__edit *edit)
{
    return ns_bytes(edit->item.key, edit->item.key_bytes);
}

static uint32_t old_cell_bytes(const uint8_t *node, const struct ns__edit *edit)
{
    if (ns__node_level(node) == 0) return edit->old_bytes;
    struct ns__node_entry entry;
    ns__node_entry(node, edit->index, &entry);
    return entry.cell_bytes;
}

static uint32_t new_cell_bytes(const uint8_t *node, uint32_t level, const struct ns__edit *edit)
{
    uint32_t rest_bytes = edit->item.key_bytes - ns__node_prefix_bytes(node);
    return ns__cell_bytes(&edit->item, level, rest_bytes, ns__node_version_base(node));
}

/* X1 for one new entry. */
static bool keeps_node(const uint8_t *node, const struct ns__edit *edit)
{
    if (edit->item.version < ns__node_version_base(node)) return false;
    if (edit->kind == NS__EDIT_REPLACE) return true;
    return ns__node_prefix_compare(node, edit_key(edit)) == 0;
}

void ns__splice_judge(const struct ns__sweep *sweep, uint32_t level, const uint8_t *node,
                      struct ns__splice *splice_out)
{
    const struct ns__rung *rung = &sweep->rungs[level];
    NS_ASSERT(ns__node_level(node) == level);
    NS_ASSERT(rung->edit_count > 0);
    uint32_t count = ns__node_count(node), index_bytes = ns__node_index_bytes(level > 0);
    if (level == 0) index_bytes = ns__node_index_bytes(ns__node_has_refs(node));
    int64_t old_bytes = ns__node_used_bytes(node, sweep->page_size), used = old_bytes;
    struct ns__splice splice = {.node = node,
                                .level = level,
                                .is_possible = true,
                                .is_append = true,
                                .is_same_shape = true};

    for (size_t i = 0; i < rung->edit_count; i++) {
        const struct ns__edit *edit = &rung->edits[i];
        if (edit->kind == NS__EDIT_REF) {
            if (edit->item.stunted > 0) splice.is_possible = false;
            continue;
        }
        uint32_t gone = edit->kind == NS__EDIT_INSERT ? 0 : old_cell_bytes(node, edit), come = 0;
        if (edit->kind != NS__EDIT_REMOVE) {
            if (!keeps_node(node, edit)) {
                splice.is_possible = false;
                come = ns__cell_bytes(&edit->item, level, edit->item.key_bytes, 0);
            } else {
                come = new_cell_bytes(node, level, edit);
            }
        }
        if (edit->kind == NS__EDIT_INSERT) splice.inserted_bytes += come;
        if (edit->kind != NS__EDIT_INSERT || edit->index < count) splice.is_append = false;
        if (edit->kind != NS__EDIT_REPLACE) splice.is_same_shape = false;
        if (edit->kind == NS__EDIT_REMOVE && level > 0 && edit->index == 0) {
            splice.is_possible = false; /* the next child would lose its separator */
        }
        splice.count += edit->kind == NS__EDIT_INSERT;
        splice.count -= edit->kind == NS__EDIT_REMOVE;
        if (come > gone || edit->kind == NS__EDIT_INSERT) splice.new_bytes += come;
        used += (int64_t)come - (int64_t)gone;
    }
    splice.count += count; /* wrapped below zero in between, perhaps */
    used += ((int64_t)splice.count - (int64_t)count) * index_bytes;
    if (splice.count < (level > 0 ? 2u : 1u) || used > sweep->page_size) splice.is_possible = false;
    splice.is_small = used < old_bytes && used < sweep->page_size / 2;
    splice.used_bytes = (uint32_t)used;
    *splice_out = splice;
}

/* ---- the dense arrays ---- */

struct arrays {
    uint8_t *refs; /* NULL: none */
    uint8_t *heads;
    uint8_t *slots;
};

static struct arrays arrays_of(uint8_t *node)
{
    struct arrays arrays = {NULL, node + ns__node_heads_offset(node),
                            node + ns__node_slots_offset(node)};
    if (ns__node_has_refs(node)) arrays.refs = node + ns__node_refs_offset(node);
    return arrays;
}

/* Old entries [index, end) to new ones from *at on. */
static inline void copy_entries(const struct arrays *to, uint32_t *at, const uint8_t *old,
                                uint32_t index, uint32_t end)
{
    uint32_t n = end - index;
    if (n == 0) return;
    NS_ASSERT(index < end);
    if (to->refs != NULL) {
        memcpy(to->refs + 8u * *at, old + ns__node_refs_offset(old) + 8u * index, 8u * n);
    }
    memcpy(to->heads + 4u * *at, old + ns__node_heads_offset(old) + 4u * index, 4u * n);
    memcpy(to->slots + 2u * *at, old + ns__node_slots_offset(old) + 2u * index, 2u * n);
    *at += n;
}

/* Old entries keep the offset of their cell; inserted ones get their head. */
static void splice_arrays(const struct ns__rung *rung, const struct ns__splice *splice,
                          const struct arrays *to)
{
    const uint8_t *old = splice->node;
    uint32_t prefix_bytes = ns__node_prefix_bytes(old), at = 0, index = 0;
    for (size_t i = 0; i < rung->edit_count && !splice->is_same_shape; i++) {
        const struct ns__edit *edit = &rung->edits[i];
        if (edit->kind != NS__EDIT_INSERT && edit->kind != NS__EDIT_REMOVE) continue;
        copy_entries(to, &at, old, index, edit->index);
        index = edit->index;
        if (edit->kind == NS__EDIT_REMOVE) {
            index++;
            continue;
        }
        uint32_t head =
            ns__node_head_of(edit->item.key + prefix_bytes, edit->item.key_bytes - prefix_bytes);
        ns__store32(to->heads + 4u * at, head);
        ns__store16(to->slots + 2u * at, 0);
        at++;
    }
    copy_entries(to, &at, old, index, ns__node_count(old));
    NS_ASSERT(at == splice->count);
}

/* ---- the heap ---- */

/* Where an edit's entry stands in the new node: *at, carried from edit to edit. */
static inline uint32_t new_index(const struct ns__edit *edit, int64_t *shift)
{
    uint32_t at = (uint32_t)((int64_t)edit->index + *shift);
    if (edit->kind == NS__EDIT_INSERT) *shift += 1;
    if (edit->kind == NS__EDIT_REMOVE) *shift -= 1;
    return at;
}

/* X2: only the places where something came in can be wrong. */
static bool heads_ascend(const struct ns__rung *rung, const struct ns__splice *splice,
                         const struct arrays *to)
{
    int64_t shift = 0;
    for (size_t i = 0; i < rung->edit_count && !splice->is_same_shape; i++) {
        uint32_t at = new_index(&rung->edits[i], &shift);
        if (rung->edits[i].kind != NS__EDIT_INSERT) continue;
        uint32_t head = ns__load32(to->heads + 4u * at);
        if (at > 0 && ns__load32(to->heads + 4u * (at - 1)) > head) return false;
        if (at + 1 < splice->count && ns__load32(to->heads + 4u * (at + 1)) < head) return false;
    }
    return true;
}

/* Moves the old cells that stay together at the end of the page. Returns the heap. */
static uint32_t compact(const struct ns__sweep *sweep, const struct ns__splice *splice,
                        const struct arrays *to, uint8_t *node)
{
    const struct ns__rung *rung = &sweep->rungs[splice->level];
    int64_t shift = 0;
    for (size_t i = 0; i < rung->edit_count; i++) {
        uint32_t at = new_index(&rung->edits[i], &shift);
        if (rung->edits[i].kind == NS__EDIT_REPLACE) ns__store16(to->slots + 2u * at, 0);
    }
    uint32_t heap = sweep->page_size;
    for (uint32_t i = splice->count; i-- > 0;) {
        uint32_t slot = ns__load16(to->slots + 2u * i);
        if (slot == 0) continue; /* gets a new cell */
        struct ns__node_entry entry;
        if (splice->level == 0) {
            ns__node_leaf_cell(splice->node, splice->node + slot, &entry);
        } else {
            ns__node_branch_cell(splice->node + slot, &entry);
        }
        heap -= entry.cell_bytes;
        memcpy(node + heap, splice->node + slot, entry.cell_bytes);
        ns__store16(to->slots + 2u * i, (uint16_t)heap);
    }
    return heap;
}

/* Writes the edits' cells and references into a node whose arrays and old cells are in place. */
static void store_edits(const struct ns__sweep *sweep, const struct ns__splice *splice,
                        const struct arrays *to, uint8_t *node, bool is_compact, uint32_t heap)
{
    const struct ns__rung *rung = &sweep->rungs[splice->level];
    uint32_t prefix_bytes = ns__node_prefix_bytes(node);
    uint32_t dead = is_compact ? 0 : ns__node_dead(splice->node);
    int64_t shift = 0;
    for (size_t i = 0; i < rung->edit_count; i++) {
        const struct ns__edit *edit = &rung->edits[i];
        const struct ns__item *item = &edit->item;
        uint32_t at = new_index(edit, &shift), come = 0;
        uint32_t gone = 0;
        if (edit->kind == NS__EDIT_REPLACE || edit->kind == NS__EDIT_REMOVE) {
            gone = old_cell_bytes(splice->node, edit);
        }
        if (!is_compact) dead += gone;
        if (edit->kind == NS__EDIT_REMOVE) continue;
        if (to->refs != NULL) ns__store64(to->refs + 8u * at, item->ref);
        if (edit->kind == NS__EDIT_REF) continue;

        come = new_cell_bytes(splice->node, splice->level, edit);
        uint32_t place = ns__load16(to->slots + 2u * at);
        if (!is_compact && come <= gone) {
            dead -= come;
        } else {
            heap -= come;
            place = heap;
            ns__store16(to->slots + 2u * at, (uint16_t)place);
        }
        NS_ASSERT(place + come <= sweep->page_size);
        (void)ns__cell_store(node + place, item, splice->level, item->key + prefix_bytes,
                             item->key_bytes - prefix_bytes, ns__node_version_base(node));
    }
    NS_ASSERT(heap >= ns__node_arrays_end(node));
    ns__store32(node + NS__NODE_HEAP, heap);
    ns__store32(node + NS__NODE_DEAD, dead);
}

ns_status ns__splice_make(struct ns__sweep *sweep, const struct ns__splice *splice,
                          uint64_t *ref_out)
{
    NS_ASSERT(splice->is_possible);
    const uint8_t *old = splice->node;
    uint8_t *node;
    *ref_out = NS__REF_NONE;
    NS_TRY(ns__change_node_new(sweep->change, &node));

    memcpy(node, old, ns__node_refs_offset(old)); /* header and prefix */
    ns__store16(node + NS__NODE_COUNT, (uint16_t)splice->count);
    struct arrays to = arrays_of(node);
    splice_arrays(&sweep->rungs[splice->level], splice, &to);
    if (!heads_ascend(&sweep->rungs[splice->level], splice, &to)) {
        return ns__corrupt(UINT64_MAX, "tree keys out of order at level %u", splice->level);
    }

    uint32_t heap = ns__node_heap(old);
    bool is_compact = ns__node_arrays_end(node) + splice->new_bytes > heap;
    if (is_compact) {
        heap = compact(sweep, splice, &to, node);
    } else {
        memcpy(node + heap, old + heap, sweep->page_size - heap);
    }
    store_edits(sweep, splice, &to, node, is_compact, heap);
    NS_ASSERT(ns__node_used_bytes(node, sweep->page_size) == splice->used_bytes);
    NS_ASSERT_SLOW(ns__node_invalid(node, sweep->page_size, false) == NULL);
    return ns__sweep_finish(sweep, node, ref_out);
}
