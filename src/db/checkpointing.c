/* checkpointing.c: when a checkpoint runs, what goes with it, and the helper thread that runs it
 * beside the program.
 *
 * A checkpoint is due when the log has grown by checkpoint_bytes since the last one, or when half
 * of the frames are dirty. The helper also prepares log extents ahead of need. With NS_NO_THREADS
 * all of it happens inside commits. If the helper falls behind by half of checkpoint_bytes,
 * committers wait for it: recovery stays bounded. */
#include "db/db.h"

/* Where the log could be cut once the next meta is durable: the root that will then be the older
 * meta's. */
static void set_floor(struct ns_db *db)
{
    if (db->fields->history != NS_HISTORY_NONE) return;
    const struct ns__meta *older = db->pager->meta;
    db->fields->floor_txn = older->txn_id;
    memcpy(db->fields->floor_chain, older->chain, sizeof older->chain);
    db->fields->floor_log = older->log_replay;
}

/* Publishes what the checkpoint swung. */
static void finish(struct ns_db *db, struct ns__checkpoint *checkpoint)
{
    struct ns__root newest;
    pthread_mutex_lock(&db->head);
    ns__snapshots_newest(&db->snapshots, &newest);
    if (ns__checkpoint_finish(db->pager, checkpoint, &newest)) {
        newest.generation++;
        ns__snapshots_publish(&db->snapshots, &newest);
    }
    ns__db_reclaim(db);
    pthread_mutex_unlock(&db->head);
}

/* Head lock. */
static ns_status begin(struct ns_db *db, struct ns__slot *slot, bool is_forced,
                       struct ns__checkpoint *checkpoint, bool *is_idle)
{
    struct ns__root root;
    ns__slot_hold(&db->snapshots, slot, &root);
    *is_idle = !is_forced && ns__checkpoint_is_idle(db->pager, &root, db->fields);
    if (*is_idle) return NS_OK;
    return ns__checkpoint_begin(db->pager, &root, checkpoint);
}

static ns_status write_and_finish(struct ns_db *db, struct ns__checkpoint *checkpoint)
{
    set_floor(db);
    db->fields->log_watermark = ns__log_durable(db->log);
    NS_TRY(ns__checkpoint_write(db->pager, &db->head, db->fields, checkpoint));
    ns__log_set_durable(db->log, checkpoint->root.log_end);
    finish(db, checkpoint);
    ns__atomic_add(&db->checkpoints, 1);
    ns__db_wake_log_readers(db);
    if (db->fields->history != NS_HISTORY_NONE) return NS_OK;
    return ns__log_trim(db->log, db->fields->floor_log);
}

static ns_status with_slot(struct ns_db *db, struct ns__slot *slot, bool is_forced)
{
    uint64_t began = db->vfs->monotonic_ns(db->vfs->ctx);
    struct ns__checkpoint checkpoint = {0};
    bool is_idle;
    pthread_mutex_lock(&db->head);
    ns_status status = begin(db, slot, is_forced, &checkpoint, &is_idle);
    pthread_mutex_unlock(&db->head);
    if (status == NS_OK && is_idle) return NS_OK;
    uint64_t pages = checkpoint.frames.count, txn_id = checkpoint.root.txn_id;
    if (status == NS_OK) status = write_and_finish(db, &checkpoint);
    ns__checkpoint_deinit(db->pager, &checkpoint);
    if (status != NS_OK) return status;
    uint64_t us = (db->vfs->monotonic_ns(db->vfs->ctx) - began) / 1000;
    ns__db_event(db, NS_EVENT_CHECKPOINT, NS_OK, txn_id, pages, us, "");
    return NS_OK;
}

static ns_status with_lock(struct ns_db *db, bool is_forced)
{
    struct ns__slot *slot;
    NS_TRY(ns__slot_take_spare(&db->snapshots, &slot));
    ns_status status = with_slot(db, slot, is_forced);
    ns__slot_free(slot);
    pthread_mutex_lock(&db->head); /* what only this slot still held */
    ns__db_reclaim(db);
    pthread_mutex_unlock(&db->head);
    return status;
}

ns_status ns__db_run_checkpoint(struct ns_db *db, bool is_forced)
{
    pthread_mutex_lock(&db->checkpoint);
    ns_status status = ns__db_may_write(db); /* the one before this may have poisoned the handle */
    if (status == NS_OK) status = with_lock(db, is_forced);
    if (status != NS_OK && ns__atomic_load(&db->pager->file.sync_failed) != 0) {
        ns__db_poison(db, status);
    }
    pthread_mutex_unlock(&db->checkpoint);
    return status;
}

/* ---- when ---- */

/* After a failed attempt the next one waits until the log has grown by another sixteenth of the
 * interval. */
static bool just_failed(struct ns_db *db, uint64_t log_end)
{
    uint64_t at = ns__atomic_load(&db->checkpoint_failed_at);
    return at != 0 && log_end < at + db->options.checkpoint_bytes / 16;
}

/* Is a checkpoint due; and is it late by half an interval? */
struct due {
    bool is_due, is_late;
};

static struct due look(struct ns_db *db)
{
    uint64_t end = ns__log_end(db->log), interval = db->options.checkpoint_bytes;
    pthread_mutex_lock(&db->head);
    uint64_t replay = db->pager->meta->log_replay;
    bool is_half_dirty = db->pager->dirty * 2 > db->pager->frame_limit;
    pthread_mutex_unlock(&db->head);
    uint64_t grown = end > replay ? end - replay : 0;
    return (struct due){
        .is_due = !just_failed(db, end) && (grown >= interval || is_half_dirty),
        .is_late = grown >= interval / 2 * 3,
    };
}

static void run_automatically(struct ns_db *db)
{
    struct ns__error_saved saved; /* the caller's own result is what its detail is about */
    ns__error_save(&saved);
    ns_status status = ns__db_run_checkpoint(db, false);
    ns__atomic_store(&db->checkpoint_failed_at, status == NS_OK ? 0 : ns__log_end(db->log));
    if (status != NS_OK) {
        ns__db_event(db, NS_EVENT_CHECKPOINT_FAILED, status, 0, 0, 0, ns_error_detail());
    }
    ns__error_restore(&saved);
}

static bool log_is_short(struct ns_db *db)
{
    uint64_t ahead = db->options.checkpoint_bytes / 32;
    uint64_t least = 64 * 1024, most = UINT64_C(4) << 20;
    ahead = ahead < least ? least : ahead > most ? most : ahead;
    return ns__log_room(db->log) < ahead;
}

void ns__db_after_commit(struct ns_db *db)
{
    struct due due = look(db);
    if (!db->helper.is_running || due.is_late) {
        if (due.is_due) run_automatically(db);
        return;
    }
    if (!due.is_due && !log_is_short(db)) return;
    pthread_mutex_lock(&db->helper.lock);
    if (!db->helper.is_asked) {
        db->helper.is_asked = true;
        pthread_cond_signal(&db->helper.wake);
    }
    pthread_mutex_unlock(&db->helper.lock);
}

/* ---- the helper ---- */

static void prepare_log(struct ns_db *db)
{
    if (!log_is_short(db) || ns__db_may_write(db) != NS_OK) return;
    ns_status status = ns__log_prepare(db->log, ns__log_room(db->log) + 1);
    if (status != NS_OK && ns__atomic_load(&db->pager->file.sync_failed) != 0) {
        ns__db_poison(db, status);
    }
}

static void *helper_main(void *argument)
{
    struct ns_db *db = argument;
    struct ns__helper *helper = &db->helper;
    pthread_mutex_lock(&helper->lock);
    while (!helper->is_stopping) {
        if (!helper->is_asked) {
            pthread_cond_wait(&helper->wake, &helper->lock);
            continue;
        }
        helper->is_asked = false;
        pthread_mutex_unlock(&helper->lock);
        prepare_log(db);
        if (look(db).is_due) run_automatically(db);
        pthread_mutex_lock(&helper->lock);
    }
    pthread_mutex_unlock(&helper->lock);
    return NULL;
}

ns_status ns__helper_start(struct ns_db *db)
{
    struct ns__helper *helper = &db->helper;
    if (pthread_create(&helper->thread, NULL, helper_main, db) != 0) {
        return ns__error(NS_NOMEM, "start the helper thread");
    }
    helper->is_running = true;
    return NS_OK;
}

void ns__helper_stop(struct ns_db *db)
{
    struct ns__helper *helper = &db->helper;
    if (!helper->is_running) return;
    pthread_mutex_lock(&helper->lock);
    helper->is_stopping = true;
    pthread_cond_signal(&helper->wake);
    pthread_mutex_unlock(&helper->lock);
    pthread_join(helper->thread, NULL);
    helper->is_running = false;
}

ns_status ns_db_checkpoint(ns_db *db)
{
    NS_TRY(ns__db_usable(db));
    if (ns__seat_is_mine(db)) {
        return ns__error(NS_BUSY, "checkpoint: this thread has an NS_WRITE transaction open");
    }
    return ns__db_run_checkpoint(db, false);
}
