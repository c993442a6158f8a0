/* cursor.c: moving over the entries of a tree in order.
 *
 * A cursor is a path of nodes from the root to a leaf with an index in each, and the assembled key
 * of its entry. There are no links between siblings (copy-on-write could not keep them): the next
 * leaf is found by going up to the first ancestor with a further child and down its edge.
 *
 *   C1  depth is 0, or path[0 .. depth) are nodes of descending levels, the last one a leaf, each
 *       index is below its node's count, and key holds the key of the entry;
 *   C2  a move visits positions in structural order and never an entry twice, so that a loop over
 *       a tree ends even if a hostile file has its keys out of order; nor more leaves in one
 *       direction than the tree counts nodes, so that it ends soon even if references meet again;
 *   C3  a failed move leaves the cursor nowhere. */
#include "btree/btree.h"

/* Bytes that ns__node_key_copy may write beyond a key. */
#define SLACK 8u

ns_status ns__btree_cursor_init(struct ns__btree_cursor *cursor, struct ns__pages *pages,
                                const struct ns__tree *tree, struct ns__alloc *alloc)
{
    NS_ASSERT(cursor != NULL && pages != NULL);
    NS_ASSERT(tree != NULL && alloc != NULL);
    cursor->pages = pages;
    cursor->tree = *tree;
    cursor->alloc = alloc;
    cursor->depth = 0;
    cursor->key_bytes = 0;
    cursor->is_backward = false;
    cursor->leaves = 0;
    cursor->key = ns__alloc(alloc, ns__key_bytes_max(pages->page_size) + SLACK);
    return cursor->key != NULL ? NS_OK : NS_NOMEM;
}

void ns__btree_cursor_deinit(struct ns__btree_cursor *cursor)
{
    if (cursor->key != NULL) {
        size_t size = ns__key_bytes_max(cursor->pages->page_size) + SLACK;
        ns__alloc_release(cursor->alloc, cursor->key, size);
    }
    memset(cursor, 0, sizeof *cursor);
}

static ns_status nowhere(struct ns__btree_cursor *cursor, ns_status status)
{
    cursor->depth = 0;
    cursor->key_bytes = 0;
    return status;
}

/* Puts the node behind ref, of this level, at the end of the path. */
static ns_status push(struct ns__btree_cursor *cursor, uint64_t ref, uint32_t level)
{
    NS_ASSERT(cursor->depth < NS__LEVEL_MAX);
    const uint8_t *node;
    NS_TRY(ns__pages_node(cursor->pages, ref, level, &node));
    cursor->path[cursor->depth].node = node;
    cursor->path[cursor->depth].index = 0;
    cursor->depth++;
    return NS_OK;
}

static inline ns_status push_root(struct ns__btree_cursor *cursor)
{
    cursor->depth = 0;
    cursor->leaves = 0;
    if (cursor->tree.ref == NS__REF_NONE) return NS_NOTFOUND;
    return push(cursor, cursor->tree.ref, NS__LEVEL_ANY);
}

/* The child that the end of the path points at. */
static ns_status push_child(struct ns__btree_cursor *cursor)
{
    const uint8_t *node = cursor->path[cursor->depth - 1].node;
    uint32_t index = cursor->path[cursor->depth - 1].index;
    NS_ASSERT(index < ns__node_count(node));
    return push(cursor, ns__node_ref(node, index), ns__node_level(node) - 1);
}

/* Entering a leaf from its neighbour means that the one after it is wanted soon, all of it. */
static void prefetch_beside(const struct ns__btree_cursor *cursor, uint32_t step)
{
    if (cursor->depth < 2) return;
    const uint8_t *parent = cursor->path[cursor->depth - 2].node;
    uint32_t index = cursor->path[cursor->depth - 2].index + step;
    if (index >= ns__node_count(parent)) return;
    uint64_t ref = ns__node_ref(parent, index);
    const struct ns__pages *pages = cursor->pages;
    const uint8_t *leaf = pages->bases[ref >> 63] + (ns__ref_number(ref) << pages->page_shift);
    for (uint32_t at = 0; at < NS__PAGE_SIZE_MIN; at += 64)
        __builtin_prefetch(leaf + at, 0, 2);
}

/* From the end of the path along the left (or right) edge down to a leaf. */
static ns_status descend_edge(struct ns__btree_cursor *cursor, bool to_last)
{
    for (;;) {
        const uint8_t *node = cursor->path[cursor->depth - 1].node;
        cursor->path[cursor->depth - 1].index = to_last ? ns__node_count(node) - 1 : 0;
        if (ns__node_level(node) == 0) break;
        NS_TRY(push_child(cursor));
    }
    prefetch_beside(cursor, to_last ? UINT32_MAX : 1);
    return NS_OK;
}

/* Assembles the key of the entry; `is_same_leaf`: its prefix is in the buffer already. */
static inline void load_key(struct ns__btree_cursor *cursor, bool is_same_leaf)
{
    const uint8_t *leaf = cursor->path[cursor->depth - 1].node;
    uint32_t index = cursor->path[cursor->depth - 1].index;
    uint32_t prefix_bytes = ns__node_prefix_bytes(leaf);
    const uint8_t *cell = leaf + ns__node_slot(leaf, index);
    uint64_t rest_bytes, ignored;
    NS_ASSERT_SLOW(ns__node_level(leaf) == 0 && index < ns__node_count(leaf));

    cell = ns__node_varint(cell, &rest_bytes);
    if (!is_same_leaf) memcpy(cursor->key, ns__node_prefix(leaf), prefix_bytes);
    ns__store32_be(cursor->key + prefix_bytes, ns__node_head(leaf, index));
    if (rest_bytes > 4) {
        cell = ns__node_varint(cell, &ignored);
        cell = ns__node_varint(cell, &ignored);
        memcpy(cursor->key + prefix_bytes + 4, cell, (size_t)rest_bytes - 4);
    }
    cursor->key_bytes = prefix_bytes + (uint32_t)rest_bytes;
}

/* The end of a move: the path leads to an entry, or status says why not. */
static ns_status settle(struct ns__btree_cursor *cursor, ns_status status)
{
    if (status != NS_OK) return nowhere(cursor, status);
    load_key(cursor, false);
    return NS_OK;
}

/* C2: the leaf is left in this direction. */
static ns_status count_leaf(struct ns__btree_cursor *cursor, bool is_backward)
{
    if (cursor->is_backward != is_backward) cursor->leaves = 0;
    cursor->is_backward = is_backward;
    if (++cursor->leaves <= cursor->tree.pages) return NS_OK;
    return ns__corrupt(UINT64_MAX, "the tree has more leaves than the %llu nodes that it counts",
                       (unsigned long long)cursor->tree.pages);
}

/* Leaves the leaf for the first entry of the next one. */
static ns_status next_leaf(struct ns__btree_cursor *cursor)
{
    NS_TRY(count_leaf(cursor, false));
    while (cursor->depth > 1) {
        cursor->depth--;
        const uint8_t *node = cursor->path[cursor->depth - 1].node;
        if (cursor->path[cursor->depth - 1].index + 1 < ns__node_count(node)) {
            cursor->path[cursor->depth - 1].index++;
            NS_TRY(push_child(cursor));
            return descend_edge(cursor, false);
        }
    }
    return NS_NOTFOUND;
}

static ns_status previous_leaf(struct ns__btree_cursor *cursor)
{
    NS_TRY(count_leaf(cursor, true));
    while (cursor->depth > 1) {
        cursor->depth--;
        if (cursor->path[cursor->depth - 1].index > 0) {
            cursor->path[cursor->depth - 1].index--;
            NS_TRY(push_child(cursor));
            return descend_edge(cursor, true);
        }
    }
    return NS_NOTFOUND;
}

ns_status ns__btree_cursor_first(struct ns__btree_cursor *cursor)
{
    ns_status status = push_root(cursor);
    if (status == NS_OK) status = descend_edge(cursor, false);
    return settle(cursor, status);
}

ns_status ns__btree_cursor_last(struct ns__btree_cursor *cursor)
{
    ns_status status = push_root(cursor);
    if (status == NS_OK) status = descend_edge(cursor, true);
    return settle(cursor, status);
}

ns_status ns__btree_cursor_next(struct ns__btree_cursor *cursor)
{
    NS_ASSERT(ns__btree_cursor_is_on(cursor));
    if (!ns__btree_cursor_is_on(cursor)) return NS_NOTFOUND;
    uint32_t *index = &cursor->path[cursor->depth - 1].index;
    if (*index + 1 < ns__node_count(cursor->path[cursor->depth - 1].node)) {
        *index += 1;
        load_key(cursor, true);
        return NS_OK;
    }
    return settle(cursor, next_leaf(cursor));
}

ns_status ns__btree_cursor_prev(struct ns__btree_cursor *cursor)
{
    NS_ASSERT(ns__btree_cursor_is_on(cursor));
    if (!ns__btree_cursor_is_on(cursor)) return NS_NOTFOUND;
    uint32_t *index = &cursor->path[cursor->depth - 1].index;
    if (*index > 0) {
        *index -= 1;
        load_key(cursor, true);
        return NS_OK;
    }
    return settle(cursor, previous_leaf(cursor));
}

/* Down to the leaf where key belongs; its index is that of the first entry not below key, and may
 * be the leaf's count. */
static ns_status descend(struct ns__btree_cursor *cursor, ns_slice key)
{
    NS_TRY(push_root(cursor));
    for (;;) {
        const uint8_t *node = cursor->path[cursor->depth - 1].node;
        if (ns__node_level(node) == 0) break;
        cursor->path[cursor->depth - 1].index = ns__node_child(node, 0, key);
        NS_TRY(push_child(cursor));
    }
    struct ns__node_entry entry;
    bool found;
    const uint8_t *leaf = cursor->path[cursor->depth - 1].node;
    cursor->path[cursor->depth - 1].index = ns__node_search(leaf, 0, key, &entry, &found);
    return NS_OK;
}

ns_status ns__btree_cursor_seek(struct ns__btree_cursor *cursor, ns_slice key)
{
    ns_status status = descend(cursor, key);
    if (status == NS_OK) {
        uint32_t index = cursor->path[cursor->depth - 1].index;
        if (index == ns__node_count(cursor->path[cursor->depth - 1].node)) {
            status = next_leaf(cursor);
        }
    }
    return settle(cursor, status);
}

ns_status ns__btree_cursor_seek_before(struct ns__btree_cursor *cursor, ns_slice key)
{
    ns_status status = descend(cursor, key);
    if (status == NS_OK) {
        uint32_t *index = &cursor->path[cursor->depth - 1].index;
        if (*index > 0) {
            *index -= 1;
        } else {
            status = previous_leaf(cursor);
        }
    }
    return settle(cursor, status);
}

ns_slice ns__btree_cursor_key(const struct ns__btree_cursor *cursor)
{
    NS_ASSERT(ns__btree_cursor_is_on(cursor));
    return ns_bytes(cursor->key, cursor->key_bytes);
}

ns_status ns__btree_cursor_entry(const struct ns__btree_cursor *cursor, ns_slice *value_out,
                                 uint64_t *version_out, uint64_t *ref_out)
{
    if (value_out != NULL) *value_out = ns_bytes(NULL, 0);
    if (version_out != NULL) *version_out = 0;
    if (ref_out != NULL) *ref_out = 0;
    NS_ASSERT(ns__btree_cursor_is_on(cursor));
    if (!ns__btree_cursor_is_on(cursor)) return NS_NOTFOUND;

    const uint8_t *leaf = cursor->path[cursor->depth - 1].node;
    uint32_t index = cursor->path[cursor->depth - 1].index;
    struct ns__node_entry entry;
    ns__node_leaf_cell(leaf, leaf + ns__node_slot(leaf, index), &entry);
    if (version_out != NULL) *version_out = entry.version;
    if (ref_out != NULL && ns__node_has_refs(leaf)) *ref_out = ns__node_ref(leaf, index);
    if (value_out == NULL) return NS_OK;
    if (!entry.is_run) {
        *value_out = ns_bytes(entry.value, (size_t)entry.value_bytes);
        return NS_OK;
    }
    struct ns__run run;
    ns__run_load(entry.value, &run);
    return ns__pages_run(cursor->pages, &run, entry.value_bytes, value_out);
}
