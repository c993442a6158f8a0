/* commit.c: make one transaction durable and visible.
 *
 * The order is the argument (spec/commit_v0.md, COM):
 *   1  the body is built or checked, canonical, by the caller
 *   2  it is applied to the newest root, in memory: a rotten page or a lack of memory is met here,
 *   before a byte is logged
 *   3  log space, file space for the next checkpoint and memory for publication are reserved: a
 *   full disk is met here
 *   4  one log write; with NS_SYNC_FULL it is durable when it returns
 *   5  the new root is published; from here on everybody sees it
 *   6  what died is reused, or waits for whoever still sees it
 * Nothing can fail after 4. If 4 fails nobody knows what a power cut would leave: the handle is
 * poisoned, the root is dropped, and the next open settles it (NS_UNKNOWN).
 *
 * Invariants.
 *   C1  A record that recovery accepts describes a transaction that could be published: 2 and 3
 *       came first.
 *   C2  Under NS_SYNC_FULL no reader sees a transaction that a crash can take back: 4 before 5.
 *   C3  After a failed 4 this handle writes nothing more. */
#include "db/db.h"

static const uint8_t zeros[8];

bool ns__db_grow_record(struct ns_db *db, uint64_t bytes)
{
    if (db->record_capacity >= bytes) return true;
    uint64_t capacity = db->record_capacity < 4096 ? 4096 : db->record_capacity;
    while (capacity < bytes)
        capacity *= 2;
    uint8_t *larger = ns__alloc(&db->alloc, capacity);
    if (larger == NULL) return false;
    ns__alloc_release(&db->alloc, db->record, db->record_capacity);
    db->record = larger;
    db->record_capacity = capacity;
    return true;
}

/* Does the body only take away? Then it may use the space kept back for that. */
static bool only_deletes(ns_slice body)
{
    size_t pos = 0;
    struct ns_op op;
    while (ns__op_decode(body, &pos, &op) == NS_OK) {
        if (op.kind == NS_OP_PUT || op.kind == NS_OP_KEYSPACE_CREATE) return false;
    }
    return true;
}

void ns__db_reclaim(struct ns_db *db)
{
    uint32_t count = ns__snapshots_held(&db->snapshots, db->held);
    ns__pager_reclaim(db->pager, db->held, count);
}

void ns__db_wake_log_readers(struct ns_db *db)
{
    pthread_mutex_lock(&db->durable_lock);
    pthread_cond_broadcast(&db->durable_moved);
    pthread_mutex_unlock(&db->durable_lock);
}

static void set_root(struct ns__root *root, const struct ns__record *record, uint64_t log_end)
{
    root->txn_id = record->txn_id;
    root->unix_us = record->unix_us;
    memcpy(root->chain, record->chain, sizeof root->chain);
    root->log_end = log_end;
}

/* Step 5. Head lock. */
static void publish(struct ns_db *db, struct ns__change *change, const struct ns__root *root)
{
    ns__snapshots_publish(&db->snapshots, root);
    ns__change_publish(change);
    ns__db_reclaim(db); /* step 6 */
}

/* Step 4. NS_UNKNOWN once bytes may have reached the file. */
static ns_status write_log(struct ns_db *db, const struct ns__record *record,
                           const uint8_t header[NS__RECORD_BYTES], uint64_t *end_out)
{
    struct ns__hash_piece pieces[4] = {
        {header, NS__RECORD_BYTES},
        {record->note.data, record->note.size},
        {record->body.data, record->body.size},
        {zeros, ns__record_padded(record->size) - record->size},
    };
    ns_status status =
        ns__log_append(db->log, pieces, 4, db->options.sync == NS_SYNC_FULL, end_out);
    if (status == NS_OK) return NS_OK;
    if (status == NS_NOMEM || status == NS_FULL) return status; /* the log says: nothing written */
    ns__db_poison(db, status);
    return ns__error(
        NS_UNKNOWN,
        "transaction %llu: the log could not be written, the next open settles whether "
        "it is there: %s",
        (unsigned long long)record->txn_id, db->poison_text);
}

/* Steps 2 and 3. */
static ns_status prepare(struct ns_db *db, struct ns__change *change, struct ns__root *root,
                         const struct ns__record *record, bool is_only_deleting)
{
    ns__arena_reset(&db->scratch);
    NS_TRY(ns__body_apply(change, root, record->body, record->txn_id, &db->scratch));
    uint64_t payload = ns__record_padded(NS__RECORD_BYTES + record->note.size + record->body.size);
    NS_TRY(ns__log_reserve(db->log, payload, is_only_deleting));
    return ns__change_prepare(change);
}

static ns_status commit_with_head(struct ns_db *db, struct ns__record *record)
{
    struct ns__root root;
    ns__snapshots_newest(&db->snapshots, &root);
    uint8_t header[NS__RECORD_BYTES];
    ns__record_encode(record, root.chain, header);
    bool is_only_deleting = only_deletes(record->body);
    root.generation++;
    struct ns__change *change = ns__change_begin(db->pager, root.generation, is_only_deleting);
    ns_status status = prepare(db, change, &root, record, is_only_deleting);
    uint64_t log_end = 0;
    if (status == NS_OK) status = write_log(db, record, header, &log_end);
    if (status != NS_OK) {
        ns__change_abort(change);
        return status;
    }
    set_root(&root, record, log_end);
    publish(db, change, &root);
    return NS_OK;
}

ns_status ns__db_commit(struct ns_db *db, struct ns__record *record)
{
    NS_TRY(ns__db_may_write(db));
    pthread_mutex_lock(&db->head);
    ns_status status = commit_with_head(db, record);
    if (status != NS_OK && ns__atomic_load(&db->pager->file.sync_failed) != 0) {
        ns__db_poison(db, status);
    }
    pthread_mutex_unlock(&db->head);
    if (status == NS_FULL) {
        ns__db_event(db, NS_EVENT_FULL, status, record->txn_id, 0, 0, ns_error_detail());
    }
    if (status != NS_OK) return status;
    ns__atomic_add(&db->commits, 1);
    ns__db_wake_log_readers(db);
    return NS_OK;
}

/* Recovery's own commit: the record is in the log, only steps 2, 5 and 6 are left. */
ns_status ns__db_replay(struct ns_db *db, const struct ns__record *record, uint64_t log_end)
{
    struct ns__root root;
    pthread_mutex_lock(&db->head);
    ns__snapshots_newest(&db->snapshots, &root);
    root.generation++;
    struct ns__change *change = ns__change_begin(db->pager, root.generation, true);
    ns__arena_reset(&db->scratch);
    ns_status status = ns__body_apply(change, &root, record->body, record->txn_id, &db->scratch);
    if (status == NS_OK) status = ns__change_prepare(change);
    if (status == NS_OK) {
        set_root(&root, record, log_end);
        publish(db, change, &root);
    } else {
        ns__change_abort(change);
    }
    pthread_mutex_unlock(&db->head);
    return status;
}
