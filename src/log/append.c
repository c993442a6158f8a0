/* append.c: one envelope at the end of the log.
 *
 * Synchronous writes are whole 4096-byte blocks of the file: the block that holds the end is
 * written again with the bytes before the end as they were, kept in log->block, and with zeros
 * behind the envelope (FMT-23). The envelope is laid out in log->buffer as
 *
 *     [ bytes before the end in its block | header | payload | zeros, one block ]
 *
 * from where each extent that it touches gets one write.
 *
 * The order of steps: space; both maps in use, if they say clean; the parts, in order; the sync of
 * the file, if there is one; then end, then durable.
 *
 * How an envelope becomes durable. If all before it is durable, its own synchronous writes do that.
 * If not (groups before it were handed to the system only), it is written plainly too and one sync
 * of the whole file makes both durable: one flush instead of two, and nothing depends on their
 * order, since recovery stops at the first hole and nothing is acknowledged before the sync. */
#include "log/log_internal.h"

#include "base/assert.h"
#include "base/marks.h"

/* A buffer that a large envelope left behind is given back. */
#define BUFFER_KEPT_BYTES ((size_t)8 << 20)

/* ---- space ---- */

ns_status ns__log_reserve(struct ns__log *log, uint64_t payload_bytes, bool use_reserve)
{
    if (payload_bytes >= NS__LOG_OFFSET_MAX / 2) return ns__error(NS_FULL, "log: offsets used up");
    uint64_t bytes = NS__ENVELOPE_BYTES + payload_bytes;
    if (ns__log_room(log) >= bytes) return ns__log_check_writable(log);
    return ns__log_extend(log, bytes, use_reserve);
}

static void buffer_release(struct ns__log *log)
{
    ns__alloc_release(log->alloc, log->buffer, log->buffer_capacity);
    log->buffer = NULL;
    log->buffer_capacity = 0;
}

static ns_status buffer_reserve(struct ns__log *log, size_t size)
{
    if (size <= log->buffer_capacity) return NS_OK;
    size_t capacity = 2 * log->buffer_capacity;
    if (capacity < size || size > BUFFER_KEPT_BYTES) capacity = size;
    if (capacity < 2 * NS__BLOCK_BYTES) capacity = 2 * NS__BLOCK_BYTES;
    buffer_release(log);
    log->buffer = ns__alloc(log->alloc, capacity);
    if (log->buffer == NULL) return NS_NOMEM;
    log->buffer_capacity = capacity;
    return NS_OK;
}

/* ---- the envelope ---- */

static ns_status sum_pieces(const struct ns__hash_piece *pieces, size_t count, uint64_t *bytes_out)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(bytes, pieces[i].size, &bytes)) bytes = UINT64_MAX;
    }
    *bytes_out = bytes;
    if (bytes >= SIZE_MAX / 4 || bytes >= NS__LOG_OFFSET_MAX / 2) {
        return ns__error(NS_NOMEM, "log: an envelope larger than memory");
    }
    NS_ASSERT(bytes % 8 == 0);
    if (bytes % 8 != 0) return ns__error(NS_INTERNAL, "log: records are not padded to 8 bytes");
    return NS_OK;
}

/* Lays the envelope out in the buffer. */
static ns_status lay_out(struct ns__log *log, uint64_t end, const struct ns__hash_piece *pieces,
                         size_t count, uint64_t payload_bytes)
{
    size_t header_at = log->block_used;
    size_t payload_at = header_at + NS__ENVELOPE_BYTES;
    size_t payload_end = payload_at + (size_t)payload_bytes;
    NS_TRY(buffer_reserve(log, payload_end + NS__BLOCK_BYTES));
    memcpy(log->buffer, log->block, log->block_used);
    size_t at = payload_at;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > 0) memcpy(log->buffer + at, pieces[i].data, pieces[i].size);
        at += pieces[i].size;
    }
    memset(log->buffer + payload_end, 0, NS__BLOCK_BYTES);
    struct ns__extent extent;
    if (!ns__log_extent_at(log, end, &extent)) {
        return ns__error(NS_INTERNAL, "log: no extent at the end");
    }
    struct ns__envelope envelope = {.epoch = extent.epoch,
                                    .payload_bytes = payload_bytes,
                                    .watermark = ns__atomic_load(&log->durable)};
    struct ns__hash_piece payload = {log->buffer + payload_at, (size_t)payload_bytes};
    ns__envelope_encode(log->file->uuid, end, &envelope, &payload, 1, log->buffer + header_at);
    return NS_OK;
}

/* ---- writing ---- */

/* The bytes of [offset, end) that lie in one extent; from: where the first of them is in the
 * buffer. */
static ns_status write_part(struct ns__log *log, const struct ns__extent *extent, uint64_t offset,
                            size_t size, size_t from, bool is_sync)
{
    uint64_t position = ns__log_position(log, extent, offset);
    if (!is_sync) return ns__file_write(log->file, position, log->buffer + from, size);
    size_t before = (size_t)(position % NS__BLOCK_BYTES);
    NS_ASSERT(before <= from);
    size_t whole = before + size;
    whole += (NS__BLOCK_BYTES - whole % NS__BLOCK_BYTES) % NS__BLOCK_BYTES;
    return ns__file_write_sync(log->file, position - before, log->buffer + from - before, whole);
}

/* Remembers the bytes before next in next's block; last: the extent with the envelope's last byte;
 * from: where the byte at next is, or would be, in the buffer. */
static void keep_block(struct ns__log *log, const struct ns__extent *last, uint64_t next,
                       size_t from)
{
    log->block_used = 0;
    if (next == last->log_end) return;
    size_t used = (size_t)(ns__log_position(log, last, next) % NS__BLOCK_BYTES);
    NS_ASSERT(used <= from);
    memcpy(log->block, log->buffer + from - used, used);
    log->block_used = used;
}

/* Writes size bytes from the end on, and gives the offset of the next envelope. */
static ns_status write_parts(struct ns__log *log, uint64_t size, bool is_sync, uint64_t *next_out)
{
    uint64_t offset = ns__atomic_load(&log->end);
    uint64_t end = offset + size;
    size_t from = log->block_used;
    struct ns__extent extent;
    for (bool is_first = true;; is_first = false) {
        if (!ns__log_extent_at(log, offset, &extent)) {
            return ns__error(NS_INTERNAL, "log: no extent at log offset %llu",
                             (unsigned long long)offset);
        }
        NS_ASSERT((ns__log_position(log, &extent, offset) - from) % NS__BLOCK_BYTES == 0 ||
                  !is_first);
        if (!is_first) NS__MARK(log_span);
        if (!is_first || offset == extent.log_start) NS__MARK(extent_switch);
        uint64_t part_end = extent.log_end < end ? extent.log_end : end;
        size_t part = (size_t)(part_end - offset);
        NS_TRY(write_part(log, &extent, offset, part, from, is_sync));
        offset += part;
        from += part;
        if (offset == end) break;
    }
    *next_out = ns__log_next(log, &extent, end);
    from += (size_t)(*next_out - end);
    keep_block(log, &extent, *next_out, from);
    return NS_OK;
}

static ns_status mark_in_use(struct ns__log *log)
{
    if (ns__atomic_load(&log->is_in_use) != 0) return NS_OK;
    (void)pthread_mutex_lock(&log->map_lock);
    struct ns__log_change change = {.epoch = (uint32_t)ns__atomic_load(&log->epoch),
                                    .is_in_use = true,
                                    .watermark = ns__atomic_load(&log->durable)};
    ns_status status = ns__log_map_publish(log, &change);
    (void)pthread_mutex_unlock(&log->map_lock);
    return status;
}

/* The part that cannot be undone. */
static ns_status write_envelope(struct ns__log *log, uint64_t size, bool is_sync)
{
    NS_TRY(mark_in_use(log));
    bool is_all_durable = ns__atomic_load(&log->durable) == ns__atomic_load(&log->end);
    uint64_t next = 0;
    NS_TRY(write_parts(log, size, is_sync && is_all_durable, &next));
    if (is_sync && !is_all_durable) NS_TRY(ns__file_sync(log->file));
    ns__atomic_store(&log->end, next);
    if (is_sync) ns__log_set_durable(log, next);
    return NS_OK;
}

ns_status ns__log_append(struct ns__log *log, const struct ns__hash_piece *pieces, size_t count,
                         bool is_sync, uint64_t *end_out)
{
    *end_out = ns__atomic_load(&log->end);
    uint64_t payload_bytes;
    NS_TRY(ns__log_check_writable(log));
    NS_TRY(sum_pieces(pieces, count, &payload_bytes));
    NS_TRY(ns__log_reserve(log, payload_bytes, false));
    NS_TRY(lay_out(log, *end_out, pieces, count, payload_bytes));
    ns_status status = write_envelope(log, NS__ENVELOPE_BYTES + payload_bytes, is_sync);
    if (status != NS_OK) {
        NS__MARK(poisoned);
        ns__atomic_store(&log->failed, 1);
        ns__error_prefix("append at log offset %llu", (unsigned long long)*end_out);
        /* The caller may take these two for "nothing was written". */
        return status == NS_FULL || status == NS_NOMEM ? NS_IO : status;
    }
    *end_out = ns__atomic_load(&log->end);
    if (log->buffer_capacity > BUFFER_KEPT_BYTES) buffer_release(log);
    return NS_OK;
}
