/* search.c: point lookups, alone and interleaved.
 *
 * A lookup costs the cache misses of its path, not its instructions: in a big tree the leaf's
 * header and its cell are two dependent trips to memory. One lookup can only ask for the first
 * lines of a child at once; many lookups can wait for one another's lines. So get_many moves a
 * group of descents in lock-step: each round takes every descent one level down and asks for the
 * next node, which arrives while the others are searched; so does the cell, at last.
 *
 *   S1  every step goes one level down, so a descent ends after at most NS__LEVEL_MAX steps,
 *       whatever the references are;
 *   S2  a failure ends one descent and leaves the others alone. */
#include "btree/btree.h"

#define GROUP 16u

/* Asks for what a search of this leaf reads first: header, heads, slots. */
static inline void prefetch_leaf(const struct ns__pages *pages, uint64_t ref)
{
    const uint8_t *node = pages->bases[ref >> 63] + (ns__ref_number(ref) << pages->page_shift);
    __builtin_prefetch(node);
    __builtin_prefetch(node + 64);
    __builtin_prefetch(node + 128);
    __builtin_prefetch(node + 192);
}

static ns_status value_of(struct ns__pages *pages, const struct ns__node_entry *entry,
                          ns_slice *value_out)
{
    if (!entry->is_run) {
        *value_out = ns_bytes(entry->value, (size_t)entry->value_bytes);
        return NS_OK;
    }
    struct ns__run run;
    ns__run_load(entry->value, &run);
    return ns__pages_run(pages, &run, entry->value_bytes, value_out);
}

/* One step down from a branch. */
static inline ns_status step(struct ns__pages *pages, const uint8_t **node, uint32_t level,
                             ns_slice key)
{
    uint64_t ref = ns__node_ref(*node, ns__node_child(*node, 0, key));
    if (level == 1) prefetch_leaf(pages, ref);
    return ns__pages_node(pages, ref, level - 1, node);
}

ns_status ns__btree_get(struct ns__pages *pages, const struct ns__tree *tree, ns_slice key,
                        ns_slice *value_out, uint64_t *version_out, uint64_t *ref_out)
{
    NS_ASSERT(pages != NULL && tree != NULL);
    NS_ASSERT(value_out != NULL);
    *value_out = ns_bytes(NULL, 0);
    if (version_out != NULL) *version_out = 0;
    if (ref_out != NULL) *ref_out = 0;
    if (tree->ref == NS__REF_NONE) return NS_NOTFOUND;

    const uint8_t *node;
    NS_TRY(ns__pages_node(pages, tree->ref, NS__LEVEL_ANY, &node));
    for (uint32_t level = ns__node_level(node); level > 0; level--) {
        NS_TRY(step(pages, &node, level, key));
    }

    struct ns__node_entry entry;
    bool found;
    uint32_t index = ns__node_search(node, 0, key, &entry, &found);
    if (!found) return NS_NOTFOUND;
    NS_TRY(value_of(pages, &entry, value_out));
    if (version_out != NULL) *version_out = entry.version;
    if (ref_out != NULL && ns__node_has_refs(node)) *ref_out = ns__node_ref(node, index);
    return NS_OK;
}

/* Takes every live descent of the group to the level below. */
static void group_step(struct ns__pages *pages, uint32_t level, size_t n, const ns_slice keys[],
                       const uint8_t *nodes[], ns_status statuses[])
{
    uint64_t refs[GROUP];
    for (size_t i = 0; i < n; i++) {
        if (statuses[i] != NS_OK) continue;
        refs[i] = ns__node_ref(nodes[i], ns__node_child(nodes[i], 0, keys[i]));
        prefetch_leaf(pages, refs[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (statuses[i] != NS_OK) continue;
        statuses[i] = ns__pages_node(pages, refs[i], level - 1, &nodes[i]);
    }
}

static void group_get(struct ns__pages *pages, const uint8_t *root, size_t n, const ns_slice keys[],
                      ns_slice values[], ns_status statuses[])
{
    NS_ASSERT(n > 0 && n <= GROUP);
    const uint8_t *nodes[GROUP];
    for (size_t i = 0; i < n; i++) {
        nodes[i] = root;
        statuses[i] = NS_OK;
        values[i] = ns_bytes(NULL, 0);
    }
    for (uint32_t level = ns__node_level(root); level > 0; level--) {
        group_step(pages, level, n, keys, nodes, statuses);
    }
    uint32_t indexes[GROUP];
    for (size_t i = 0; i < n; i++) {
        if (statuses[i] != NS_OK) continue;
        indexes[i] = ns__node_search_heads(nodes[i], 0, keys[i]);
        if (indexes[i] < ns__node_count(nodes[i])) {
            __builtin_prefetch(nodes[i] + ns__node_slot(nodes[i], indexes[i]));
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (statuses[i] != NS_OK) continue;
        struct ns__node_entry entry;
        bool found;
        (void)ns__node_search_cells(nodes[i], indexes[i], keys[i], &entry, &found);
        statuses[i] = found ? value_of(pages, &entry, &values[i]) : NS_NOTFOUND;
    }
}

ns_status ns__btree_get_many(struct ns__pages *pages, const struct ns__tree *tree, size_t n,
                             const ns_slice keys[], ns_slice values[], ns_status statuses[])
{
    NS_ASSERT(pages != NULL && tree != NULL);
    const uint8_t *root = NULL;
    ns_status status = NS_NOTFOUND;
    if (tree->ref != NS__REF_NONE) {
        status = ns__pages_node(pages, tree->ref, NS__LEVEL_ANY, &root);
    }
    if (status != NS_OK) {
        for (size_t i = 0; i < n; i++) {
            values[i] = ns_bytes(NULL, 0);
            statuses[i] = status;
        }
        return NS_OK;
    }
    for (size_t at = 0; at < n; at += GROUP) {
        size_t size = n - at < GROUP ? n - at : GROUP;
        group_get(pages, root, size, keys + at, values + at, statuses + at);
    }
    return NS_OK;
}
