/* settle.c: making the end that a recovery found final, before anything of it is shown.
 *
 * Behind w, the highest watermark, it is not known what is durable: the system may still hold bytes
 * that the medium has not got, and beyond the end x there may be the remains of envelopes that were
 * never finished. So [w, x), even when it is empty, is written once more, to a fresh extent.
 *
 * The order of steps.
 *  1. The newest map is written once more in its place; then, if they differ, the older one is made
 *     like it: from here on both are durable and no map names pages that the space takes for free.
 *  2. A fresh run of pages is taken and zeroed durably.
 *  3. The envelopes of [w, x) are written there, at the same log offsets, with the same payloads,
 *     under the next epoch; the file is synced.
 *     On a disk that has no room for them (and only with powersafe overwrite) they are instead
 *     written once more where they are, and w becomes x.
 *  4. Both maps in turn: the extent of w ends at w, the fresh one begins there, x is the watermark.
 *  5. Extents, and whole pages of the cut extent, past w go back to the space.
 *
 * Invariants.
 *  1. Until a map of step 4 is durable the old maps rule, and what they name is unchanged: a power
 *     cut repeats the whole. From then on a recovery finds x, both as end and as watermark.
 *  2. Nothing of the old extents past w is in any extent any more, so an old tail cannot revive. */
#include "log/log_internal.h"

#include "base/assert.h"
#include "base/marks.h"

#define MOVE_BYTES ((size_t)1 << 20)

/* ---- moving envelopes ---- */

/* Collects what is written to adjoining positions. */
struct mover {
    struct ns__log *log;
    struct ns__extent fresh;
    uint64_t epoch;
    uint64_t watermark;
    uint64_t position; /* in the file, of bytes[0] */
    size_t used, capacity;
    uint8_t *bytes;
};

static ns_status mover_flush(struct mover *mover)
{
    if (mover->used == 0) return NS_OK;
    NS_TRY(ns__file_write(mover->log->file, mover->position, mover->bytes, mover->used));
    mover->used = 0;
    return NS_OK;
}

static ns_status mover_put(struct mover *mover, uint64_t offset, const void *data, size_t size)
{
    uint64_t position = ns__log_position(mover->log, &mover->fresh, offset);
    if (position != mover->position + mover->used || size > mover->capacity - mover->used) {
        NS_TRY(mover_flush(mover));
        mover->position = position;
    }
    if (size > mover->capacity) return ns__file_write(mover->log->file, position, data, size);
    if (size > 0) memcpy(mover->bytes + mover->used, data, size);
    mover->used += size;
    return NS_OK;
}

static ns_status move_envelope(struct mover *mover, uint64_t offset,
                               const struct ns__log_found *found)
{
    struct ns__log *log = mover->log;
    struct ns__envelope envelope = {.epoch = (uint32_t)mover->epoch,
                                    .payload_bytes = found->envelope.payload_bytes,
                                    .watermark = mover->watermark};
    struct ns__hash_piece payload = {found->payload, (size_t)envelope.payload_bytes};
    uint64_t end = offset + NS__ENVELOPE_BYTES + envelope.payload_bytes;
    if (ns__log_next(log, &mover->fresh, end) != found->next) {
        return ns__corrupt(UINT64_MAX, "log offset %llu: padding of the envelope",
                           (unsigned long long)offset);
    }
    uint8_t header[NS__ENVELOPE_BYTES];
    ns__envelope_encode(log->file->uuid, offset, &envelope, &payload, 1, header);
    NS_TRY(mover_put(mover, offset, header, sizeof header));
    return mover_put(mover, offset + sizeof header, payload.data, payload.size);
}

static ns_status move_all(struct mover *mover, struct ns__log_window *window, uint64_t from,
                          uint64_t end)
{
    for (uint64_t offset = from; offset < end;) {
        struct ns__log_found found;
        NS_TRY(ns__log_window_find(window, offset, end, &found));
        if (found.kind != NS__LOG_FOUND_VALID) {
            return ns__corrupt(UINT64_MAX, "log offset %llu: no envelope behind the watermark",
                               (unsigned long long)offset);
        }
        NS_TRY(move_envelope(mover, offset, &found));
        offset = found.next;
    }
    NS_TRY(mover_flush(mover));
    return ns__file_sync(mover->log->file);
}

/* Writes the envelopes of [w, x) to the fresh extent, durably. */
static ns_status move_tail(struct ns__log *log, const struct ns__log_tail *tail,
                           const struct ns__extent *fresh)
{
    if (tail->watermark == tail->end) return NS_OK;
    struct mover mover = {.log = log,
                          .fresh = *fresh,
                          .epoch = fresh->epoch,
                          .watermark = tail->watermark,
                          .capacity = MOVE_BYTES};
    mover.bytes = ns__alloc(log->alloc, mover.capacity);
    if (mover.bytes == NULL) return NS_NOMEM;
    struct ns__log_window window;
    ns__log_window_init(&window, log);
    ns_status status = move_all(&mover, &window, tail->watermark, tail->end);
    ns__log_window_deinit(&window);
    ns__alloc_release(log->alloc, mover.bytes, mover.capacity);
    return status;
}

/* ---- the list ---- */

static uint64_t pages_kept(const struct ns__log *log, const struct ns__extent *extent,
                           uint64_t watermark)
{
    if (extent->log_end <= watermark) return extent->pages;
    if (extent->log_start >= watermark) return 0;
    return ns__pages_of(watermark - extent->log_start, log->file->page_size);
}

/* The old extents end at the watermark; the fresh one follows. */
static void list_settle(const struct ns__log *log, struct ns__log_list *list,
                        const struct ns__extent *fresh)
{
    uint64_t watermark = fresh->log_start;
    while (list->count > 0 && list->extents[list->count - 1].log_start >= watermark) {
        list->count--;
    }
    if (list->count > 0) {
        struct ns__extent *last = &list->extents[list->count - 1];
        last->pages = (uint32_t)pages_kept(log, last, watermark);
        if (last->log_end > watermark) last->log_end = watermark;
    }
    list->extents[list->count++] = *fresh;
}

static void give_tail_pages(struct ns__log *log, const struct ns__log_list *old, uint64_t watermark)
{
    for (size_t i = 0; i < old->count; i++) {
        const struct ns__extent *extent = &old->extents[i];
        uint64_t kept = pages_kept(log, extent, watermark);
        if (kept < extent->pages) {
            ns__space_give(log->space, extent->page + kept, extent->pages - kept);
        }
    }
}

/* Steps 4 and 5; the fresh extent holds [w, x). */
static ns_status enter_fresh(struct ns__log *log, const struct ns__log_tail *tail,
                             const struct ns__extent *fresh, bool *was_named)
{
    struct ns__log_list list;
    NS_TRY(ns__log_list_copy(log, 1, &list));
    list_settle(log, &list, fresh);
    struct ns__log_change change = {.list = &list,
                                    .epoch = fresh->epoch,
                                    .is_in_use = true,
                                    .watermark = tail->end,
                                    .use_reserve = true};
    ns_status status = ns__log_map_publish(log, &change);
    *was_named = change.was_named;
    if (status == NS_OK) give_tail_pages(log, &list, tail->watermark);
    ns__log_list_free(log, &list);
    return status;
}

/* ---- settling ---- */

static ns_status take_fresh(struct ns__log *log, const struct ns__log_tail *tail,
                            struct ns__extent *fresh_out)
{
    memset(fresh_out, 0, sizeof *fresh_out);
    uint64_t epoch = ns__atomic_load(&log->epoch);
    if (epoch >= UINT32_MAX) return ns__error(NS_FULL, "log: epochs used up");
    uint32_t page_size = log->file->page_size;
    uint64_t least = ns__pages_of(tail->end - tail->watermark, page_size) + 1;
    uint64_t pages;
    NS_TRY(
        ns__log_take_zeroed(log, least + log->extent_pages, least, true, &fresh_out->page, &pages));
    fresh_out->log_start = tail->watermark;
    fresh_out->log_end = tail->watermark + pages * page_size;
    fresh_out->pages = (uint32_t)pages;
    fresh_out->epoch = (uint32_t)epoch + 1;
    return NS_OK;
}

/* A disk without room for a copy: the bytes of [w, x) are written once more where they are,
 * unchanged (DSK-3), so that x is durable too, and only the end needs a fresh extent. */
static ns_status rewrite_in_place(struct ns__log *log, const struct ns__log_tail *tail)
{
    uint8_t *bytes = ns__alloc(log->alloc, MOVE_BYTES);
    if (bytes == NULL) return NS_NOMEM;
    ns_status status = NS_OK;
    for (uint64_t offset = tail->watermark; offset < tail->end && status == NS_OK;) {
        struct ns__extent extent;
        if (!ns__log_extent_at(log, offset, &extent)) {
            status = ns__error(NS_INTERNAL, "log: no extent at log offset %llu",
                               (unsigned long long)offset);
            break;
        }
        uint64_t end = extent.log_end < tail->end ? extent.log_end : tail->end;
        size_t size = end - offset < MOVE_BYTES ? (size_t)(end - offset) : MOVE_BYTES;
        status = ns__log_read(log, offset, bytes, size);
        if (status == NS_OK) {
            status =
                ns__file_write_sync(log->file, ns__log_position(log, &extent, offset), bytes, size);
        }
        offset += size;
    }
    ns__alloc_release(log->alloc, bytes, MOVE_BYTES);
    return status;
}

static ns_status settle_unclean(struct ns__log *log, const struct ns__log_tail *tail)
{
    NS__MARK(recovery_settle);
    struct ns__extent fresh;
    struct ns__log_tail rest = *tail;
    ns_status status = take_fresh(log, &rest, &fresh);
    bool may_sync = ns__atomic_load(&log->file->sync_failed) == 0;
    if (status == NS_FULL && may_sync && !log->is_padded && rest.watermark < rest.end) {
        NS_TRY(rewrite_in_place(log, tail));
        rest.watermark = rest.end;
        status = take_fresh(log, &rest, &fresh);
    }
    if (status != NS_OK) return status;
    bool was_named = false;
    status = move_tail(log, &rest, &fresh);
    if (status == NS_OK) status = enter_fresh(log, &rest, &fresh, &was_named);
    if (status != NS_OK && !was_named) ns__space_give(log->space, fresh.page, fresh.pages);
    return status;
}

static ns_status settle(struct ns__log *log, const struct ns__log_tail *tail)
{
    if (log->read_only) return ns__error(NS_READONLY, "log: the file is open read-only");
    bool is_tail = tail->watermark <= tail->end && tail->end <= ns__log_prepared_end(log) &&
                   tail->watermark >= ns__log_start(log);
    NS_ASSERT(is_tail && ns__atomic_load(&log->is_settled) == 0);
    if (!is_tail || ns__atomic_load(&log->is_settled) != 0) {
        return ns__error(NS_INTERNAL, "log: settled twice, or with a tail of another log");
    }
    NS_TRY(ns__log_map_confirm(log));
    if (tail->is_clean) {
        NS__MARK(clean_open);
    } else {
        NS_TRY(settle_unclean(log, tail));
    }
    return ns__log_start_at(log, tail->end);
}

ns_status ns__log_settle(struct ns__log *log, const struct ns__log_tail *tail)
{
    (void)pthread_mutex_lock(&log->map_lock);
    ns_status status = settle(log, tail);
    (void)pthread_mutex_unlock(&log->map_lock);
    if (status != NS_OK) ns__error_prefix("settle log");
    return status;
}
