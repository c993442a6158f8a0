/* recover.c: where the log ends after a crash, and whether anything durable is missing.
 *
 * Two things look alike at the first bad offset x: an envelope that was never finished (a torn
 * tail, dropped silently) and a damaged one that had been durable (corruption, never cut off
 * silently). They are told apart by watermarks: a watermark above x, in a meta, in the log map or
 * in a valid envelope, was written by somebody who knew that the bytes at x were durable.
 *
 * The search behind x sees every offset at which an envelope could start, to the prepared end.
 * Zeros are skipped at memory speed. A candidate is checked only if its header is one that would
 * matter: the epoch of its extent, a size that fits, and a watermark above x but not above its own
 * offset. In a file that nobody forged there are few of these; the bytes hashed for candidates are
 * bounded, and too many of them are corruption too.
 *
 * Stated limit: damage in the very last group before a crash has nothing behind it that knows it
 * was durable, and looks like a torn tail. */
#include "log/log_internal.h"

#include "base/marks.h"

/* Candidates may cost as much as reading the rest of the log so many times. */
#define SEARCH_COST_FACTOR 16u
#define SEARCH_COST_MIN ((uint64_t)64 << 20)

static ns_status damaged(uint64_t offset, const char *what, uint64_t number)
{
    return ns__corrupt(UINT64_MAX, "log offset %llu: damaged, but %s %llu shows it was durable",
                       (unsigned long long)offset, what, (unsigned long long)number);
}

/* ---- the walk ---- */

/* From `from` to the first bad offset; raises *watermark to the highest one on the way. */
static ns_status walk(struct ns__log_window *window, uint64_t from, uint64_t limit,
                      uint64_t *watermark, uint64_t *end_out)
{
    uint64_t offset = from;
    for (;;) { /* every round goes on by a header at least */
        *end_out = offset;
        struct ns__log_found found;
        NS_TRY(ns__log_window_find(window, offset, limit, &found));
        if (found.kind != NS__LOG_FOUND_VALID) return NS_OK;
        uint64_t known = found.envelope.watermark;
        if (known > offset || known % 8 != 0) {
            return ns__corrupt(UINT64_MAX, "log offset %llu: watermark %llu",
                               (unsigned long long)offset, (unsigned long long)known);
        }
        if (known > *watermark) *watermark = known;
        offset = found.next;
    }
}

/* ---- the search behind the end ---- */

struct search {
    struct ns__log_window scan;      /* where offsets are tried one by one */
    struct ns__log_window candidate; /* where an envelope is looked at as a whole */
    uint64_t end;                    /* x */
    uint64_t limit;                  /* prepared end */
    uint64_t cost_left;
};

/* Could these 32 bytes begin an envelope that knows more than x? */
static bool is_candidate(struct ns__log *log, const struct search *search, const uint8_t *header,
                         uint64_t offset, uint64_t *cost_out)
{
    struct ns__envelope envelope;
    *cost_out = 0;
    if (!ns__envelope_peek(header, &envelope)) return false;
    if (envelope.watermark <= search->end || envelope.watermark > offset) return false;
    if (envelope.payload_bytes > search->limit - offset - NS__ENVELOPE_BYTES) return false;
    struct ns__extent extent;
    if (!ns__log_extent_at(log, offset, &extent) || extent.epoch != envelope.epoch) return false;
    *cost_out = NS__ENVELOPE_BYTES + envelope.payload_bytes;
    return true;
}

static ns_status try_candidate(struct search *search, const uint8_t *header, uint64_t offset)
{
    uint64_t cost;
    if (!is_candidate(search->scan.log, search, header, offset, &cost)) return NS_OK;
    if (cost > search->cost_left) {
        return ns__corrupt(UINT64_MAX, "log offset %llu: damaged, and followed by forged envelopes",
                           (unsigned long long)search->end);
    }
    search->cost_left -= cost;
    struct ns__log_found found;
    NS_TRY(ns__log_window_find(&search->candidate, offset, search->limit, &found));
    if (found.kind != NS__LOG_FOUND_VALID) return NS_OK;
    return damaged(search->end, "the envelope at log offset", offset);
}

/* Tries the offsets of one piece of the log; size >= a header. *tried_out: bytes done with. */
static ns_status search_piece(struct search *search, const uint8_t *bytes, uint64_t size,
                              uint64_t offset, uint64_t *tried_out)
{
    uint64_t at = 0;
    for (; size - at >= NS__ENVELOPE_BYTES; at += 8) {
        if (ns__load64(bytes + at + 8) == 0) continue; /* magic and epoch */
        NS_TRY(try_candidate(search, bytes + at, offset + at));
    }
    *tried_out = at;
    return NS_OK;
}

static ns_status search_behind(struct search *search)
{
    uint64_t offset = search->end + 8;
    while (offset < search->limit && search->limit - offset >= NS__ENVELOPE_BYTES) {
        const uint8_t *bytes;
        uint64_t size, tried = 0;
        NS_TRY(ns__log_window_view(&search->scan, offset, NS__ENVELOPE_BYTES, search->limit, &bytes,
                                   &size));
        NS_TRY(search_piece(search, bytes, size, offset, &tried));
        offset += tried;
    }
    return NS_OK;
}

static ns_status check_behind(struct ns__log *log, uint64_t end, uint64_t limit)
{
    if (end >= limit) return NS_OK;
    struct search search = {.end = end, .limit = limit};
    search.cost_left = (limit - end) * SEARCH_COST_FACTOR + SEARCH_COST_MIN;
    ns__log_window_init(&search.scan, log);
    ns__log_window_init(&search.candidate, log);
    ns_status status = search_behind(&search);
    ns__log_window_deinit(&search.candidate);
    ns__log_window_deinit(&search.scan);
    return status;
}

/* ---- both ---- */

static ns_status check_from(struct ns__log *log, uint64_t from, uint64_t limit)
{
    if (from % 8 == 0 && from >= ns__log_start(log) && from <= limit) return NS_OK;
    return ns__corrupt(UINT64_MAX,
                       "log offset %llu: recovery starts here, the log has %llu to %llu",
                       (unsigned long long)from, (unsigned long long)ns__log_start(log),
                       (unsigned long long)limit);
}

/* A coverage mark only: did somebody begin an envelope at the end? */
static void note_torn(struct ns__log *log, uint64_t end, uint64_t limit)
{
    uint8_t first[8];
    if (limit - end < sizeof first || ns__log_read(log, end, first, sizeof first) != NS_OK) return;
    if (ns__load64(first) != 0) NS__MARK(recovery_torn_tail);
}

ns_status ns__log_find_end(struct ns__log *log, uint64_t from, uint64_t known_durable,
                           struct ns__log_tail *tail_out)
{
    memset(tail_out, 0, sizeof *tail_out);
    uint64_t limit = ns__log_prepared_end(log);
    NS_TRY(check_from(log, from, limit));
    uint64_t watermark = known_durable > from ? known_durable : from;
    if (log->map_watermark > watermark) watermark = log->map_watermark;
    uint64_t named = watermark; /* by metas and maps */

    struct ns__log_window window;
    uint64_t end = from;
    ns__log_window_init(&window, log);
    ns_status status = walk(&window, from, limit, &watermark, &end);
    ns__log_window_deinit(&window);
    if (status != NS_OK) return status;
    if (named > end) return damaged(end, "the watermark", named);
    if (watermark % 8 != 0) {
        return ns__corrupt(UINT64_MAX, "log offset %llu: a watermark",
                           (unsigned long long)watermark);
    }

    bool is_clean = ns__atomic_load(&log->is_in_use) == 0 && end == log->map_watermark;
    if (!is_clean) {
        NS__MARK(recovery_unclean);
        note_torn(log, end, limit);
        NS_TRY(check_behind(log, end, limit));
    }
    tail_out->is_clean = is_clean;
    tail_out->watermark = watermark;
    tail_out->end = end;
    ns__atomic_store(&log->end, end);
    ns__atomic_store(&log->durable, watermark);
    return NS_OK;
}
