/* view.c: looking up keys in a root and the write set over it. */
#include "txn/view.h"

#include "txn/catalogue.h"

/* Keys of a batch that are handed to the tree together. */
#define BATCH 64u

void ns__view_init(struct ns__view *view, struct ns__pages *pages, const struct ns__root *root,
                   struct ns__writeset *set)
{
    view->pages = pages;
    view->root = *root;
    view->set = set;
    view->cached_count = 0;
    view->cached_next = 0;
}

/* The catalogue's word for how many nodes a tree has bounds walks over it: no more than there are.
 */
static ns_status check_size(const struct ns__view *view, const struct ns__tree *tree)
{
    uint64_t most = ns__atomic_load(&view->pages->readable) + view->pages->frames;
    if (tree->pages <= most) return NS_OK;
    return ns__corrupt(UINT64_MAX, "catalogue: a tree of %llu nodes",
                       (unsigned long long)tree->pages);
}

static ns_status find_tree(struct ns__view *view, ns_keyspace keyspace, struct ns__tree *tree_out)
{
    for (uint32_t i = 0; i < view->cached_count; i++) {
        if (view->cached[i].id != keyspace) continue;
        *tree_out = view->cached[i].tree;
        return view->cached[i].is_there ? NS_OK : NS_NOTFOUND;
    }
    ns_status status =
        ns__catalogue_get(view->pages, &view->root.catalogue, keyspace, tree_out, NULL);
    if (status == NS_OK) status = check_size(view, tree_out);
    if (status != NS_OK && status != NS_NOTFOUND) return status;
    uint32_t i = view->cached_next;
    view->cached_next = (i + 1) % NS__VIEW_CACHED;
    if (view->cached_count < NS__VIEW_CACHED) view->cached_count++;
    view->cached[i].id = keyspace;
    view->cached[i].is_there = status == NS_OK;
    view->cached[i].tree = *tree_out;
    return status;
}

ns_status ns__view_tree(struct ns__view *view, ns_keyspace keyspace, struct ns__tree *tree_out)
{
    if (keyspace != NS_MAIN) return find_tree(view, keyspace, tree_out);
    *tree_out = view->root.main;
    return NS_OK;
}

/* Is there anything in the set that a look-up must see? */
static inline bool is_overlaid(const struct ns__view *view)
{
    return view->set != NULL && view->set->keyspaces.count > 0;
}

static ns_status get_from_base(struct ns__view *view, ns_keyspace keyspace, ns_slice key,
                               ns_slice *value_out, uint64_t *version_out)
{
    struct ns__tree tree;
    ns_status status = find_tree(view, keyspace, &tree);
    if (status == NS_OK) {
        return ns__btree_get(view->pages, &tree, key, value_out, version_out, NULL);
    }
    *value_out = ns_bytes(NULL, 0);
    if (version_out != NULL) *version_out = 0;
    return status;
}

ns_status ns__view_get(struct ns__view *view, ns_keyspace keyspace, ns_slice key,
                       ns_slice *value_out, uint64_t *version_out)
{
    if (is_overlaid(view)) {
        enum ns__writeset_answer answer = ns__writeset_get(view->set, keyspace, key, value_out);
        if (answer != NS__WRITESET_SILENT) {
            if (version_out != NULL) *version_out = 0;
            return answer == NS__WRITESET_PUT ? NS_OK : NS_NOTFOUND;
        }
    }
    if (keyspace != NS_MAIN) return get_from_base(view, keyspace, key, value_out, version_out);
    return ns__btree_get(view->pages, &view->root.main, key, value_out, version_out, NULL);
}

/* At most BATCH keys: the set first, and what it does not know from the tree. */
static void get_batch(struct ns__view *view, ns_keyspace keyspace, const struct ns__tree *tree,
                      size_t n, const ns_slice keys[], ns_slice values[], ns_status statuses[])
{
    ns_slice asked[BATCH], found[BATCH];
    ns_status answers[BATCH];
    uint32_t places[BATCH];
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        enum ns__writeset_answer answer =
            ns__writeset_get(view->set, keyspace, keys[i], &values[i]);
        statuses[i] = answer == NS__WRITESET_PUT ? NS_OK : NS_NOTFOUND;
        if (answer != NS__WRITESET_SILENT) continue;
        places[count] = i;
        asked[count++] = keys[i];
    }
    if (count == 0) return;
    ns_status status = ns__btree_get_many(view->pages, tree, count, asked, found, answers);
    for (uint32_t i = 0; i < count; i++) {
        values[places[i]] = status == NS_OK ? found[i] : ns_bytes(NULL, 0);
        statuses[places[i]] = status == NS_OK ? answers[i] : status;
    }
}

ns_status ns__view_get_many(struct ns__view *view, ns_keyspace keyspace, size_t n,
                            const ns_slice keys[], ns_slice values[], ns_status statuses[])
{
    struct ns__tree tree;
    ns_status status = ns__view_has_keyspace(view, keyspace);
    if (status == NS_OK) {
        status = ns__view_tree(view, keyspace, &tree); /* empty if it was created here */
        if (status == NS_NOTFOUND) status = NS_OK;
    }
    if (status != NS_OK) {
        for (size_t i = 0; i < n; i++) {
            values[i] = ns_bytes(NULL, 0);
            statuses[i] = status;
        }
        return status;
    }
    if (!is_overlaid(view)) {
        return ns__btree_get_many(view->pages, &tree, n, keys, values, statuses);
    }
    for (size_t done = 0; done < n; done += BATCH) {
        size_t batch = n - done < BATCH ? n - done : BATCH;
        get_batch(view, keyspace, &tree, batch, keys + done, values + done, statuses + done);
    }
    return NS_OK;
}
