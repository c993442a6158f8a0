/* log.c: the log as an object: making, loading and freeing it, and its figures.
 *
 * The log floor. The log is a stream of bytes whose offsets start at 0 and never repeat. Its
 * bytes lie in extents, named by two log maps; records travel in envelopes. The files:
 *   map.c      the two log maps and the continuation pages: reading, and changing them safely
 *   extents.c  the list of extents: finding, reading, preparing and trimming
 *   append.c   one envelope at the end
 *   window.c   looking at envelopes anywhere
 *   recover.c  where the log ends after a crash
 *   settle.c   making that end final
 *   reader.c   records in order
 *
 * Invariants.
 *  1. Both maps name an extent before its first byte is used, and neither does when its pages are
 *     given back. So either map, if it is valid, may be believed.
 *  2. From the end to the prepared end everything on the medium is zero, but for what an append
 *     that was never acknowledged left there.
 *  3. durable <= end. Everything below durable is on the medium; every watermark ever written was
 *     durable before it was written, and is an offset where an envelope starts or will start.
 *  4. While a map says "not in use", the log ends at that map's watermark.
 *  5. Envelopes carry the epoch of the extent they start in; an extent's pages are zeroed and
 *     synced before the extent gets its epoch; so what valid envelopes an extent shows, it was
 *     given as an extent.
 *  6. After a failed append nothing is appended, and the log is never marked clean. */
#include "log/log_internal.h"

#include "base/assert.h"
#include "base/marks.h"

static void set_extent_pages(struct ns__log *log, uint64_t extent_bytes)
{
    uint64_t pages = ns__pages_of(extent_bytes, log->file->page_size);
    if (pages == 0) pages = 1;
    log->extent_pages = pages < UINT32_MAX ? pages : UINT32_MAX;
}

static ns_status log_new(struct ns__file *file, struct ns__space *space, struct ns__alloc *alloc,
                         const struct ns__log_options *options, struct ns__log **log_out)
{
    *log_out = NULL;
    struct ns__log *log = ns__alloc_zeroed(alloc, sizeof *log);
    if (log == NULL) return NS_NOMEM;
    log->file = file;
    log->space = space;
    log->alloc = alloc;
    log->is_padded = options->is_padded;
    log->read_only = options->read_only;
    set_extent_pages(log, options->extent_bytes);
    if (pthread_mutex_init(&log->map_lock, NULL) != 0) {
        ns__alloc_release(alloc, log, sizeof *log);
        return ns__error(NS_NOMEM, "log: no mutex");
    }
    if (pthread_mutex_init(&log->list_lock, NULL) != 0) {
        (void)pthread_mutex_destroy(&log->map_lock);
        ns__alloc_release(alloc, log, sizeof *log);
        return ns__error(NS_NOMEM, "log: no mutex");
    }
    *log_out = log;
    return NS_OK;
}

void ns__log_free(struct ns__log *log)
{
    if (log == NULL) return;
    ns__log_list_free(log, &log->list);
    ns__alloc_release(log->alloc, log->chain.pages,
                      log->chain.page_capacity * sizeof *log->chain.pages);
    ns__alloc_release(log->alloc, log->buffer, log->buffer_capacity);
    (void)pthread_mutex_destroy(&log->list_lock);
    (void)pthread_mutex_destroy(&log->map_lock);
    ns__alloc_release(log->alloc, log, sizeof *log);
}

static ns_status create_first_extent(struct ns__log *log)
{
    struct ns__log_list list;
    NS_TRY(ns__log_list_copy(log, 1, &list));
    struct ns__extent *first = &list.extents[0];
    uint64_t pages;
    ns_status status = ns__log_take_zeroed(log, log->extent_pages, 1, false, &first->page, &pages);
    if (status == NS_OK) {
        first->log_start = 0;
        first->log_end = pages * log->file->page_size;
        first->pages = (uint32_t)pages;
        first->epoch = 1;
        list.count = 1;
        struct ns__log_change change = {.list = &list, .epoch = 1, .is_in_use = true};
        status = ns__log_map_publish(log, &change);
        if (status != NS_OK && !change.was_named) {
            ns__space_give(log->space, first->page, pages);
        }
    }
    ns__log_list_free(log, &list);
    return status;
}

ns_status ns__log_create(struct ns__file *file, struct ns__space *space, struct ns__alloc *alloc,
                         const struct ns__log_options *options, struct ns__log **log_out)
{
    *log_out = NULL;
    struct ns__log *log;
    NS_TRY(log_new(file, space, alloc, options, &log));
    (void)pthread_mutex_lock(&log->map_lock);
    ns_status status = create_first_extent(log);
    (void)pthread_mutex_unlock(&log->map_lock);
    if (status != NS_OK) {
        ns__log_free(log);
        ns__error_prefix("create log");
        return status;
    }
    ns__atomic_store(&log->is_settled, 1);
    *log_out = log;
    return NS_OK;
}

static ns_status claim_pages(struct ns__log *log)
{
    if (log->space == NULL) return NS_OK;
    for (size_t i = 0; i < log->list.count; i++) {
        const struct ns__extent *extent = &log->list.extents[i];
        NS_TRY(ns__space_claim_log(log->space, extent->page, extent->pages));
    }
    for (size_t i = 0; i < log->chain.page_count; i++) {
        NS_TRY(ns__space_claim_log(log->space, log->chain.pages[i], 1));
    }
    return NS_OK;
}

ns_status ns__log_load(struct ns__file *file, struct ns__space *space, struct ns__alloc *alloc,
                       const struct ns__log_options *options, uint64_t page_limit,
                       struct ns__log **log_out)
{
    *log_out = NULL;
    struct ns__log *log;
    NS_TRY(log_new(file, space, alloc, options, &log));
    ns_status status = ns__log_map_load(log, page_limit);
    if (status == NS_OK) status = claim_pages(log);
    if (status != NS_OK) {
        ns__log_free(log);
        ns__error_prefix("load log");
        return status;
    }
    ns__atomic_store(&log->end, log->map_watermark);
    ns__atomic_store(&log->durable, log->map_watermark);
    *log_out = log;
    return NS_OK;
}

ns_status ns__log_check_writable(struct ns__log *log)
{
    if (log->read_only) return ns__error(NS_READONLY, "log: the file is open read-only");
    if (ns__atomic_load(&log->failed) != 0) {
        return ns__error(NS_POISONED, "log: refused after an append that failed");
    }
    if (ns__atomic_load(&log->is_settled) == 0) {
        return ns__error(NS_INTERNAL, "log: used before its end was settled");
    }
    return NS_OK;
}

ns_status ns__log_start_at(struct ns__log *log, uint64_t end)
{
    struct ns__extent extent;
    log->block_used = 0;
    if (ns__log_extent_at(log, end, &extent)) {
        uint64_t position = ns__log_position(log, &extent, end);
        size_t used = (size_t)(position % NS__BLOCK_BYTES);
        if (used > 0) NS_TRY(ns__file_read(log->file, position - used, log->block, used));
        log->block_used = used;
    } else {
        NS_ASSERT(end == ns__log_prepared_end(log));
    }
    ns__atomic_store(&log->end, end);
    ns__atomic_store(&log->durable, end);
    ns__atomic_store(&log->is_settled, 1);
    return NS_OK;
}

/* ---- figures ---- */

void ns__log_set_durable(struct ns__log *log, uint64_t end)
{
    NS_ASSERT(end <= ns__atomic_load(&log->end));
    uint64_t durable = ns__atomic_load(&log->durable);
    while (durable < end && !ns__atomic_swap_if(&log->durable, &durable, end)) {
    }
}

uint64_t ns__log_durable(const struct ns__log *log)
{
    return ns__atomic_load(&log->durable);
}

uint64_t ns__log_end(const struct ns__log *log)
{
    return ns__atomic_load(&log->end);
}

uint64_t ns__log_start(struct ns__log *log)
{
    (void)pthread_mutex_lock(&log->list_lock);
    uint64_t start = log->list.extents[0].log_start;
    (void)pthread_mutex_unlock(&log->list_lock);
    return start;
}

uint64_t ns__log_pages(struct ns__log *log)
{
    (void)pthread_mutex_lock(&log->list_lock);
    uint64_t pages = log->chain.page_count;
    for (size_t i = 0; i < log->list.count; i++) {
        pages += log->list.extents[i].pages;
    }
    (void)pthread_mutex_unlock(&log->list_lock);
    return pages;
}

uint64_t ns__log_room(struct ns__log *log)
{
    uint64_t end = ns__atomic_load(&log->end);
    return ns__log_prepared_end(log) - end;
}

ns_status ns__log_visit_pages(struct ns__log *log,
                              ns_status (*visit)(void *ctx, uint64_t page, uint64_t pages),
                              void *ctx)
{
    (void)pthread_mutex_lock(&log->map_lock);
    ns_status status = NS_OK;
    for (size_t i = 0; i < log->list.count && status == NS_OK; i++) {
        status = visit(ctx, log->list.extents[i].page, log->list.extents[i].pages);
    }
    for (size_t i = 0; i < log->chain.page_count && status == NS_OK; i++) {
        status = visit(ctx, log->chain.pages[i], 1);
    }
    (void)pthread_mutex_unlock(&log->map_lock);
    return status;
}

/* ---- clean close ---- */

static ns_status mark_clean(struct ns__log *log)
{
    NS_TRY(ns__log_check_writable(log));
    uint64_t end = ns__atomic_load(&log->end);
    if (ns__atomic_load(&log->durable) < end) {
        NS_TRY(ns__file_sync(log->file));
        ns__log_set_durable(log, end);
    }
    if (ns__atomic_load(&log->is_in_use) == 0) return NS_OK;
    struct ns__log_change change = {
        .epoch = (uint32_t)ns__atomic_load(&log->epoch), .is_in_use = false, .watermark = end};
    return ns__log_map_publish(log, &change);
}

ns_status ns__log_mark_clean(struct ns__log *log)
{
    (void)pthread_mutex_lock(&log->map_lock);
    ns_status status = mark_clean(log);
    (void)pthread_mutex_unlock(&log->map_lock);
    if (status != NS_OK) ns__error_prefix("close log");
    return status;
}

ns_status ns__log_map_found(const struct ns__log *log, uint32_t page)
{
    NS_ASSERT(page == NS__LOG_FIRST_MAP_PAGE || page == NS__LOG_FIRST_MAP_PAGE + 1);
    return log->map_status[page == NS__LOG_FIRST_MAP_PAGE ? 0 : 1];
}
