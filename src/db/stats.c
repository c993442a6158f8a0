/* stats.c: figures: ns_db_stats, ns_db_readers. */
#include "db/db.h"
#include "txn/catalogue.h"

/* ---- trees ---- */

static void add_tree(ns_db_stats_t *stats, const struct ns__tree *tree)
{
    uint64_t page_size = stats->page_size;
    stats->entries += tree->entries;
    stats->tree_bytes += (tree->pages + tree->overflow_pages) * page_size;
    stats->overflow_bytes += tree->overflow_pages * page_size;
}

static ns_status add_keyspaces(ns_db *db, const struct ns__root *root, ns_db_stats_t *stats)
{
    struct ns__btree_cursor cursor;
    NS_TRY(ns__btree_cursor_init(&cursor, &db->pager->pages, &root->catalogue, &db->alloc));
    ns_status status = ns__btree_cursor_seek(&cursor, ns_str("i"));
    while (status == NS_OK) {
        ns_slice key = ns__btree_cursor_key(&cursor), value, name;
        if (((const uint8_t *)key.data)[0] != 'i') break;
        uint64_t ref;
        struct ns__tree tree;
        status = ns__btree_cursor_entry(&cursor, &value, NULL, &ref);
        if (status == NS_OK) status = ns__catalogue_value_decode(value, ref, &tree, &name);
        if (status == NS_OK) add_tree(stats, &tree);
        if (status == NS_OK) status = ns__btree_cursor_next(&cursor);
    }
    ns__btree_cursor_deinit(&cursor);
    return status == NS_NOTFOUND ? NS_OK : status;
}

static ns_status fill_tree(ns_db *db, ns_db_stats_t *stats)
{
    struct ns__slot *slot;
    struct ns__root root;
    if (ns__slot_take(&db->snapshots, &slot) != NS_OK) {
        NS_TRY(ns__slot_take_spare(&db->snapshots, &slot));
    }
    ns__atomic_store_relaxed(&slot->mode, 0); /* not a transaction: ns_db_readers passes over it */
    ns__slot_hold(&db->snapshots, slot, &root);
    stats->txn_id = root.txn_id;
    stats->unix_us = root.unix_us;
    stats->keyspaces = root.keyspaces;
    add_tree(stats, &root.main);
    stats->tree_bytes += root.catalogue.pages * stats->page_size;
    ns_status status = add_keyspaces(db, &root, stats);
    ns__slot_free(slot);
    return status;
}

/* ---- the rest ---- */

static void fill_space(ns_db *db, ns_db_stats_t *stats)
{
    struct ns__pager *pager = db->pager;
    uint64_t page_size = stats->page_size;
    uint64_t pages = ns__space_file_pages(&pager->space);
    uint32_t last =
        ns__region_of_range(stats->page_size, (pages - 1) / ns__range_pages(stats->page_size));
    stats->file_bytes = pages * page_size;
    stats->free_bytes = ns__space_free_pages(&pager->space) * page_size;
    stats->log_bytes = ns__log_pages(db->log) * page_size;
    stats->map_bytes = NS__REGION_MAP_PAGE_0 * page_size;
    for (uint32_t r = 0; r <= last; r++) {
        stats->map_bytes += ns__region_map_pages(stats->page_size, r) * page_size;
    }
    pthread_mutex_lock(&db->head);
    stats->waiting_bytes = pager->waiting_pages.pages * page_size;
    stats->frames_used = ns__pager_frames_used(pager);
    stats->frames_limit = pager->frame_limit - 1;
    pthread_mutex_unlock(&db->head);
}

static void fill_counters(ns_db *db, ns_db_stats_t *stats)
{
    struct ns__pager *pager = db->pager;
    stats->commits = ns__atomic_load_relaxed(&db->commits);
    stats->gets = ns__atomic_load_relaxed(&db->gets);
    stats->puts = ns__atomic_load_relaxed(&db->puts);
    stats->checkpoints = ns__atomic_load_relaxed(&db->checkpoints);
    stats->syncs = ns__atomic_load_relaxed(&pager->file.syncs) +
                   ns__atomic_load_relaxed(&pager->file.sync_writes);
    stats->log_writes = ns__atomic_load_relaxed(&db->commits);
    stats->log_bytes_written = ns__log_end(db->log) - ns__log_start(db->log);
    stats->pages_written = ns__atomic_load_relaxed(&pager->written);
    stats->pages_copied = ns__atomic_load_relaxed(&pager->copied);
    stats->spills = ns__atomic_load_relaxed(&pager->spills);
    stats->allocations = ns__atomic_load_relaxed(&db->alloc.calls);
    stats->allocated_bytes = ns__atomic_load_relaxed(&db->alloc.bytes);
    stats->recovered_txns = db->recovered_txns;
    stats->recovery_us = db->recovery_us;
    stats->readers = ns__snapshots_open(&db->snapshots);
}

static void fill_log(ns_db *db, ns_db_stats_t *stats)
{
    pthread_mutex_lock(&db->checkpoint);
    stats->history = db->fields->history;
    uint64_t floor = db->fields->floor_txn;
    pthread_mutex_unlock(&db->checkpoint);
    stats->oldest_log_txn = stats->txn_id > floor ? floor + 1 : 0;
}

ns_status ns_db_stats(ns_db *db, ns_db_stats_t *out, size_t out_size)
{
    if (out != NULL) memset(out, 0, out_size);
    NS_TRY(ns__db_usable(db));
    if (out == NULL || out_size == 0)
        return ns__error(NS_INVALID, "ns_db_stats: no room for figures");
    ns_db_stats_t stats = {.page_size = db->pager->file.page_size};
    NS_TRY(fill_tree(db, &stats));
    fill_space(db, &stats);
    fill_counters(db, &stats);
    fill_log(db, &stats);
    memcpy(out, &stats, out_size < sizeof stats ? out_size : sizeof stats);
    return NS_OK;
}

/* ---- readers ---- */

static uint64_t held_pages(ns_db *db, uint64_t generation)
{
    uint64_t pages = 0;
    pthread_mutex_lock(&db->head);
    const struct ns__waiting *both[2] = {&db->pager->waiting_pages, &db->pager->waiting_frames};
    for (int w = 0; w < 2; w++) {
        for (uint32_t i = 0; i < both[w]->count; i++) {
            if (both[w]->buckets[i].holder == generation) pages += both[w]->buckets[i].pages;
        }
    }
    pthread_mutex_unlock(&db->head);
    return pages;
}

struct seen {
    uint64_t generation;
    ns_reader reader;
};

static uint32_t collect(ns_db *db, struct seen *seen)
{
    uint64_t used = ns__atomic_load(&db->snapshots.slots_used);
    uint32_t count = 0;
    for (uint64_t i = 0; i < used; i++) {
        struct ns__slot *slot = &db->snapshots.slots[i];
        uint64_t generation = ns__atomic_load(&slot->generation);
        uint64_t mode = ns__atomic_load_relaxed(&slot->mode);
        if (generation == 0 || generation == UINT64_MAX || mode == 0) continue;
        seen[count].generation = generation;
        seen[count].reader = (ns_reader){
            .txn_id = ns__atomic_load_relaxed(&slot->txn_id),
            .mode = (ns_txn_mode)mode,
            .since_unix_us = (int64_t)ns__atomic_load_relaxed(&slot->since_us),
        };
        uint32_t at = count++;
        for (; at > 0 && seen[at - 1].generation > seen[at].generation; at--) {
            struct seen swap = seen[at];
            seen[at] = seen[at - 1];
            seen[at - 1] = swap;
        }
    }
    return count;
}

ns_status ns_db_readers(ns_db *db, ns_reader_fn each, void *ctx)
{
    NS_TRY(ns__db_usable(db));
    if (each == NULL) return ns__error(NS_INVALID, "ns_db_readers: each is NULL");
    size_t bytes = (size_t)(db->options.max_readers + 2) * sizeof(struct seen);
    struct seen *seen = ns__alloc(&db->alloc, bytes);
    if (seen == NULL) return NS_NOMEM;
    uint32_t count = collect(db, seen);
    for (uint32_t i = 0; i < count; i++) {
        /* Readers of one root share what it holds; the first one listed is charged. */
        bool is_first = i == 0 || seen[i - 1].generation != seen[i].generation;
        uint64_t pages = is_first ? held_pages(db, seen[i].generation) : 0;
        seen[i].reader.held_bytes = pages * db->pager->file.page_size;
        if (each(ctx, &seen[i].reader) != 0) break;
    }
    ns__alloc_release(&db->alloc, seen, bytes);
    return NS_OK;
}
