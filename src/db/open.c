/* open.c: options, creating, opening and recovering, closing.
 *
 * Recovery (spec/commit_v0.md, REC): choose the newest valid meta; load the log map; find where the
 * log ends; settle that end (make it durable) before anything of it is shown; replay the records
 * behind the meta's root, with checkpoints on the way if they are many. Read-only handles open the
 * file privately: what recovery writes stays in memory. */
#include <stdio.h>
#include "db/db.h"

#define EXTENT_BYTES_MIN (UINT64_C(128) << 10)
#define EXTENT_BYTES_MAX (UINT64_C(8) << 20)

/* ---- options ---- */

static ns_status check_options(const ns_options *o)
{
    const uint32_t known = NS_MUST_EXIST | NS_MUST_CREATE | NS_RDONLY | NS_EXCLUSIVE |
                           NS_NO_THREADS | NS_IN_MEMORY | NS_LOG_PADDED;
    if ((o->flags & ~known) != 0) {
        return ns__error(NS_INVALID, "options.flags has unknown bits %#x", o->flags & ~known);
    }
    if ((o->flags & NS_MUST_EXIST) != 0 && (o->flags & NS_MUST_CREATE) != 0) {
        return ns__error(NS_INVALID, "options.flags: NS_MUST_EXIST and NS_MUST_CREATE together");
    }
    if ((o->flags & NS_RDONLY) != 0 && (o->flags & NS_MUST_CREATE) != 0) {
        return ns__error(NS_INVALID, "options.flags: NS_RDONLY and NS_MUST_CREATE together");
    }
    if (o->page_size != 0 && !ns__page_size_ok(o->page_size)) {
        return ns__error(NS_INVALID, "options.page_size %u is not a power of two in 4096..65536",
                         o->page_size);
    }
    if (o->sync > NS_SYNC_OFF) return ns__error(NS_INVALID, "options.sync %u is unknown", o->sync);
    if (o->sync == NS_SYNC_LAZY) {
        return ns__error(NS_UNSUPPORTED, "options.sync: NS_SYNC_LAZY is not in this version");
    }
    if (o->history > NS_HISTORY_NONE) {
        return ns__error(NS_INVALID, "options.history %u is unknown", o->history);
    }
    if (o->max_readers > NS__READERS_MAX) {
        return ns__error(NS_INVALID, "options.max_readers %u is over %u", o->max_readers,
                         NS__READERS_MAX);
    }
    for (size_t i = 0; i < sizeof o->reserved / sizeof o->reserved[0]; i++) {
        if (o->reserved[i] != 0) {
            return ns__error(NS_INVALID, "options.reserved[%zu] is not zero", i);
        }
    }
    return NS_OK;
}

static void fill_defaults(struct ns_db *db)
{
    ns_options *o = &db->options;
    if (o->checkpoint_bytes == 0) o->checkpoint_bytes = NS__DEFAULT_CHECKPOINT_BYTES;
    if (o->busy_timeout_ms == 0) o->busy_timeout_ms = NS__DEFAULT_BUSY_MS;
    if (o->max_readers == 0) o->max_readers = NS__DEFAULT_READERS;
    if (o->frame_bytes == 0) {
        uint64_t share = db->vfs->memory_bytes(db->vfs->ctx) / 16;
        o->frame_bytes =
            share > 0 && share < NS__DEFAULT_FRAME_BYTES ? share : NS__DEFAULT_FRAME_BYTES;
    }
}

/* ---- the file ---- */

/* What a user would want to know. */
static ns_status explain_open(ns_status status, uint32_t flags)
{
    bool is_rdonly = (flags & NS_RDONLY) != 0;
    if (status == NS_READONLY) {
        return ns__error(status, is_rdonly
                                     ? "no permission to read it"
                                     : "no permission to write it (NS_RDONLY would only read)");
    }
    if (status == NS_UNSUPPORTED) return ns__error(status, "not a regular file");
    if (status == NS_IO) {
        return ns__error(status, "cannot be opened: its directory does not exist, or the system "
                                 "reports an I/O error");
    }
    return ns__error(status, "%s", ns_status_text(status));
}

static ns_status open_file(struct ns_db *db)
{
    uint32_t flags = db->options.flags, how = 0;
    if ((flags & NS_RDONLY) != 0)
        how = NS_VFS_READ_ONLY | NS_VFS_PRIVATE;
    else if ((flags & NS_MUST_EXIST) == 0)
        how = NS_VFS_CREATE;
    if ((flags & NS_MUST_CREATE) != 0) how |= NS_VFS_EXCLUSIVE;
    ns_status status = db->vfs->open(db->vfs->ctx, db->path, how, &db->handle);
    if (status == NS_NOTFOUND) return NS_NOTFOUND;
    if (status != NS_OK) return explain_open(status, flags);
    uint32_t kind = (flags & NS_RDONLY) != 0 ? NS_VFS_SHARED : NS_VFS_SOLE;
    status = db->vfs->lock(db->vfs->ctx, db->handle, kind);
    if (status == NS_BUSY) {
        return ns__error(NS_BUSY, "already open, in this process or another one");
    }
    if (status != NS_OK) return ns__error(status, "lock: %s", ns_status_text(status));
    return NS_OK;
}

static uint64_t extent_bytes(const struct ns_db *db)
{
    uint64_t bytes = db->options.checkpoint_bytes / 8;
    if (bytes < EXTENT_BYTES_MIN) bytes = EXTENT_BYTES_MIN;
    return bytes > EXTENT_BYTES_MAX ? EXTENT_BYTES_MAX : bytes;
}

static void choose_history(struct ns_db *db, bool is_new)
{
    struct ns__meta *fields = db->fields;
    const ns_options *o = &db->options;
    if (is_new) fields->history = NS_HISTORY_BOUNDED;
    if (o->history != NS_HISTORY_DEFAULT) fields->history = o->history;
    if (o->history_txns != 0 || o->history_bytes != 0 || o->history_seconds != 0) {
        fields->history_txns = o->history_txns;
        fields->history_bytes = o->history_bytes;
        fields->history_seconds = o->history_seconds;
    }
}

static struct ns__pager_options pager_options(const struct ns_db *db)
{
    return (struct ns__pager_options){.frame_bytes = db->options.frame_bytes,
                                      .holder_max = db->options.max_readers + NS__SPARE_SLOTS};
}

static ns_status start_snapshots(struct ns_db *db, const struct ns__root *root)
{
    return ns__snapshots_init(&db->snapshots, &db->alloc, db->options.max_readers, root);
}

/* ---- creating ---- */

static ns_status create_log(struct ns_db *db, struct ns__file *file)
{
    struct ns__log_options options = {
        .extent_bytes = extent_bytes(db),
        .is_padded = (db->options.flags & NS_LOG_PADDED) != 0,
    };
    return ns__log_create(file, &db->pager->space, &db->alloc, &options, &db->log);
}

/* The file's name becomes durable. A read-only handle changes nothing. */
static ns_status sync_name(struct ns_db *db)
{
    if ((db->options.flags & NS_RDONLY) != 0) return NS_OK;
    ns_status status = db->vfs->sync_parent(db->vfs->ctx, db->path);
    if (status != NS_OK) return ns__error(status, "sync the directory: %s", ns_status_text(status));
    return NS_OK;
}

/* Log maps first, then everything is synced, then the metas: until meta 1 is durable there is no
 * database. */
static ns_status create(struct ns_db *db)
{
    if (db->vfs->truncate(db->vfs->ctx, db->handle, 0) != NS_OK) {
        return ns__error(NS_IO, "empty the file of an unfinished creation");
    }
    struct ns__file file = {.vfs = db->vfs, .handle = db->handle};
    file.page_size = db->options.page_size != 0 ? db->options.page_size : NS__PAGE_SIZE_MIN;
    ns_status status = db->vfs->entropy(db->vfs->ctx, file.uuid, sizeof file.uuid);
    if (status != NS_OK) return ns__error(status, "no entropy for the file's identity");
    struct ns__pager_options options = pager_options(db);
    NS_TRY(ns__pager_create(&file, &db->alloc, &options, &db->pager));
    NS_TRY(create_log(db, &db->pager->file));
    NS_TRY(ns__file_sync(&db->pager->file));
    struct ns__meta *first = db->fields;
    choose_history(db, true);
    first->page_size = file.page_size;
    memcpy(first->uuid, file.uuid, sizeof file.uuid);
    first->generation = 1;
    first->created_us = db->vfs->unix_us(db->vfs->ctx);
    first->flags = (db->options.flags & NS_LOG_PADDED) != 0 ? NS__META_FLAG_LOG_PADDED : 0;
    NS_TRY(ns__pager_write_first_metas(db->pager, first));
    NS_TRY(sync_name(db));
    db->is_opened_clean = true;
    struct ns__root root = {.generation = 1};
    return start_snapshots(db, &root);
}

/* ---- recovering ---- */

static void root_of(const struct ns__meta *meta, struct ns__root *root)
{
    *root = (struct ns__root){
        .generation = meta->generation,
        .txn_id = meta->txn_id,
        .unix_us = meta->unix_us,
        .log_end = meta->log_replay,
        .main = meta->main,
        .catalogue = meta->catalogue,
        .keyspaces = meta->keyspaces,
    };
    memcpy(root->chain, meta->chain, sizeof root->chain);
}

static ns_status replay_one(struct ns_db *db, const struct ns__record *record, uint64_t log_end)
{
    struct ns__root newest;
    ns__snapshots_newest(&db->snapshots, &newest);
    if (record->txn_id != newest.txn_id + 1 || !ns__record_continues(record, newest.chain)) {
        return ns__error(NS_CORRUPT,
                         "record %llu does not continue the chain after transaction %llu",
                         (unsigned long long)record->txn_id, (unsigned long long)newest.txn_id);
    }
    uint64_t ops;
    NS_TRY(ns__body_check(record->body, ns__key_bytes_max(db->pager->file.page_size), &ops));
    if (ops != record->op_count) {
        return ns__error(NS_CORRUPT, "record %llu counts its operations wrongly",
                         (unsigned long long)record->txn_id);
    }
    NS_TRY(ns__db_replay(db, record, log_end));
    db->recovered_txns++;
    return NS_OK;
}

static bool tail_is_long(struct ns_db *db, uint64_t log_end)
{
    return log_end - db->pager->meta->log_replay >= db->options.checkpoint_bytes ||
           db->pager->dirty * 2 > db->pager->frame_limit;
}

/* Replay may need more room than the first execution had: what the lost roots dropped is still held
 * by the metas. Two checkpoints move both of them on. Only between envelopes: a root in the middle
 * of one must not be written. */
static ns_status make_room(struct ns_db *db, uint64_t envelope)
{
    struct ns__root newest;
    ns__snapshots_newest(&db->snapshots, &newest);
    if (newest.log_end != envelope || (db->options.flags & NS_RDONLY) != 0) return NS_FULL;
    NS_TRY(ns__db_run_checkpoint(db, true));
    return ns__db_run_checkpoint(db, true);
}

static ns_status replay_with_room(struct ns_db *db, const struct ns__record *record,
                                  const struct ns__log_reader *reader)
{
    ns_status status = replay_one(db, record, reader->next);
    if (status == NS_FULL && make_room(db, reader->envelope) == NS_OK) {
        status = replay_one(db, record, reader->next);
    }
    if (status != NS_OK) {
        ns__error_prefix("replay at log offset %llu", (unsigned long long)reader->envelope);
    }
    return status;
}

/* log_end of a root is the offset behind its record's envelope. A checkpoint between the records of
 * one envelope would skip the rest, so it runs at envelope ends only. */
static ns_status replay(struct ns_db *db, uint64_t from, uint64_t to)
{
    struct ns__log_reader reader;
    ns__log_reader_init(&reader, db->log, from);
    ns_status status = NS_OK;
    bool is_writable = (db->options.flags & NS_RDONLY) == 0;
    while (status == NS_OK) {
        struct ns__record record;
        ns_slice bytes;
        status = ns__log_reader_next(&reader, to, &record, &bytes);
        if (status == NS_OK) status = replay_with_room(db, &record, &reader);
        bool is_envelope_end = reader.consumed == reader.payload_bytes;
        if (status == NS_OK && is_writable && is_envelope_end && tail_is_long(db, reader.next)) {
            status = ns__db_run_checkpoint(db, false);
        }
    }
    ns__log_reader_deinit(&reader);
    return status == NS_NOTFOUND ? NS_OK : status;
}

static ns_status recover_log(struct ns_db *db, const struct ns__located *located)
{
    const struct ns__meta *meta = &located->newest;
    uint64_t known = meta->log_watermark;
    if (located->has_older && located->older.log_watermark > known) {
        known = located->older.log_watermark;
    }
    struct ns__log_tail tail;
    NS_TRY(ns__log_find_end(db->log, meta->log_replay, known, &tail));
    db->was_closed = tail.is_clean;
    db->is_opened_clean = tail.is_clean && tail.end == meta->log_replay;
    NS_TRY(ns__log_settle(db->log, &tail));
    /* What was read may have come from a cache that a failed sync left behind: the chosen meta is
     * made durable too. */
    if (!db->is_opened_clean) NS_TRY(ns__pager_confirm_meta(db->pager));
    struct ns__root root;
    root_of(meta, &root);
    NS_TRY(start_snapshots(db, &root));
    return replay(db, meta->log_replay, tail.end);
}

static void file_of(const struct ns_db *db, const struct ns__meta *meta, struct ns__file *file_out)
{
    *file_out =
        (struct ns__file){.vfs = db->vfs, .handle = db->handle, .page_size = meta->page_size};
    memcpy(file_out->uuid, meta->uuid, sizeof file_out->uuid);
}

/* REC-8: what a failed sync left in the system's cache must neither be read nor written over. Pages
 * that are mapped stay in the cache, so this comes before the pager. */
static ns_status locate_on_medium(struct ns_db *db, struct ns__located *located)
{
    struct ns__file file;
    file_of(db, &located->newest, &file);
    bool in_use;
    NS_TRY(ns__log_was_left_in_use(&file, &in_use));
    if (!in_use) return NS_OK;
    db->vfs->drop_cache(db->vfs->ctx, db->handle);
    return ns__locate(db->vfs, db->handle, &db->alloc, located);
}

static ns_status load(struct ns_db *db, const struct ns__located *located)
{
    const struct ns__meta *meta = &located->newest;
    struct ns__file file;
    file_of(db, meta, &file);
    if (db->options.page_size != 0 && db->options.page_size != meta->page_size) {
        return ns__error(NS_INVALID, "options.page_size is %u, but the file was created with %u",
                         db->options.page_size, meta->page_size);
    }
    uint64_t pages = located->file_bytes / meta->page_size;
    struct ns__pager_options options = pager_options(db);
    NS_TRY(ns__pager_open(&file, &db->alloc, &options, pages, meta,
                          located->has_older ? &located->older : NULL, &db->pager));
    *db->fields = *meta;
    choose_history(db, false);
    struct ns__log_options log_options = {
        .extent_bytes = extent_bytes(db),
        .is_padded = (meta->flags & NS__META_FLAG_LOG_PADDED) != 0,
    };
    NS_TRY(ns__log_load(&db->pager->file, &db->pager->space, &db->alloc, &log_options, pages,
                        &db->log));
    if (db->fields->floor_log < ns__log_start(db->log)) { /* the newer meta that said so is lost */
        db->fields->floor_txn = meta->txn_id;
        memcpy(db->fields->floor_chain, meta->chain, sizeof meta->chain);
        db->fields->floor_log = meta->log_replay;
    }
    return recover_log(db, located);
}

static ns_status create_where_none_is(struct ns_db *db, const struct ns__located *located)
{
    if ((db->options.flags & NS_RDONLY) != 0) {
        return ns__error(NS_NOTADB, located->file_bytes == 0
                                        ? "the file is empty; a read-only handle cannot create"
                                        : "its creation was cut short; open it once for writing");
    }
    if ((db->options.flags & NS_MUST_EXIST) != 0) {
        return ns__error(NS_NOTADB, "the file holds no database");
    }
    memset(db->fields, 0, sizeof *db->fields);
    return create(db);
}

static ns_status recover(struct ns_db *db, struct ns__located *located)
{
    uint64_t began = db->vfs->monotonic_ns(db->vfs->ctx);
    NS_TRY(locate_on_medium(db, located));
    if (located->is_new) return create_where_none_is(db, located); /* it was in the cache alone */
    NS_TRY(load(db, located));
    if (located->newest.sequence <= 2)
        NS_TRY(sync_name(db)); /* its creation may not have got so far */
    if (!located->has_older && (db->options.flags & NS_RDONLY) == 0) {
        NS_TRY(ns__db_run_checkpoint(db, false));
    }
    db->recovery_us = (db->vfs->monotonic_ns(db->vfs->ctx) - began) / 1000;
    if (!db->is_opened_clean) {
        ns__db_event(db, NS_EVENT_RECOVERED, NS_OK, 0, db->recovered_txns, db->recovery_us, "");
    }
    return NS_OK;
}

/* ---- the handle ---- */

static ns_status init_locks(struct ns_db *db)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    ns__seat_init(&db->seat);
    pthread_mutex_init(&db->head, NULL);
    pthread_mutex_init(&db->checkpoint, NULL);
    pthread_mutex_init(&db->durable_lock, NULL);
    pthread_cond_init(&db->durable_moved, &monotonic);
    pthread_mutex_init(&db->helper.lock, NULL);
    pthread_cond_init(&db->helper.wake, NULL);
    pthread_condattr_destroy(&monotonic);
    db->locks_ready = true;
    return NS_OK;
}

static void free_locks(struct ns_db *db)
{
    if (!db->locks_ready) return;
    ns__seat_deinit(&db->seat);
    pthread_mutex_destroy(&db->head);
    pthread_mutex_destroy(&db->checkpoint);
    pthread_mutex_destroy(&db->durable_lock);
    pthread_cond_destroy(&db->durable_moved);
    pthread_mutex_destroy(&db->helper.lock);
    pthread_cond_destroy(&db->helper.wake);
}

static void free_txns(struct ns_db *db)
{
    for (uint32_t i = 0; i < db->snapshots.slot_count + NS__SPARE_SLOTS; i++) {
        ns__alloc_release(&db->alloc, db->snapshots.slots[i].owner, sizeof(ns_txn));
    }
}

/* Takes any half-built handle apart. Writes nothing. */
static void destroy(struct ns_db *db)
{
    if (db == NULL) return;
    ns__helper_stop(db);
    if (db->snapshots.slots != NULL) free_txns(db);
    ns__writeset_deinit(&db->writeset);
    ns__arena_deinit(&db->scratch);
    ns__log_free(db->log);
    ns__snapshots_deinit(&db->snapshots);
    ns__pager_free(db->pager);
    ns__alloc_release(&db->alloc, db->record, db->record_capacity);
    ns__alloc_release(&db->alloc, db->held,
                      (db->options.max_readers + NS__SPARE_SLOTS) * sizeof *db->held);
    ns__alloc_release(&db->alloc, db->fields, sizeof *db->fields);
    if (db->handle != NULL) db->vfs->close(db->vfs->ctx, db->handle);
    ns__mem_free(db->world);
    if (db->path != NULL) ns__alloc_release(&db->alloc, db->path, strlen(db->path) + 1);
    free_locks(db);
    struct ns__alloc alloc = db->alloc;
    ns__alloc_release(&alloc, db, sizeof *db);
}

static ns_status init_handle(struct ns_db *db, const char *path)
{
    db->vfs = db->options.vfs != NULL ? db->options.vfs : ns_vfs_default();
    bool is_in_memory = (db->options.flags & NS_IN_MEMORY) != 0;
    if (is_in_memory && db->options.vfs == NULL) {
        NS_TRY(ns__mem_new(0, 0, db->options.allocator, &db->world));
        db->vfs = ns__mem_vfs(db->world);
    }
    if (path == NULL && is_in_memory) path = "memory";
    if (path == NULL || path[0] == '\0') {
        return ns__error(NS_INVALID, "the path is %s", path == NULL ? "NULL" : "empty");
    }
    db->path = ns__alloc(&db->alloc, strlen(path) + 1);
    if (db->path == NULL) return NS_NOMEM;
    memcpy(db->path, path, strlen(path) + 1);
    fill_defaults(db);
    db->held =
        ns__alloc(&db->alloc, (db->options.max_readers + NS__SPARE_SLOTS) * sizeof *db->held);
    db->fields = ns__alloc_zeroed(&db->alloc, sizeof *db->fields);
    if (db->held == NULL || db->fields == NULL) return NS_NOMEM;
    ns__writeset_init(&db->writeset, &db->alloc, 0x6e6f72746873746au);
    ns__arena_init(&db->scratch, &db->alloc);
    return init_locks(db);
}

static ns_status open_database(struct ns_db *db, const char *path, struct ns__located *located)
{
    NS_TRY(init_handle(db, path));
    NS_TRY(open_file(db));
    NS_TRY(ns__locate(db->vfs, db->handle, &db->alloc, located));
    NS_TRY(located->is_new ? create_where_none_is(db, located) : recover(db, located));
    uint32_t no_helper = NS_NO_THREADS | NS_RDONLY;
    return (db->options.flags & no_helper) == 0 ? ns__helper_start(db) : NS_OK;
}

ns_status ns__db_open(const char *path, const ns_options *options, struct ns__located *located_out,
                      ns_db **db_out)
{
    ns_options chosen = {0};
    if (options != NULL) chosen = *options;
    NS_TRY(check_options(&chosen));
    struct ns__alloc alloc;
    ns__alloc_init(&alloc, chosen.allocator);
    struct ns_db *db = ns__alloc_zeroed(&alloc, sizeof *db);
    if (db == NULL) return NS_NOMEM;
    db->alloc = alloc;
    db->options = chosen;
    db->fork_count = ns__fork_count();
    ns_status status = open_database(db, path, located_out);
    if (status == NS_OK) {
        *db_out = db;
        return NS_OK;
    }
    struct ns__error_saved saved;
    ns__error_save(&saved);
    destroy(db);
    ns__error_restore(&saved);
    if (status != NS_NOTFOUND) ns__error_prefix("open %s", path != NULL ? path : "(no path)");
    return status;
}

ns_status ns_db_open(const char *path, const ns_options *options, ns_db **db_out)
{
    if (db_out == NULL) return ns__error(NS_INVALID, "ns_db_open: db_out is NULL");
    *db_out = NULL;
    struct ns__alloc alloc;
    ns__alloc_init(&alloc, options != NULL ? options->allocator : NULL);
    struct ns__located *located = ns__alloc(&alloc, sizeof *located);
    if (located == NULL) return NS_NOMEM;
    ns_status status = ns__db_open(path, options, located, db_out);
    ns__alloc_release(&alloc, located, sizeof *located);
    return status;
}

static ns_status write_out(struct ns_db *db)
{
    if ((db->options.flags & NS_RDONLY) != 0) return NS_OK;
    NS_TRY(ns__db_may_write(db));
    NS_TRY(ns__db_run_checkpoint(db, false));
    return ns__log_mark_clean(db->log);
}

ns_status ns_db_close(ns_db *db)
{
    if (db == NULL) return ns__error(NS_INVALID, "ns_db_close: the database handle is NULL");
    if (ns__db_usable(db) == NS_FORKED) return NS_FORKED;
    uint32_t open = ns__snapshots_open(&db->snapshots);
    uint64_t readers = ns__atomic_load(&db->log_readers);
    if (readers > 0) {
        return ns__error(NS_BUSY, "close: %llu log readers are open", (unsigned long long)readers);
    }
    uint64_t cursors = ns__atomic_load(&db->cursors);
    if (open > 0) return ns__error(NS_BUSY, "close: %u transactions are open", open);
    if (cursors > 0) {
        return ns__error(NS_BUSY, "close: %llu cursors are not closed",
                         (unsigned long long)cursors);
    }
    ns__helper_stop(db);
    ns_status status = write_out(db);
    struct ns__error_saved saved;
    ns__error_save(&saved);
    if (status != NS_OK) ns__error_prefix("close %s", db->path);
    destroy(db);
    return status;
}
