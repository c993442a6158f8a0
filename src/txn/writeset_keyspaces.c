/* writeset_keyspaces.c: which keyspaces a write set changes, creates and drops.
 *
 *   1. An entry is made by the first change of its keyspace and stays, empty or not;
 *      set->keyspaces has all of them by id.
 *   2. An entry is in `created` or `dropped` (by name) exactly when is_created or is_dropped
 *      says so. Its name is set while it is in either.
 *   3. is_dropped is about the base and is never taken back; is_created is about now. Dropped
 *      and created: the base's content is hidden and the keyspace starts empty.
 *   4. As long as an entry is in either list, its id and name belong together; the view, which
 *      gives ids out, sees to that.
 *
 * Memory is taken before anything else changes. An entry made by a call that then fails is empty
 * and says nothing. */
#include "txn/writeset.h"

#include "base/assert.h"
#include "base/status.h"

/* ---- lists of pointers ---- */

/* Room for one more. */
static ns_status list_reserve(struct ns__arena *arena, struct ns__writeset_list *list)
{
    if (list->count < list->room) return NS_OK;
    size_t room = list->room > 0 ? 2 * list->room : 8;
    struct ns__writeset_keyspace **items = ns__arena_take(arena, room * sizeof(*items));
    if (items == NULL) return NS_NOMEM;
    if (list->count > 0) memcpy(items, list->items, list->count * sizeof(*items));
    list->items = items;
    list->room = room;
    return NS_OK;
}

static void list_insert(struct ns__writeset_list *list, size_t index,
                        struct ns__writeset_keyspace *entry)
{
    NS_ASSERT(list->count < list->room && index <= list->count);
    memmove(list->items + index + 1, list->items + index,
            (list->count - index) * sizeof(struct ns__writeset_keyspace *));
    list->items[index] = entry;
    list->count++;
}

static void list_remove(struct ns__writeset_list *list, size_t index)
{
    NS_ASSERT(index < list->count);
    list->count--;
    memmove(list->items + index, list->items + index + 1,
            (list->count - index) * sizeof(struct ns__writeset_keyspace *));
}

/* First entry whose id is not below, or whose name is not before, the one sought. */
static size_t index_by_id(const struct ns__writeset_list *list, ns_keyspace id)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle]->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t index_by_name(const struct ns__writeset_list *list, ns_slice name)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ns__slice_compare(list->items[middle]->name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct ns__writeset_keyspace *find_by_name(const struct ns__writeset_list *list,
                                                  ns_slice name)
{
    size_t index = index_by_name(list, name);
    if (index == list->count || !ns__slice_equal(list->items[index]->name, name)) return NULL;
    return list->items[index];
}

/* ---- entries ---- */

struct ns__writeset_keyspace *ns__writeset_entry(const struct ns__writeset *set,
                                                 ns_keyspace keyspace)
{
    if (set->recent != NULL && set->recent->id == keyspace) return set->recent;
    size_t index = index_by_id(&set->keyspaces, keyspace);
    if (index == set->keyspaces.count || set->keyspaces.items[index]->id != keyspace) return NULL;
    return set->keyspaces.items[index];
}

ns_status ns__writeset_entry_make(struct ns__writeset *set, ns_keyspace keyspace,
                                  struct ns__writeset_keyspace **entry_out)
{
    struct ns__writeset_keyspace *entry = ns__writeset_entry(set, keyspace);
    *entry_out = entry;
    if (entry == NULL) {
        NS_TRY(list_reserve(&set->arena, &set->keyspaces));
        entry = ns__arena_take(&set->arena, sizeof *entry);
        if (entry == NULL) return NS_NOMEM;
        memset(entry, 0, sizeof *entry);
        entry->id = keyspace;
        ns__skiplist_init(&entry->points);
        ns__skiplist_init(&entry->ranges);
        list_insert(&set->keyspaces, index_by_id(&set->keyspaces, keyspace), entry);
        *entry_out = entry;
    }
    set->recent = entry;
    return NS_OK;
}

/* Takes what creating and dropping need: the entry, with its name, and room in the list. */
static ns_status prepare(struct ns__writeset *set, ns_slice name, ns_keyspace keyspace,
                         struct ns__writeset_list *list, struct ns__writeset_keyspace **entry_out)
{
    struct ns__writeset_keyspace *entry;
    NS_TRY(ns__writeset_entry_make(set, keyspace, &entry));
    NS_TRY(list_reserve(&set->arena, list));
    if (!entry->is_created && !entry->is_dropped) {
        void *copy = ns__arena_copy(&set->arena, name.data, name.size);
        if (copy == NULL) return NS_NOMEM;
        entry->name = ns_bytes(copy, name.size);
    }
    NS_ASSERT(ns__slice_equal(entry->name, name));
    *entry_out = entry;
    return NS_OK;
}

static void forget_content(struct ns__writeset *set, struct ns__writeset_keyspace *entry)
{
    ns_slice all = ns_bytes(NULL, 0);
    ns__skiplist_cut(&set->memory, &entry->points, all, false, all);
    ns__skiplist_cut(&set->memory, &entry->ranges, all, false, all);
}

ns_status ns__writeset_create(struct ns__writeset *set, ns_slice name, ns_keyspace keyspace)
{
    NS_ASSERT(keyspace != NS_MAIN);
    struct ns__writeset_keyspace *entry;
    NS_TRY(prepare(set, name, keyspace, &set->created, &entry));
    if (entry->is_created) return NS_OK;
    list_insert(&set->created, index_by_name(&set->created, entry->name), entry);
    entry->is_created = true;
    set->changes++;
    return NS_OK;
}

ns_status ns__writeset_drop(struct ns__writeset *set, ns_slice name, ns_keyspace keyspace,
                            bool exists_in_base)
{
    NS_ASSERT(keyspace != NS_MAIN);
    struct ns__writeset_keyspace *entry;
    NS_TRY(prepare(set, name, keyspace, &set->dropped, &entry));
    forget_content(set, entry);
    if (exists_in_base && !entry->is_dropped) {
        list_insert(&set->dropped, index_by_name(&set->dropped, entry->name), entry);
        entry->is_dropped = true;
    }
    if (entry->is_created) {
        list_remove(&set->created, index_by_name(&set->created, entry->name));
        entry->is_created = false;
    }
    set->changes++;
    return NS_OK;
}

/* ---- answers ---- */

ns_status ns__writeset_find_name(const struct ns__writeset *set, ns_slice name,
                                 ns_keyspace *keyspace_out)
{
    const struct ns__writeset_keyspace *entry = find_by_name(&set->created, name);
    ns_status status = NS_OK;
    if (entry == NULL) {
        entry = find_by_name(&set->dropped, name);
        status = NS_GONE;
    }
    *keyspace_out = entry != NULL ? entry->id : 0;
    return entry != NULL ? status : NS_NOTFOUND;
}

ns_status ns__writeset_find_id(const struct ns__writeset *set, ns_keyspace keyspace)
{
    const struct ns__writeset_keyspace *entry = ns__writeset_entry(set, keyspace);
    if (entry == NULL) return NS_NOTFOUND;
    if (entry->is_created) return NS_OK;
    return entry->is_dropped ? NS_GONE : NS_NOTFOUND;
}

bool ns__writeset_created(const struct ns__writeset *set, size_t index, ns_slice *name_out,
                          ns_keyspace *keyspace_out)
{
    bool is_there = index < set->created.count;
    *name_out = is_there ? set->created.items[index]->name : ns_bytes(NULL, 0);
    *keyspace_out = is_there ? set->created.items[index]->id : 0;
    return is_there;
}
