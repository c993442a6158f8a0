/* map.c: the two log maps and their continuation pages: reading them, and changing them safely.
 *
 * The log map alone says which pages are log. It exists twice, in pages 2 and 3; the map with
 * sequence s lies in page 2 + s mod 2. A change is the new list under the next sequence into the
 * page of the older map, synced, and then once more under the sequence after that into the other
 * page, synced. A power cut in the middle leaves two valid maps or one.
 *
 * Invariants.
 *  1. Nothing that relies on a change happens before both maps hold it: no extent is used, no page
 *     given back, no envelope appended to a log that was clean. So whichever valid map is found
 *     after a cut, or after the other one rotted, it is right.
 *  2. A continuation page is never changed. A list whose oldest part changed gets a fresh chain, in
 *     fresh pages, synced before a map names it; the old chain is given back when neither does.
 *  3. After a failure while a map is written, file->sync_failed is set and no map is written again:
 *     what the medium holds is for the next open to see. That open may see the failed write in the
 *     system's memory although the medium has not got it. So it writes the newest map once more, as
 *     it is, before anything else (ns__log_map_confirm); only the newest can be in doubt, because
 *     it was not begun before the other one was durable.
 *
 * The order in ns__log_map_publish: chain pages; first map; second map; the list in memory; old
 * chain pages to the space. */
#include "log/log_internal.h"

#include "base/assert.h"
#include "base/marks.h"

/* A list that has outgrown the map moves all but so many of its newest extents to the chain, so
 * that the chain is rewritten once in a while only. */
#define KEPT_IN_MAP (NS__LOGMAP_EXTENTS / 2)

/* ---- the chain ---- */

static void chain_free(struct ns__log *log, struct ns__log_chain *chain)
{
    ns__alloc_release(log->alloc, chain->pages, chain->page_capacity * sizeof *chain->pages);
    memset(chain, 0, sizeof *chain);
}

static void chain_give(struct ns__log *log, const struct ns__log_chain *chain)
{
    for (size_t i = 0; i < chain->page_count; i++) {
        ns__space_give(log->space, chain->pages[i], 1);
    }
}

/* Does the present chain hold the oldest extents of this list too, and the map all others? */
static bool chain_fits(const struct ns__log *log, const struct ns__log_list *list)
{
    size_t held = log->chain.extent_count;
    if (list->count <= held) return held == 0;
    if (list->count - held > NS__LOGMAP_EXTENTS) return false;
    return held == 0 || memcmp(list->extents, log->list.extents, held * sizeof *list->extents) == 0;
}

static ns_status chain_take_pages(struct ns__log *log, struct ns__log_chain *chain, size_t count,
                                  bool use_reserve)
{
    chain->pages = ns__alloc(log->alloc, count * sizeof *chain->pages);
    if (chain->pages == NULL) return NS_NOMEM;
    chain->page_capacity = count;
    while (chain->page_count < count) {
        uint64_t page;
        NS_TRY(ns__space_take(log->space, 1, use_reserve, &page));
        chain->pages[chain->page_count++] = page;
    }
    return NS_OK;
}

/* Oldest extents first: they lie in the chain's last page, and each names the one before. */
static ns_status chain_write_pages(struct ns__log *log, const struct ns__log_list *list,
                                   struct ns__log_chain *chain)
{
    uint32_t page_size = log->file->page_size;
    uint32_t per_page = ns__continuation_extents_max(page_size);
    uint8_t *bytes = ns__alloc(log->alloc, page_size);
    if (bytes == NULL) return NS_NOMEM;
    ns_status status = NS_OK;
    uint64_t next_page = 0, next_checksum = 0;
    size_t done = 0;
    for (size_t i = chain->page_count; i > 0 && status == NS_OK; i--) {
        size_t left = chain->extent_count - done;
        uint32_t count = left < per_page ? (uint32_t)left : per_page;
        uint64_t page = chain->pages[i - 1];
        next_checksum = ns__continuation_encode(log->file->uuid, page_size, page, next_page,
                                                next_checksum, list->extents + done, count, bytes);
        status = ns__file_write_sync(log->file, page * page_size, bytes, page_size);
        next_page = page;
        done += count;
    }
    chain->checksum = next_checksum;
    ns__alloc_release(log->alloc, bytes, page_size);
    return status;
}

/* On failure nothing names the fresh pages, and they are given back. */
static ns_status chain_make(struct ns__log *log, const struct ns__log_list *list, bool use_reserve,
                            struct ns__log_chain *chain_out)
{
    memset(chain_out, 0, sizeof *chain_out);
    if (list->count <= NS__LOGMAP_EXTENTS) return NS_OK;
    NS__MARK(log_continuation);
    chain_out->extent_count = list->count - KEPT_IN_MAP;
    uint32_t per_page = ns__continuation_extents_max(log->file->page_size);
    size_t pages = (chain_out->extent_count + per_page - 1) / per_page;
    ns_status status = chain_take_pages(log, chain_out, pages, use_reserve);
    if (status == NS_OK) status = chain_write_pages(log, list, chain_out);
    if (status != NS_OK) {
        chain_give(log, chain_out);
        chain_free(log, chain_out);
    }
    return status;
}

/* ---- writing ---- */

static void fill_map(const struct ns__log *log, const struct ns__log_list *list,
                     const struct ns__log_chain *chain, struct ns__logmap *map_out)
{
    memset(map_out, 0, sizeof *map_out);
    memcpy(map_out->uuid, log->file->uuid, NS__UUID_BYTES);
    size_t count = list->count - chain->extent_count;
    NS_ASSERT(count <= NS__LOGMAP_EXTENTS);
    map_out->extent_count = (uint32_t)count;
    map_out->extents_total = list->count;
    if (chain->page_count > 0) {
        map_out->continuation_page = chain->pages[0];
        map_out->continuation_checksum = chain->checksum;
    }
    memcpy(map_out->extents, list->extents + chain->extent_count, count * sizeof *list->extents);
}

/* Into the page that its sequence says. */
static ns_status write_map(struct ns__log *log, const struct ns__logmap *map)
{
    uint8_t bytes[NS__BLOCK_BYTES];
    ns__logmap_encode(map, bytes);
    uint64_t page = NS__LOG_FIRST_MAP_PAGE + map->sequence % 2;
    ns_status status =
        ns__file_write_sync(log->file, page * log->file->page_size, bytes, sizeof bytes);
    if (status != NS_OK) ns__error_prefix("log map");
    return status;
}

static ns_status write_both_maps(struct ns__log *log, struct ns__logmap *map)
{
    map->sequence = log->sequence + 1;
    NS_TRY(write_map(log, map));
    map->sequence = log->sequence + 2;
    NS_TRY(write_map(log, map));
    return NS_OK;
}

static void swap_lists(struct ns__log_list *a, struct ns__log_list *b)
{
    struct ns__log_list kept = *a;
    *a = *b;
    *b = kept;
}

ns_status ns__log_map_publish(struct ns__log *log, struct ns__log_change *change)
{
    const struct ns__log_list *list = change->list != NULL ? change->list : &log->list;
    bool is_kept = chain_fits(log, list);
    struct ns__log_chain fresh = {0};
    if (!is_kept) NS_TRY(chain_make(log, list, change->use_reserve, &fresh));

    struct ns__logmap map;
    fill_map(log, list, is_kept ? &log->chain : &fresh, &map);
    map.epoch = change->epoch;
    map.watermark = change->watermark;
    map.flags = change->is_in_use ? NS__LOGMAP_FLAG_IN_USE : 0;
    change->was_named = true;
    ns_status status = write_both_maps(log, &map);
    if (status != NS_OK) {
        chain_free(log, &fresh);
        return status;
    }

    log->sequence = map.sequence;
    log->map_watermark = map.watermark;
    log->maps_differ = false;
    ns__atomic_store(&log->epoch, change->epoch);
    ns__atomic_store(&log->is_in_use, change->is_in_use ? 1 : 0);
    (void)pthread_mutex_lock(&log->list_lock);
    if (change->list != NULL) swap_lists(&log->list, change->list);
    if (!is_kept) {
        struct ns__log_chain old = log->chain;
        log->chain = fresh;
        fresh = old;
    }
    (void)pthread_mutex_unlock(&log->list_lock);
    if (!is_kept) {
        chain_give(log, &fresh);
        chain_free(log, &fresh);
    }
    return NS_OK;
}

ns_status ns__log_map_confirm(struct ns__log *log)
{
    struct ns__logmap map;
    fill_map(log, &log->list, &log->chain, &map);
    map.epoch = (uint32_t)ns__atomic_load(&log->epoch);
    map.watermark = log->map_watermark;
    map.flags = ns__atomic_load(&log->is_in_use) != 0 ? NS__LOGMAP_FLAG_IN_USE : 0;
    map.sequence = log->sequence;
    NS_TRY(write_map(log, &map));
    if (!log->maps_differ) return NS_OK;
    map.sequence = log->sequence + 1;
    NS_TRY(write_map(log, &map));
    log->sequence = map.sequence;
    log->maps_differ = false;
    return NS_OK;
}

/* ---- reading ---- */

/* What one of the two pages holds. */
struct found_map {
    ns_status status;
    uint8_t bytes[NS__BLOCK_BYTES];
    struct ns__logmap map;
};

static void read_map(struct ns__log *log, uint32_t page, uint64_t page_limit,
                     struct found_map *found_out)
{
    uint32_t page_size = log->file->page_size;
    found_out->status = ns__file_read(log->file, (uint64_t)page * page_size, found_out->bytes,
                                      sizeof found_out->bytes);
    if (found_out->status != NS_OK) return;
    found_out->status = ns__logmap_decode(found_out->bytes, page, log->file->uuid, page_size,
                                          page_limit, &found_out->map);
    if (found_out->status == NS_OK && found_out->map.sequence >= NS__LOG_OFFSET_MAX) {
        found_out->status = ns__corrupt(page, "log map: sequence too high");
    }
}

/* Would the newest map under the older one's sequence give the older one's bytes? */
static bool maps_agree(struct found_map *newest, const struct found_map *older)
{
    if (older->status != NS_OK || older->map.sequence + 1 != newest->map.sequence) return false;
    uint8_t bytes[NS__BLOCK_BYTES];
    newest->map.sequence -= 1;
    ns__logmap_encode(&newest->map, bytes);
    newest->map.sequence += 1;
    return memcmp(bytes, older->bytes, sizeof bytes) == 0;
}

static ns_status chain_add_page(struct ns__log *log, uint64_t page)
{
    struct ns__log_chain *chain = &log->chain;
    if (chain->page_count == chain->page_capacity) {
        size_t capacity = chain->page_capacity > 0 ? 2 * chain->page_capacity : 8;
        uint64_t *pages =
            ns__alloc_resize(log->alloc, chain->pages, chain->page_capacity * sizeof *pages,
                             capacity * sizeof *pages);
        if (pages == NULL) return NS_NOMEM;
        chain->pages = pages;
        chain->page_capacity = capacity;
    }
    chain->pages[chain->page_count++] = page;
    return NS_OK;
}

/* Appends to the list, which holds newer extents first until it is turned round. */
static ns_status list_add_reversed(struct ns__log *log, const struct ns__extent *extents,
                                   size_t count)
{
    struct ns__log_list *list = &log->list;
    if (list->capacity - list->count < count) {
        size_t capacity = 2 * list->capacity + count;
        struct ns__extent *grown = ns__alloc_resize(
            log->alloc, list->extents, list->capacity * sizeof *grown, capacity * sizeof *grown);
        if (grown == NULL) return NS_NOMEM;
        list->extents = grown;
        list->capacity = capacity;
    }
    for (size_t i = count; i > 0; i--) {
        list->extents[list->count++] = extents[i - 1];
    }
    return NS_OK;
}

static void turn_list(struct ns__log_list *list)
{
    for (size_t i = 0; i < list->count / 2; i++) {
        struct ns__extent kept = list->extents[i];
        list->extents[i] = list->extents[list->count - 1 - i];
        list->extents[list->count - 1 - i] = kept;
    }
}

/* Follows the chain; the number of extents in all bounds the walk. */
static ns_status load_chain(struct ns__log *log, const struct ns__logmap *map, uint64_t page_limit,
                            uint8_t *bytes, struct ns__extent *extents)
{
    uint32_t page_size = log->file->page_size;
    uint64_t page = map->continuation_page, checksum = map->continuation_checksum;
    log->chain.checksum = checksum;
    while (page != 0) {
        if (page >= page_limit || log->list.count >= map->extents_total) {
            return ns__corrupt(page, "log map continuation: not part of the list");
        }
        NS_TRY(ns__file_read(log->file, page * page_size, bytes, page_size));
        uint64_t next_page, next_checksum;
        uint32_t count;
        NS_TRY(ns__continuation_decode(bytes, log->file->uuid, page_size, page, checksum,
                                       &next_page, &next_checksum, extents, &count));
        if (count == 0) return ns__corrupt(page, "log map continuation: empty");
        NS_TRY(chain_add_page(log, page));
        NS_TRY(list_add_reversed(log, extents, count));
        page = next_page;
        checksum = next_checksum;
    }
    log->chain.extent_count = log->list.count - map->extent_count;
    return NS_OK;
}

static ns_status load_list(struct ns__log *log, const struct ns__logmap *map, uint64_t page_limit)
{
    NS_TRY(list_add_reversed(log, map->extents, map->extent_count));
    if (map->continuation_page != 0) {
        uint32_t page_size = log->file->page_size;
        size_t extents_bytes = ns__continuation_extents_max(page_size) * sizeof(struct ns__extent);
        struct ns__extent *extents = ns__alloc(log->alloc, extents_bytes);
        uint8_t *bytes = ns__alloc(log->alloc, page_size);
        ns_status status = NS_NOMEM;
        if (extents != NULL && bytes != NULL) {
            status = load_chain(log, map, page_limit, bytes, extents);
        }
        ns__alloc_release(log->alloc, bytes, page_size);
        ns__alloc_release(log->alloc, extents, extents_bytes);
        NS_TRY(status);
    }
    turn_list(&log->list);
    return NS_OK;
}

/* What no page of the list can know alone. */
static ns_status check_list(const struct ns__log *log, const struct ns__logmap *map, uint32_t page,
                            uint64_t page_limit)
{
    const struct ns__log_list *list = &log->list;
    if (list->count == 0 || list->count != map->extents_total) {
        return ns__corrupt(page, "log map: %zu extents, of %llu in all", list->count,
                           (unsigned long long)map->extents_total);
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct ns__extent *extent = &list->extents[i];
        const struct ns__extent *before = i > 0 ? &list->extents[i - 1] : extent;
        bool is_good = extent->log_start % 8 == 0 && extent->log_end % 8 == 0 &&
                       extent->log_end < NS__LOG_OFFSET_MAX && extent->page < page_limit &&
                       extent->pages <= page_limit - extent->page &&
                       extent->epoch >= before->epoch && extent->epoch <= map->epoch &&
                       (i == 0 || extent->log_start == before->log_end);
        if (!is_good) return ns__corrupt(page, "log map: extent %zu of the whole list", i);
    }
    if (map->watermark % 8 != 0 || map->watermark > list->extents[list->count - 1].log_end) {
        return ns__corrupt(page, "log map: watermark %llu", (unsigned long long)map->watermark);
    }
    return NS_OK;
}

/* found: pages 2 and 3, which decoded or not. */
static ns_status choose_map(struct ns__log *log, struct found_map found[2], uint64_t page_limit)
{
    read_map(log, NS__LOG_FIRST_MAP_PAGE, page_limit, &found[0]);
    read_map(log, NS__LOG_FIRST_MAP_PAGE + 1, page_limit, &found[1]);
    for (uint32_t i = 0; i < 2; i++) {
        log->map_status[i] = found[i].status;
        if (found[i].status != NS_OK && found[i].status != NS_CORRUPT) return found[i].status;
    }
    if (found[0].status != NS_OK && found[1].status != NS_OK) {
        ns__error_prefix("neither log map is valid");
        return found[0].status == NS_CORRUPT ? NS_CORRUPT : found[1].status;
    }
    uint32_t chosen = 0;
    if (found[0].status != NS_OK) chosen = 1;
    if (found[1].status == NS_OK && found[1].map.sequence > found[0].map.sequence) chosen = 1;
    struct ns__logmap *map = &found[chosen].map;
    log->sequence = map->sequence;
    log->map_watermark = map->watermark;
    log->maps_differ = !maps_agree(&found[chosen], &found[1 - chosen]);
    ns__atomic_store(&log->epoch, map->epoch);
    ns__atomic_store(&log->is_in_use, (map->flags & NS__LOGMAP_FLAG_IN_USE) != 0);
    NS_TRY(load_list(log, map, page_limit));
    return check_list(log, map, NS__LOG_FIRST_MAP_PAGE + chosen, page_limit);
}

ns_status ns__log_was_left_in_use(struct ns__file *file, bool *in_use_out)
{
    *in_use_out = false;
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t head[NS__LOGMAP_HEAD_BYTES];
        uint64_t page = NS__LOG_FIRST_MAP_PAGE + i;
        NS_TRY(ns__file_read(file, page * file->page_size, head, sizeof head));
        if (!ns__logmap_head_says_closed(head)) *in_use_out = true;
    }
    return NS_OK;
}

ns_status ns__log_map_load(struct ns__log *log, uint64_t page_limit)
{
    struct found_map *found = ns__alloc_zeroed(log->alloc, 2 * sizeof *found);
    if (found == NULL) return NS_NOMEM;
    ns_status status = choose_map(log, found, page_limit);
    ns__alloc_release(log->alloc, found, 2 * sizeof *found);
    return status;
}
