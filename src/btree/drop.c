/* drop.c: giving up whole subtrees. Leaves are read too, for their runs and for the counters, which
 * also bound the walk: a hostile tree whose references meet again runs out of nodes to count. */
#include "btree/build.h"

#include "base/marks.h"

#define AHEAD 4u /* children asked for in advance */

ns_status ns__entry_run_drop(struct ns__change *change, struct ns__tree *tree,
                             const struct ns__node_entry *entry)
{
    if (!entry->is_run) return NS_OK;
    struct ns__run run;
    ns__run_load(entry->value, &run);
    uint64_t pages = ns__pages_of(entry->value_bytes, ns__change_pages(change)->page_size);
    if (pages > tree->overflow_pages) {
        return ns__corrupt(run.page, "the tree has more overflow pages than it counts");
    }
    tree->overflow_pages -= pages;
    return ns__change_run_drop(change, &run, entry->value_bytes);
}

static ns_status leaf_drop(struct ns__change *change, struct ns__tree *tree, const uint8_t *leaf)
{
    uint32_t count = ns__node_count(leaf);
    NS_ASSERT(ns__node_level(leaf) == 0);
    if (count > tree->entries) {
        return ns__corrupt(UINT64_MAX, "the tree has more entries than it counts");
    }
    tree->entries -= count;
    if (tree->overflow_pages == 0) return NS_OK;
    for (uint32_t i = 0; i < count; i++) {
        struct ns__node_entry entry;
        ns__node_entry(leaf, i, &entry);
        NS_TRY(ns__entry_run_drop(change, tree, &entry));
    }
    return NS_OK;
}

ns_status ns__subtree_drop(struct ns__change *change, struct ns__tree *tree, uint64_t ref,
                           uint32_t level)
{
    NS_ASSERT(ref != NS__REF_NONE);
    NS_ASSERT(level == NS__LEVEL_ANY || level < NS__LEVEL_MAX);
    struct ns__pages *pages = ns__change_pages(change);
    const uint8_t *node;
    NS_TRY(ns__pages_node(pages, ref, level, &node));
    level = ns__node_level(node);
    if (level == 0) {
        NS_TRY(leaf_drop(change, tree, node));
    } else {
        uint32_t count = ns__node_count(node);
        NS__MARK(subtree_drop);
        for (uint32_t i = 0; i < count; i++) {
            if (i + AHEAD < count) ns__pages_prefetch(pages, ns__node_ref(node, i + AHEAD));
            NS_TRY(ns__subtree_drop(change, tree, ns__node_ref(node, i), level - 1));
        }
    }
    if (tree->pages == 0) {
        return ns__corrupt(ns__ref_page(ref), "the tree has more nodes than it counts");
    }
    tree->pages--;
    return ns__change_node_drop(change, ref);
}

ns_status ns__btree_drop(struct ns__change *change, struct ns__tree *tree)
{
    NS_ASSERT(change != NULL && tree != NULL);
    struct ns__tree left = *tree;
    if (left.ref != NS__REF_NONE) {
        NS_TRY(ns__subtree_drop(change, &left, left.ref, NS__LEVEL_ANY));
    }
    if (left.entries != 0 || left.pages != 0 || left.overflow_pages != 0) {
        return ns__corrupt(UINT64_MAX, "the tree has less than it counts");
    }
    memset(tree, 0, sizeof *tree);
    return NS_OK;
}
