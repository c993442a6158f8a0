/* view_keyspaces.c: names and ids of keyspaces in a root and the write set over it.
 *
 *   1. Whatever the write set says of a name or an id rules; where it says nothing, the catalogue
 *      answers.
 *   2. A name has one id for the whole life of a view: dropped and created again, it gets the same
 *      one, and no other name gets it in between. So an id given to the caller never comes to mean
 *      something else.
 *   3. Probing for a new id and listing are bounded by what the root and the set hold, whatever a
 *      damaged catalogue looks like.
 *
 * Names are as the caller or the catalogue has them; their size is the caller's to check. */
#include "txn/catalogue.h"
#include "txn/view.h"

ns_status ns__view_has_keyspace(struct ns__view *view, ns_keyspace keyspace)
{
    if (keyspace == NS_MAIN) return NS_OK;
    if (view->set != NULL) {
        ns_status said = ns__writeset_find_id(view->set, keyspace);
        if (said != NS_NOTFOUND) return said == NS_OK ? NS_OK : NS_NOTFOUND;
    }
    struct ns__tree tree;
    return ns__view_tree(view, keyspace, &tree);
}

ns_status ns__view_find_keyspace(struct ns__view *view, ns_slice name, ns_keyspace *keyspace_out,
                                 bool *in_base_out)
{
    *keyspace_out = 0;
    if (in_base_out != NULL) *in_base_out = false;
    ns_keyspace said_id = 0;
    ns_status said = NS_NOTFOUND;
    if (view->set != NULL) said = ns__writeset_find_name(view->set, name, &said_id);
    ns_status status = said == NS_OK ? NS_OK : NS_NOTFOUND;
    if (said == NS_NOTFOUND || in_base_out != NULL) {
        ns_keyspace base_id;
        ns_status found = ns__catalogue_find(view->pages, &view->root.catalogue, name, &base_id);
        if (found != NS_OK && found != NS_NOTFOUND) return found;
        if (in_base_out != NULL) *in_base_out = found == NS_OK;
        if (said == NS_NOTFOUND) {
            status = found;
            said_id = base_id;
        }
    }
    if (status == NS_OK) *keyspace_out = said_id;
    return status;
}

/* NS_NOTFOUND: neither the root nor the set knows the id. */
static ns_status is_id_known(struct ns__view *view, ns_keyspace keyspace)
{
    if (view->set != NULL && ns__writeset_find_id(view->set, keyspace) != NS_NOTFOUND) return NS_OK;
    struct ns__tree tree;
    return ns__view_tree(view, keyspace, &tree);
}

ns_status ns__view_new_keyspace_id(struct ns__view *view, ns_slice name, ns_keyspace *keyspace_out)
{
    *keyspace_out = 0;
    uint64_t tries = view->root.keyspaces + 2; /* that many ids can be in the way, and 0 */
    if (view->set != NULL) {
        if (ns__writeset_find_name(view->set, name, keyspace_out) == NS_GONE) return NS_OK;
        *keyspace_out = 0;
        tries += view->set->keyspaces.count;
    }
    ns_keyspace id = (ns_keyspace)ns__checksum64(name.data, name.size, 0);
    for (; tries > 0; tries--, id++) {
        if (id == NS_MAIN) continue;
        ns_status status = is_id_known(view, id);
        if (status == NS_NOTFOUND) {
            *keyspace_out = id;
            return NS_OK;
        }
        if (status != NS_OK) return status;
    }
    return ns__corrupt(UINT64_MAX, "catalogue: more keyspaces than the %llu of its root",
                       (unsigned long long)view->root.keyspaces);
}

/* ---- listing: the catalogue's names and those created here, merged ---- */

struct listing {
    struct ns__view *view;
    struct ns__btree_cursor base; /* on a name, or nowhere */
    ns_slice base_name;
    ns_keyspace base_id;
    size_t created_index;
};

/* Reads the name that the base cursor stands on; leaves it nowhere behind the last one. */
static ns_status read_base(struct listing *listing, ns_status moved)
{
    if (moved == NS_NOTFOUND) return NS_OK;
    if (moved != NS_OK) return moved;
    ns_slice key = ns__btree_cursor_key(&listing->base);
    const uint8_t *bytes = key.data;
    if (key.size < 2 || bytes[0] != NS__CATALOGUE_NAMES) {
        listing->base.depth = 0;
        return NS_OK;
    }
    ns_slice value;
    NS_TRY(ns__btree_cursor_entry(&listing->base, &value, NULL, NULL));
    NS_TRY(ns__catalogue_id_decode(value, &listing->base_id));
    listing->base_name = ns_bytes(bytes + 1, key.size - 1);
    return NS_OK;
}

/* The next name; NS_NOTFOUND at the end. What was dropped here and not created again is left
 * out. */
static ns_status list_next(struct listing *listing, ns_slice *name_out, ns_keyspace *keyspace_out,
                           bool *is_base_out)
{
    const struct ns__writeset *set = listing->view->set;
    for (;;) {
        bool is_base = ns__btree_cursor_is_on(&listing->base);
        bool is_created = set != NULL &&
                          ns__writeset_created(set, listing->created_index, name_out, keyspace_out);
        if (!is_base && !is_created) return NS_NOTFOUND;
        int order = !is_created ? -1
                    : !is_base  ? 1
                                : ns__slice_compare(listing->base_name, *name_out);
        bool is_dropped =
            is_base && set != NULL && ns__writeset_find_id(set, listing->base_id) == NS_GONE;
        *is_base_out = order < 0;
        if (order > 0) {
            listing->created_index++;
            return NS_OK;
        }
        if (order < 0 && !is_dropped) {
            *name_out = listing->base_name;
            *keyspace_out = listing->base_id;
            return NS_OK;
        }
        /* Hidden: dropped here, or created again, which comes up from the set next. */
        NS_TRY(read_base(listing, ns__btree_cursor_next(&listing->base)));
    }
}

ns_status ns__view_each_keyspace(struct ns__view *view, struct ns__alloc *alloc,
                                 int (*each)(void *ctx, ns_slice name, ns_keyspace keyspace),
                                 void *ctx)
{
    struct listing listing = {.view = view};
    NS_TRY(ns__btree_cursor_init(&listing.base, view->pages, &view->root.catalogue, alloc));
    const uint8_t names[] = {NS__CATALOGUE_NAMES};
    ns_status status =
        read_base(&listing, ns__btree_cursor_seek(&listing.base, ns_bytes(names, sizeof names)));
    while (status == NS_OK) {
        ns_slice name;
        ns_keyspace keyspace;
        bool is_base;
        status = list_next(&listing, &name, &keyspace, &is_base);
        if (status != NS_OK || each(ctx, name, keyspace) != 0) break;
        if (is_base) status = read_base(&listing, ns__btree_cursor_next(&listing.base));
    }
    ns__btree_cursor_deinit(&listing.base);
    return status == NS_NOTFOUND ? NS_OK : status;
}

struct text_each {
    int (*each)(void *ctx, const char *name, ns_keyspace keyspace);
    void *ctx;
};

static int each_as_text(void *ctx, ns_slice name, ns_keyspace keyspace)
{
    const struct text_each *text = ctx;
    char copy[NS__NAME_BYTES_MAX + 1];
    size_t size = name.size < NS__NAME_BYTES_MAX ? name.size : NS__NAME_BYTES_MAX;
    memcpy(copy, name.data, size);
    copy[size] = 0;
    return text->each(text->ctx, copy, keyspace);
}

ns_status ns__view_list_keyspaces(struct ns__view *view, struct ns__alloc *alloc,
                                  int (*each)(void *ctx, const char *name, ns_keyspace keyspace),
                                  void *ctx)
{
    struct text_each text = {.each = each, .ctx = ctx};
    return ns__view_each_keyspace(view, alloc, each_as_text, &text);
}
