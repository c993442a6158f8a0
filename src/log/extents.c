/* extents.c: the list of extents: finding and reading bytes of the log, preparing space ahead of
 * need, and dropping what is no longer needed.
 *
 * Preparing: pages are taken from the space, zero-filled with synchronous writes, entered in both
 * maps, and only then shown in the list. An extent that goes on where the last one ends, in the
 * file and in the log, under the same epoch, makes that one longer; so a log that grows undisturbed
 * stays one entry.
 *
 * Trimming: the extents leave both maps, then the list, and only then their pages go back to the
 * space. A reader that had looked an extent up before may read what the pages were reused for; so
 * whoever reads checks what he read, and on failure looks whether the offset is still there.
 *
 * Invariant: in an extent that another one follows, or that was prepared whole, log_end is a whole
 * number of pages behind log_start, unless it was cut by a recovery (settle.c); nothing is appended
 * to a cut extent. */
#include "log/log_internal.h"

#include "base/assert.h"
#include "base/marks.h"

#define ZERO_CHUNK_BYTES ((size_t)1 << 20)

/* ---- the list ---- */

ns_status ns__log_list_copy(struct ns__log *log, size_t extra, struct ns__log_list *list_out)
{
    memset(list_out, 0, sizeof *list_out);
    size_t capacity = log->list.count + extra;
    list_out->extents = ns__alloc(log->alloc, capacity * sizeof *list_out->extents);
    if (list_out->extents == NULL) return NS_NOMEM;
    list_out->capacity = capacity;
    list_out->count = log->list.count;
    if (list_out->count > 0) {
        memcpy(list_out->extents, log->list.extents, list_out->count * sizeof *list_out->extents);
    }
    return NS_OK;
}

void ns__log_list_free(struct ns__log *log, struct ns__log_list *list)
{
    ns__alloc_release(log->alloc, list->extents, list->capacity * sizeof *list->extents);
    memset(list, 0, sizeof *list);
}

bool ns__log_extent_at(struct ns__log *log, uint64_t offset, struct ns__extent *extent_out)
{
    memset(extent_out, 0, sizeof *extent_out);
    (void)pthread_mutex_lock(&log->list_lock);
    const struct ns__log_list *list = &log->list;
    size_t low = 0, high = list->count; /* the first extent that ends above offset */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->extents[middle].log_end <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_found = low < list->count && list->extents[low].log_start <= offset;
    if (is_found) *extent_out = list->extents[low];
    (void)pthread_mutex_unlock(&log->list_lock);
    return is_found;
}

uint64_t ns__log_prepared_end(struct ns__log *log)
{
    (void)pthread_mutex_lock(&log->list_lock);
    uint64_t end = log->list.extents[log->list.count - 1].log_end;
    (void)pthread_mutex_unlock(&log->list_lock);
    return end;
}

ns_status ns__log_read(struct ns__log *log, uint64_t offset, void *out, size_t size)
{
    uint8_t *to = out;
    while (size > 0) {
        struct ns__extent extent;
        if (!ns__log_extent_at(log, offset, &extent)) {
            return ns__error(NS_GONE, "log offset %llu: not in the log",
                             (unsigned long long)offset);
        }
        uint64_t here = extent.log_end - offset;
        size_t part = here < size ? (size_t)here : size;
        ns_status status =
            ns__file_read(log->file, ns__log_position(log, &extent, offset), to, part);
        if (status != NS_OK) {
            ns__error_prefix("log offset %llu", (unsigned long long)offset);
            return status;
        }
        to += part;
        offset += part;
        size -= part;
    }
    return NS_OK;
}

/* ---- preparing ---- */

static ns_status zero_pages(struct ns__log *log, uint64_t page, uint64_t pages)
{
    uint64_t offset = page * log->file->page_size;
    uint64_t left = pages * log->file->page_size;
    size_t chunk = left < ZERO_CHUNK_BYTES ? (size_t)left : ZERO_CHUNK_BYTES;
    uint8_t *zeros = ns__alloc_zeroed(log->alloc, chunk);
    if (zeros == NULL) return NS_NOMEM;
    ns_status status = NS_OK;
    while (left > 0 && status == NS_OK) {
        size_t part = left < chunk ? (size_t)left : chunk;
        status = ns__file_write_sync(log->file, offset, zeros, part);
        offset += part;
        left -= part;
    }
    ns__alloc_release(log->alloc, zeros, chunk);
    return status;
}

/* Asks for less and less while there is no space. */
static ns_status take_run(struct ns__log *log, uint64_t want, uint64_t least, bool use_reserve,
                          uint64_t *page_out, uint64_t *pages_out)
{
    *page_out = 0;
    *pages_out = 0;
    if (least > UINT32_MAX) return ns__error(NS_FULL, "log: an extent of over 2^32 pages");
    uint64_t pages = want > least ? want : least;
    for (;;) {
        ns_status status = ns__space_take(log->space, pages, false, page_out);
        if (status == NS_FULL && pages == least && use_reserve) {
            status = ns__space_take(log->space, pages, true, page_out);
        }
        if (status == NS_OK) *pages_out = pages;
        if (status != NS_FULL || pages == least) return status;
        pages = pages / 2 > least ? pages / 2 : least;
    }
}

ns_status ns__log_take_zeroed(struct ns__log *log, uint64_t want, uint64_t least, bool use_reserve,
                              uint64_t *page_out, uint64_t *pages_out)
{
    NS_TRY(take_run(log, want, least, use_reserve, page_out, pages_out));
    ns_status status = zero_pages(log, *page_out, *pages_out);
    if (status == NS_OK) return NS_OK;
    ns__space_give(log->space, *page_out, *pages_out);
    *page_out = 0;
    *pages_out = 0;
    return status;
}

/* The list has room for one more. */
static void list_add(struct ns__log *log, struct ns__log_list *list, uint64_t page, uint32_t pages)
{
    uint32_t page_size = log->file->page_size;
    struct ns__extent *last = &list->extents[list->count - 1];
    uint32_t epoch = (uint32_t)ns__atomic_load(&log->epoch);
    uint64_t bytes = (uint64_t)pages * page_size;
    bool is_whole = last->log_end - last->log_start == (uint64_t)last->pages * page_size;
    if (is_whole && last->epoch == epoch && last->page + last->pages == page &&
        last->pages <= UINT32_MAX - pages) {
        last->pages += pages;
        last->log_end += bytes;
        return;
    }
    struct ns__extent *extent = &list->extents[list->count++];
    extent->log_start = last->log_end;
    extent->log_end = last->log_end + bytes;
    extent->page = page;
    extent->pages = pages;
    extent->epoch = epoch;
}

/* Prepares one extent of at least so many bytes; map_lock is held. */
static ns_status add_extent(struct ns__log *log, uint64_t least_bytes, bool use_reserve)
{
    uint64_t least = ns__pages_of(least_bytes, log->file->page_size);
    if (least > UINT32_MAX) return ns__error(NS_FULL, "log: an envelope too large for an extent");
    struct ns__log_list list;
    NS_TRY(ns__log_list_copy(log, 1, &list));
    uint64_t page, pages;
    ns_status status =
        ns__log_take_zeroed(log, log->extent_pages, least, use_reserve, &page, &pages);
    if (status == NS_OK) {
        list_add(log, &list, page, (uint32_t)pages);
        struct ns__log_change change = {.list = &list,
                                        .epoch = (uint32_t)ns__atomic_load(&log->epoch),
                                        .is_in_use = ns__atomic_load(&log->is_in_use) != 0,
                                        .watermark = ns__atomic_load(&log->durable),
                                        .use_reserve = use_reserve};
        status = ns__log_map_publish(log, &change);
        if (status != NS_OK && !change.was_named) ns__space_give(log->space, page, pages);
    }
    ns__log_list_free(log, &list);
    return status;
}

static ns_status extend_locked(struct ns__log *log, uint64_t bytes, bool use_reserve)
{
    for (;;) {
        NS_TRY(ns__log_check_writable(log));
        uint64_t prepared = ns__log_prepared_end(log);
        uint64_t end = ns__atomic_load(&log->end);
        if (bytes >= NS__LOG_OFFSET_MAX / 2 || end >= NS__LOG_OFFSET_MAX / 2) {
            return ns__error(NS_FULL, "log: offsets used up");
        }
        if (prepared - end >= bytes) return NS_OK;
        NS_TRY(add_extent(log, bytes - (prepared - end), use_reserve));
    }
}

ns_status ns__log_extend(struct ns__log *log, uint64_t bytes, bool use_reserve)
{
    (void)pthread_mutex_lock(&log->map_lock);
    ns_status status = extend_locked(log, bytes, use_reserve);
    (void)pthread_mutex_unlock(&log->map_lock);
    if (status != NS_OK) ns__error_prefix("prepare log");
    return status;
}

ns_status ns__log_prepare(struct ns__log *log, uint64_t bytes)
{
    return ns__log_extend(log, bytes, false);
}

/* ---- trimming ---- */

/* Whole units of the extent size that lie below offset, but never all of the extent. */
static uint32_t pages_below(const struct ns__log *log, const struct ns__extent *extent,
                            uint64_t offset)
{
    if (offset <= extent->log_start) return 0;
    uint64_t pages = (offset - extent->log_start) / log->file->page_size;
    pages -= pages % log->extent_pages;
    if (pages >= extent->pages) return 0;
    return extent->log_start + pages * log->file->page_size < extent->log_end ? (uint32_t)pages : 0;
}

/* Takes the extents below offset out of list; returns how many are gone whole, and in *cut_out how
 * many pages at the front of the next one are. */
static size_t list_trim(const struct ns__log *log, struct ns__log_list *list, uint64_t offset,
                        uint32_t *cut_out)
{
    size_t gone = 0;
    while (gone + 1 < list->count && list->extents[gone].log_end <= offset) {
        gone++;
    }
    list->count -= gone;
    memmove(list->extents, list->extents + gone, list->count * sizeof *list->extents);
    struct ns__extent *first = &list->extents[0];
    uint32_t cut = pages_below(log, first, offset);
    first->log_start += (uint64_t)cut * log->file->page_size;
    first->page += cut;
    first->pages -= cut;
    *cut_out = cut;
    return gone;
}

static ns_status trim_locked(struct ns__log *log, uint64_t offset)
{
    NS_TRY(ns__log_check_writable(log));
    uint64_t end = ns__atomic_load(&log->end);
    if (offset > end) offset = end;
    struct ns__log_list list;
    NS_TRY(ns__log_list_copy(log, 0, &list));
    uint32_t cut;
    size_t gone = list_trim(log, &list, offset, &cut);
    ns_status status = NS_OK;
    if (gone > 0 || cut > 0) {
        struct ns__log_change change = {.list = &list,
                                        .epoch = (uint32_t)ns__atomic_load(&log->epoch),
                                        .is_in_use = ns__atomic_load(&log->is_in_use) != 0,
                                        .watermark = ns__atomic_load(&log->durable),
                                        .use_reserve = true};
        status = ns__log_map_publish(log, &change);
        if (status == NS_OK) { /* list is the old one now */
            NS__MARK(extent_recycle);
            for (size_t i = 0; i < gone; i++) {
                ns__space_give(log->space, list.extents[i].page, list.extents[i].pages);
            }
            if (cut > 0) ns__space_give(log->space, list.extents[gone].page, cut);
        }
    }
    ns__log_list_free(log, &list);
    return status;
}

ns_status ns__log_trim(struct ns__log *log, uint64_t offset)
{
    (void)pthread_mutex_lock(&log->map_lock);
    ns_status status = trim_locked(log, offset);
    (void)pthread_mutex_unlock(&log->map_lock);
    if (status != NS_OK) ns__error_prefix("trim log");
    return status;
}
