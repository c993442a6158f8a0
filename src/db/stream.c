/* stream.c: the commit stream (northstar/log.h): reading records in order, waiting for more,
 * applying them elsewhere. */
#include <errno.h>
#include "db/db.h"

struct ns_log {
    ns_db *db;
    struct ns__log_reader reader;
    uint64_t next_txn; /* id of the record to return next */
    uint64_t at_txn;   /* id of the record that the reader gives next */
    bool is_pending;   /* the reader gave a record that could not be returned for want of memory */
    ns_slice pending;
    uint8_t *copy; /* of the record returned last */
    uint64_t copy_capacity;
};

/* ---- opening ---- */

/* A known place in the log at or before record txn + 1. */
struct place {
    uint64_t txn, log;
};

static void consider(struct place *best, uint64_t wanted, uint64_t txn, uint64_t log)
{
    if (txn <= wanted && txn >= best->txn) *best = (struct place){txn, log};
}

static struct place nearest(ns_db *db, uint64_t after, uint64_t *floor_out)
{
    pthread_mutex_lock(&db->checkpoint);
    *floor_out = db->fields->floor_txn;
    struct place best = {db->fields->floor_txn, db->fields->floor_log};
    pthread_mutex_lock(&db->head);
    consider(&best, after, db->pager->older->txn_id, db->pager->older->log_replay);
    consider(&best, after, db->pager->meta->txn_id, db->pager->meta->log_replay);
    pthread_mutex_unlock(&db->head);
    pthread_mutex_unlock(&db->checkpoint);
    return best;
}

static ns_status gone(uint64_t floor)
{
    return ns__error(NS_GONE, "recycled; the oldest record that the log still has is %llu",
                     (unsigned long long)floor + 1);
}

ns_status ns_log_open(ns_db *db, uint64_t after_txn_id, ns_log **log_out)
{
    if (log_out == NULL) return ns__error(NS_INVALID, "ns_log_open: log_out is NULL");
    *log_out = NULL;
    NS_TRY(ns__db_usable(db));
    struct ns__root newest;
    ns__snapshots_newest(&db->snapshots, &newest);
    if (after_txn_id > newest.txn_id) return NS_NOTFOUND;
    uint64_t floor;
    struct place place = nearest(db, after_txn_id, &floor);
    if (after_txn_id < floor) return gone(floor);
    ns_log *log = ns__alloc_zeroed(&db->alloc, sizeof *log);
    if (log == NULL) return NS_NOMEM;
    log->db = db;
    log->next_txn = after_txn_id + 1;
    log->at_txn = place.txn + 1;
    ns__log_reader_init(&log->reader, db->log, place.log);
    ns__atomic_add(&db->log_readers, 1);
    *log_out = log;
    return NS_OK;
}

void ns_log_close(ns_log *log)
{
    if (log == NULL) return;
    ns_db *db = log->db;
    ns__log_reader_deinit(&log->reader);
    ns__alloc_release(&db->alloc, log->copy, log->copy_capacity);
    ns__alloc_release(&db->alloc, log, sizeof *log);
    ns__atomic_sub(&db->log_readers, 1);
}

/* ---- reading ---- */

static ns_status usable(const ns_log *log)
{
    if (log == NULL) return ns__error(NS_INVALID, "the log reader is NULL");
    return ns__db_usable(log->db);
}

/* What readers may see: durable, and published. */
static uint64_t visible_end(ns_db *db)
{
    struct ns__root newest;
    ns__snapshots_newest(&db->snapshots, &newest);
    uint64_t durable = ns__log_durable(db->log);
    return durable < newest.log_end ? durable : newest.log_end;
}

static ns_status keep_copy(ns_log *log, ns_slice bytes)
{
    if (log->copy_capacity < bytes.size) {
        uint8_t *larger = ns__alloc(&log->db->alloc, bytes.size * 2);
        if (larger == NULL) return NS_NOMEM;
        ns__alloc_release(&log->db->alloc, log->copy, log->copy_capacity);
        log->copy = larger;
        log->copy_capacity = bytes.size * 2;
    }
    memcpy(log->copy, bytes.data, bytes.size);
    return NS_OK;
}

static void fill_commit(const struct ns__record *record, ns_slice bytes, struct ns_commit *out)
{
    *out = (struct ns_commit){
        .txn_id = record->txn_id,
        .unix_us = record->unix_us,
        .op_count = record->op_count,
        .note = record->note,
        .bytes = bytes,
    };
    memcpy(out->chain, record->chain, sizeof out->chain);
}

/* The record with id next_txn, passing over earlier ones. */
static ns_status advance(ns_log *log, struct ns__record *record, ns_slice *bytes)
{
    uint64_t limit = visible_end(log->db);
    for (;;) {
        ns_status status = ns__log_reader_next(&log->reader, limit, record, bytes);
        if (status == NS_GONE) {
            uint64_t floor;
            (void)nearest(log->db, log->at_txn, &floor);
            return gone(floor);
        }
        if (status != NS_OK) return status;
        if (record->txn_id != log->at_txn) {
            return ns__error(NS_CORRUPT, "log offset %llu: record %llu where %llu is due",
                             (unsigned long long)log->reader.envelope,
                             (unsigned long long)record->txn_id, (unsigned long long)log->at_txn);
        }
        log->at_txn++;
        if (record->txn_id == log->next_txn) return NS_OK;
    }
}

/* The bytes of the next record, in the reader's buffer. Asked again after a failure, it is the same
 * one. */
static ns_status next_bytes(ns_log *log, ns_slice *bytes_out)
{
    if (!log->is_pending) {
        struct ns__record record;
        NS_TRY(advance(log, &record, &log->pending));
        log->is_pending = true;
    }
    *bytes_out = log->pending;
    return NS_OK;
}

ns_status ns_log_next(ns_log *log, struct ns_commit *commit_out)
{
    if (commit_out == NULL) return ns__error(NS_INVALID, "ns_log_next: commit_out is NULL");
    *commit_out = (struct ns_commit){0};
    NS_TRY(usable(log));
    struct ns__record record;
    ns_slice bytes;
    NS_TRY(next_bytes(log, &bytes));
    NS_TRY(keep_copy(log, bytes));
    log->is_pending = false;
    log->next_txn++;
    NS_TRY(ns__record_decode(ns_bytes(log->copy, bytes.size), NULL, &record));
    fill_commit(&record, ns_bytes(log->copy, bytes.size), commit_out);
    return NS_OK;
}

/* Is a record with id next_txn there? A snapshot's id says so, if the log is durable up to it. */
static bool has_more(ns_log *log)
{
    struct ns__root newest;
    ns__snapshots_newest(&log->db->snapshots, &newest);
    if (newest.txn_id < log->next_txn) return false;
    return ns__log_durable(log->db->log) >= newest.log_end ||
           log->reader.next < visible_end(log->db);
}

ns_status ns_log_wait(ns_log *log, uint32_t timeout_ms)
{
    NS_TRY(usable(log));
    ns_db *db = log->db;
    struct timespec deadline = ns__deadline(timeout_ms);
    int result = 0;
    pthread_mutex_lock(&db->durable_lock);
    bool is_there = has_more(log);
    while (!is_there && result != ETIMEDOUT) {
        result = timeout_ms == UINT32_MAX
                     ? pthread_cond_wait(&db->durable_moved, &db->durable_lock)
                     : pthread_cond_timedwait(&db->durable_moved, &db->durable_lock, &deadline);
        is_there = has_more(log);
    }
    pthread_mutex_unlock(&db->durable_lock);
    if (is_there) return NS_OK;
    return ns__error(NS_TIMEOUT, "no record %llu within %u ms", (unsigned long long)log->next_txn,
                     timeout_ms);
}

/* ---- applying ---- */

/* The record names the chain value after it; ours must come out the same. */
static ns_status check_chain(const struct ns__record *record, const struct ns__root *newest)
{
    if (ns__record_continues(record, newest->chain)) return NS_OK;
    return ns__error(NS_CONFLICT,
                     "record %llu does not continue this database's chain: the histories differ, "
                     "or the record is damaged",
                     (unsigned long long)record->txn_id);
}

static ns_status apply_with_seat(ns_db *db, struct ns__record *record)
{
    struct ns__root newest;
    ns__snapshots_newest(&db->snapshots, &newest);
    if (record->txn_id != newest.txn_id + 1) {
        return ns__error(NS_INVALID, "record %llu is not the next one: %llu is expected",
                         (unsigned long long)record->txn_id, (unsigned long long)newest.txn_id + 1);
    }
    uint64_t ops;
    NS_TRY(ns__body_check(record->body, ns__key_bytes_max(db->pager->file.page_size), &ops));
    if (ops != record->op_count || ops == 0) {
        return ns__error(NS_CORRUPT, "record %llu counts its operations wrongly",
                         (unsigned long long)record->txn_id);
    }
    NS_TRY(check_chain(record, &newest));
    if (record->unix_us < newest.unix_us) {
        return ns__error(NS_CORRUPT, "record %llu is older than the one before it",
                         (unsigned long long)record->txn_id);
    }
    return ns__db_commit(db, record);
}

ns_status ns_log_apply(ns_db *db, ns_slice record_bytes)
{
    NS_TRY(ns__db_usable(db));
    if (record_bytes.data == NULL) return ns__error(NS_INVALID, "ns_log_apply: no record");
    struct ns__record record;
    NS_TRY(ns__record_decode(record_bytes, NULL, &record));
    if (record.size != record_bytes.size) {
        return ns__error(NS_CORRUPT, "record %llu has %zu bytes behind its end",
                         (unsigned long long)record.txn_id,
                         record_bytes.size - (size_t)record.size);
    }
    NS_TRY(ns__db_may_write(db));
    struct ns__slot *slot; /* while it is taken the handle cannot be closed */
    NS_TRY(ns__slot_take(&db->snapshots, &slot));
    ns__atomic_store_relaxed(&slot->mode, 0);
    ns_status status = ns__seat_take(db, db->options.busy_timeout_ms);
    if (status == NS_OK) {
        status = apply_with_seat(db, &record);
        ns__seat_give(db);
    }
    if (status == NS_OK) {
        ns__db_after_commit(db);
    } else {
        ns__error_prefix("apply record %llu", (unsigned long long)record.txn_id);
    }
    ns__slot_free(slot);
    return status;
}
