/* window.c: looking at envelopes anywhere in the log through a piece of it in memory.
 *
 * A window is filled up to a limit below which the log does not change any more. It is forgotten
 * when a recovery has moved envelopes under a new epoch. Sizes read from an envelope are compared
 * with the limit before anything is read or allocated for them. */
#include "log/log_internal.h"

#define WINDOW_BYTES ((uint64_t)256 << 10)

void ns__log_window_init(struct ns__log_window *window, struct ns__log *log)
{
    memset(window, 0, sizeof *window);
    window->log = log;
}

void ns__log_window_deinit(struct ns__log_window *window)
{
    if (window->log == NULL) return;
    ns__alloc_release(window->log->alloc, window->bytes, window->capacity);
    memset(window, 0, sizeof *window);
}

static ns_status grow(struct ns__log_window *window, uint64_t size)
{
    window->size = 0;
    if (size <= window->capacity) return NS_OK;
    if (size > SIZE_MAX) return ns__error(NS_NOMEM, "log: an envelope larger than memory");
    ns__alloc_release(window->log->alloc, window->bytes, window->capacity);
    window->capacity = 0;
    window->bytes = ns__alloc(window->log->alloc, (size_t)size);
    if (window->bytes == NULL) return NS_NOMEM;
    window->capacity = (size_t)size;
    return NS_OK;
}

ns_status ns__log_window_view(struct ns__log_window *window, uint64_t offset, uint64_t need,
                              uint64_t limit, const uint8_t **bytes_out, uint64_t *size_out)
{
    *bytes_out = NULL;
    *size_out = 0;
    uint64_t epoch = ns__atomic_load(&window->log->epoch);
    bool is_here = epoch == window->epoch && offset >= window->start &&
                   offset - window->start <= window->size &&
                   window->size - (offset - window->start) >= need;
    if (!is_here) {
        uint64_t size = limit - offset < WINDOW_BYTES ? limit - offset : WINDOW_BYTES;
        if (size < need) size = need;
        NS_TRY(grow(window, size));
        NS_TRY(ns__log_read(window->log, offset, window->bytes, (size_t)size));
        window->start = offset;
        window->size = size;
        window->epoch = epoch;
    }
    uint64_t skipped = offset - window->start;
    uint64_t left = window->size - skipped;
    *bytes_out = window->bytes + skipped;
    *size_out = left < limit - offset ? left : limit - offset;
    return NS_OK;
}

/* Where the envelope with this header at offset is followed by the next one; false if it would
 * reach beyond the limit or beyond the extents. */
static bool find_next(struct ns__log *log, uint64_t offset, uint64_t payload_bytes, uint64_t limit,
                      uint64_t *next_out)
{
    *next_out = 0;
    if (payload_bytes > limit - offset - NS__ENVELOPE_BYTES) return false;
    uint64_t end = offset + NS__ENVELOPE_BYTES + payload_bytes;
    struct ns__extent last;
    if (!ns__log_extent_at(log, end - 1, &last)) return false;
    *next_out = ns__log_next(log, &last, end);
    return *next_out <= limit;
}

ns_status ns__log_window_find(struct ns__log_window *window, uint64_t offset, uint64_t limit,
                              struct ns__log_found *found_out)
{
    struct ns__log *log = window->log;
    memset(found_out, 0, sizeof *found_out);
    found_out->kind = NS__LOG_FOUND_BEYOND;
    if (limit < offset || limit - offset < NS__ENVELOPE_BYTES) return NS_OK;
    const uint8_t *header;
    uint64_t size;
    NS_TRY(ns__log_window_view(window, offset, NS__ENVELOPE_BYTES, limit, &header, &size));
    struct ns__extent extent;
    struct ns__envelope *envelope = &found_out->envelope;
    if (!ns__envelope_peek(header, envelope) || !ns__log_extent_at(log, offset, &extent) ||
        envelope->epoch != extent.epoch) {
        found_out->kind = NS__LOG_FOUND_BAD;
        return NS_OK;
    }
    if (!find_next(log, offset, envelope->payload_bytes, limit, &found_out->next)) return NS_OK;
    uint64_t whole = NS__ENVELOPE_BYTES + envelope->payload_bytes;
    NS_TRY(ns__log_window_view(window, offset, whole, limit, &header, &size));
    struct ns__hash_piece payload = {header + NS__ENVELOPE_BYTES, (size_t)envelope->payload_bytes};
    bool is_valid = ns__envelope_check(log->file->uuid, offset, header, &payload, 1);
    found_out->kind = is_valid ? NS__LOG_FOUND_VALID : NS__LOG_FOUND_BAD;
    found_out->payload = payload.data;
    return NS_OK;
}
