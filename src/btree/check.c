/* check.c: every law of one tree, and its shape.
 *
 * The walk trusts nothing but ns__node_invalid, which it calls itself (frames are not validated
 * when they are made). The laws, in the order in which a node is looked at:
 *
 *   K1  its page can be read, has the level that its parent says, and is valid;
 *   K2  its birth is not above the generation;
 *   K3  leaves have the type of the tree;
 *   K4  its keys ascend strictly, and lie within the separators above it. The nearest ancestors on
 *       either side suffice, since their separators have been checked the same way;
 *   K5  values are inline or in runs as FMT-11 says, and runs can be read and verified;
 *   K6  nodes, entries and overflow pages are what the tree counts.
 *
 * K4 also bounds the walk: a node reached twice has keys outside one of the two bounds. */
#include "btree/btree.h"

struct check {
    struct ns__pages *pages;
    const struct ns__tree *tree;
    uint64_t generation;
    ns__btree_visit visit;
    void *ctx;
    bool is_catalogue;
    uint64_t entries, nodes, overflow_pages;
    uint32_t depth; /* branches on the path */
    struct {
        const uint8_t *node;
        uint32_t index;
    } path[NS__LEVEL_MAX];
    uint8_t *key, *before; /* two key buffers */
    uint32_t key_bytes, before_bytes;
};

#define SLACK 8u

static uint64_t page_of(uint64_t ref)
{
    return ns__ref_is_frame(ref) ? UINT64_MAX : ns__ref_number(ref);
}

/* K4 against the ancestors. */
static ns_status check_bounds(const struct check *check, uint64_t page)
{
    ns_slice key = ns_bytes(check->key, check->key_bytes);
    bool has_low = false, has_high = false;
    for (uint32_t i = check->depth; i-- > 0 && !(has_low && has_high);) {
        const uint8_t *node = check->path[i].node;
        uint32_t index = check->path[i].index;
        if (!has_low && index > 0) {
            has_low = true;
            if (ns__node_separator_compare(node, index, key) < 0) {
                return ns__corrupt(page, "key below the separator of its node");
            }
        }
        if (!has_high && index + 1 < ns__node_count(node)) {
            has_high = true;
            if (ns__node_separator_compare(node, index + 1, key) >= 0) {
                return ns__corrupt(page, "key not below the next separator");
            }
        }
    }
    return NS_OK;
}

/* Takes the key of an entry, and compares it with the one before it and with the bounds. */
static ns_status check_key(struct check *check, uint64_t page, const uint8_t *node, uint32_t index,
                           const struct ns__node_entry *entry, bool is_first)
{
    uint8_t *swap = check->before;
    check->before = check->key;
    check->before_bytes = check->key_bytes;
    check->key = swap;
    check->key_bytes = ns__node_key_copy(node, index, entry, check->key);
    if (!is_first && ns__slice_compare(ns_bytes(check->before, check->before_bytes),
                                       ns_bytes(check->key, check->key_bytes)) >= 0) {
        return ns__corrupt(page, "entry %u: keys out of order", index);
    }
    return check_bounds(check, page);
}

/* K5 */
static ns_status check_value(struct check *check, uint64_t page, uint32_t index,
                             const struct ns__node_entry *entry)
{
    uint32_t page_size = check->pages->page_size;
    if (check->is_catalogue) return NS_OK;
    if (entry->is_run == ns__value_is_inline(page_size, check->key_bytes, entry->value_bytes)) {
        return ns__corrupt(page, "entry %u: value of %llu bytes is in the wrong place", index,
                           (unsigned long long)entry->value_bytes);
    }
    if (!entry->is_run) return NS_OK;

    struct ns__run run;
    ns_slice value;
    uint64_t run_pages = ns__pages_of(entry->value_bytes, page_size);
    ns__run_load(entry->value, &run);
    if (run.birth > check->generation) {
        return ns__corrupt(page, "entry %u: run born after the root", index);
    }
    NS_TRY(ns__pages_run(check->pages, &run, entry->value_bytes, &value));
    check->overflow_pages += run_pages;
    if (check->visit == NULL) return NS_OK;
    return check->visit(check->ctx, run.page, run_pages, true);
}

static ns_status check_leaf(struct check *check, uint64_t page, const uint8_t *node)
{
    if ((ns__node_type(node) == NS__TYPE_CATALOGUE) != check->is_catalogue) {
        return ns__corrupt(page, "leaf of the wrong type");
    }
    for (uint32_t i = 0; i < ns__node_count(node); i++) {
        struct ns__node_entry entry;
        ns__node_entry(node, i, &entry);
        NS_TRY(check_key(check, page, node, i, &entry, i == 0));
        NS_TRY(check_value(check, page, i, &entry));
    }
    check->entries += ns__node_count(node);
    return NS_OK;
}

static ns_status check_node(struct check *check, uint64_t ref, uint32_t level);

static ns_status check_branch(struct check *check, uint64_t page, const uint8_t *node)
{
    uint32_t count = ns__node_count(node), level = ns__node_level(node);
    NS_ASSERT(check->depth < NS__LEVEL_MAX);
    for (uint32_t i = 1; i < count; i++) {
        struct ns__node_entry entry;
        ns__node_entry(node, i, &entry);
        NS_TRY(check_key(check, page, node, i, &entry, i == 1));
    }
    check->depth++;
    for (uint32_t i = 0; i < count; i++) {
        check->path[check->depth - 1].node = node;
        check->path[check->depth - 1].index = i;
        NS_TRY(check_node(check, ns__node_ref(node, i), level - 1));
    }
    check->depth--;
    return NS_OK;
}

static ns_status check_node(struct check *check, uint64_t ref, uint32_t level)
{
    const uint8_t *node;
    uint64_t page = page_of(ref);
    NS_TRY(ns__pages_node(check->pages, ref, level, &node));
    const char *wrong = ns__node_invalid(node, check->pages->page_size, !ns__ref_is_frame(ref));
    if (wrong != NULL) return ns__corrupt(page, "%s", wrong);
    if (level != NS__LEVEL_ANY && ns__node_level(node) != level) {
        return ns__corrupt(page, "level %u where %u belongs", ns__node_level(node), level);
    }
    if (ns__node_birth(node) > check->generation) {
        return ns__corrupt(page, "born in generation %llu, after the root",
                           (unsigned long long)ns__node_birth(node));
    }
    check->nodes++;
    if (check->nodes > check->tree->pages) {
        return ns__corrupt(page, "the tree has more than the %llu nodes that it counts",
                           (unsigned long long)check->tree->pages);
    }
    if (check->visit != NULL) NS_TRY(check->visit(check->ctx, ref, 1, false));
    if (ns__node_level(node) == 0) return check_leaf(check, page, node);
    return check_branch(check, page, node);
}

/* K6 */
static ns_status check_counters(const struct check *check)
{
    const struct ns__tree *tree = check->tree;
    const struct {
        const char *what;
        uint64_t found, counted;
    } rows[] = {
        {"nodes", check->nodes, tree->pages},
        {"entries", check->entries, tree->entries},
        {"overflow pages", check->overflow_pages, tree->overflow_pages},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].found == rows[i].counted) continue;
        return ns__corrupt(UINT64_MAX, "the tree counts %llu %s, but has %llu",
                           (unsigned long long)rows[i].counted, rows[i].what,
                           (unsigned long long)rows[i].found);
    }
    return NS_OK;
}

ns_status ns__btree_check(struct ns__pages *pages, const struct ns__tree *tree, bool is_catalogue,
                          uint64_t generation, struct ns__alloc *alloc, ns__btree_visit visit,
                          void *ctx)
{
    NS_ASSERT(pages != NULL && tree != NULL);
    NS_ASSERT(alloc != NULL);
    size_t key_room = ns__key_bytes_max(pages->page_size) + SLACK;
    size_t size = sizeof(struct check) + 2 * key_room;
    struct check *check = ns__alloc_zeroed(alloc, size);
    if (check == NULL) return NS_NOMEM;
    check->pages = pages;
    check->tree = tree;
    check->generation = generation;
    check->visit = visit;
    check->ctx = ctx;
    check->is_catalogue = is_catalogue;
    check->key = (uint8_t *)(check + 1);
    check->before = check->key + key_room;

    ns_status status = NS_OK;
    if (tree->ref != NS__REF_NONE) status = check_node(check, tree->ref, NS__LEVEL_ANY);
    if (status == NS_OK) status = check_counters(check);
    ns__alloc_release(alloc, check, size);
    return status;
}

/* ---- shape ---- */

static ns_status shape_of(struct ns__pages *pages, const struct ns__tree *tree, uint64_t ref,
                          uint32_t level, struct ns__btree_shape *shape)
{
    const uint8_t *node;
    NS_TRY(ns__pages_node(pages, ref, level, &node));
    uint32_t used_bytes = ns__node_used_bytes(node, pages->page_size);
    level = ns__node_level(node);
    if (shape->height == 0) shape->height = level + 1;
    if (shape->leaves + shape->branches >= tree->pages) {
        return ns__corrupt(page_of(ref), "the tree has more nodes than it counts");
    }
    if (level == 0) {
        shape->leaves++;
        shape->entries += ns__node_count(node);
        shape->leaf_bytes_used += used_bytes;
        return NS_OK;
    }
    shape->branches++;
    shape->branch_bytes_used += used_bytes;
    for (uint32_t i = 0; i < ns__node_count(node); i++) {
        NS_TRY(shape_of(pages, tree, ns__node_ref(node, i), level - 1, shape));
    }
    return NS_OK;
}

ns_status ns__btree_shape(struct ns__pages *pages, const struct ns__tree *tree,
                          struct ns__btree_shape *shape_out)
{
    NS_ASSERT(pages != NULL && tree != NULL);
    NS_ASSERT(shape_out != NULL);
    struct ns__btree_shape shape = {0};
    memset(shape_out, 0, sizeof *shape_out);
    if (tree->ref != NS__REF_NONE) NS_TRY(shape_of(pages, tree, tree->ref, NS__LEVEL_ANY, &shape));
    *shape_out = shape;
    return NS_OK;
}
