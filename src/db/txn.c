/* txn.c: beginning and ending transactions, and what they read and change.
 *
 * A transaction object belongs to a reader slot and is used again by the next transaction that
 * takes the slot; so a pointer to a finished transaction can be told as long as nobody else began
 * one. An NS_WRITE holds a slot too: its base must stay. */
#include "db/db.h"

/* ---- beginning ---- */

static ns_status slot_txn(ns_db *db, ns_txn **txn_out)
{
    struct ns__slot *slot;
    NS_TRY(ns__slot_take(&db->snapshots, &slot));
    ns_txn *txn = slot->owner;
    if (txn == NULL) {
        txn = ns__alloc_zeroed(&db->alloc, sizeof *txn);
        if (txn == NULL) {
            ns__slot_free(slot);
            return NS_NOMEM;
        }
        txn->db = db;
        txn->slot = slot;
        slot->owner = txn;
    }
    *txn_out = txn;
    return NS_OK;
}

static void start(ns_txn *txn, ns_txn_mode mode)
{
    ns_db *db = txn->db;
    struct ns__root root;
    ns__slot_hold(&db->snapshots, txn->slot, &root);
    ns__atomic_store_relaxed(&txn->slot->mode, mode);
    ns__atomic_store_relaxed(&txn->slot->txn_id, root.txn_id);
    txn->mode = mode;
    txn->failed = NS_OK;
    txn->gets = txn->puts = 0;
    txn->note = (ns_slice){NULL, 0};
    txn->cursors = NULL;
    txn->commit_us = root.unix_us;
    ns__view_init(&txn->view, &db->pager->pages, &root, mode == NS_WRITE ? &db->writeset : NULL);
    txn->state = NS__TXN_ACTIVE;
}

/* Since when it is open, for ns_db_readers; and the time that a commit will carry. */
static void note_time(ns_txn *txn)
{
    const struct ns_vfs *vfs = txn->db->vfs;
    bool is_write = txn->mode == NS_WRITE;
    int64_t now = is_write ? vfs->unix_us(vfs->ctx) : vfs->coarse_unix_us(vfs->ctx);
    ns__atomic_store_relaxed(&txn->slot->since_us, (uint64_t)now);
    if (is_write && now > txn->commit_us) txn->commit_us = now;
}

static ns_status begin_write(ns_db *db, ns_txn **txn_out)
{
    NS_TRY(ns__db_may_write(db));
    NS_TRY(ns__seat_take(db, db->options.busy_timeout_ms));
    ns_status status = ns__db_may_write(db);
    if (status == NS_OK) status = slot_txn(db, txn_out);
    if (status != NS_OK) {
        ns__seat_give(db);
        return status;
    }
    ns__writeset_reset(&db->writeset);
    start(*txn_out, NS_WRITE);
    note_time(*txn_out);
    return NS_OK;
}

ns_status ns_txn_begin(ns_db *db, ns_txn_mode mode, ns_txn **txn_out)
{
    if (txn_out == NULL) return ns__error(NS_INVALID, "ns_txn_begin: txn_out is NULL");
    *txn_out = NULL;
    NS_TRY(ns__db_usable(db));
    switch (mode) {
    case NS_READ:
        NS_TRY(slot_txn(db, txn_out));
        start(*txn_out, NS_READ);
        note_time(*txn_out);
        return NS_OK;
    case NS_WRITE: return begin_write(db, txn_out);
    case NS_OPTIMISTIC:
        return ns__error(NS_UNSUPPORTED, "NS_OPTIMISTIC transactions are not in this version");
    default: return ns__error(NS_INVALID, "ns_txn_begin: unknown mode %u", mode);
    }
}

/* ---- ending ---- */

static void detach_cursors(ns_txn *txn)
{
    while (txn->cursors != NULL) {
        ns_cursor *cursor = txn->cursors;
        txn->cursors = cursor->next;
        ns__view_cursor_free(cursor->at);
        cursor->at = NULL;
        cursor->txn = NULL;
        cursor->next = cursor->previous = NULL;
    }
}

/* Everything but the slot: as long as that is taken, ns_db_close says NS_BUSY, so whoever still has
 * something to do with the handle gives it back last. */
static void retire(ns_txn *txn)
{
    ns_db *db = txn->db;
    bool is_write = txn->mode == NS_WRITE;
    detach_cursors(txn);
    if (txn->gets > 0) ns__atomic_add(&db->gets, txn->gets);
    if (txn->puts > 0) ns__atomic_add(&db->puts, txn->puts);
    txn->state = NS__TXN_FREE;
    ns__slot_park(txn->slot);
    if (is_write) ns__seat_give(db);
}

void ns_txn_abort(ns_txn *txn)
{
    if (txn == NULL || txn->state == NS__TXN_FREE || ns__db_usable(txn->db) != NS_OK) return;
    retire(txn);
    ns__slot_free(txn->slot);
}

static ns_status usable(const ns_txn *txn)
{
    if (txn == NULL) return ns__error(NS_INVALID, "the transaction is NULL");
    if (txn->state == NS__TXN_FREE) return ns__error(NS_INVALID, "the transaction has ended");
    return ns__db_usable(txn->db);
}

/* The write set as a record; its body lies in db->record. */
static ns_status build_record(ns_txn *txn, struct ns__record *record)
{
    ns_db *db = txn->db;
    size_t bytes;
    *record = (struct ns__record){
        .txn_id = txn->view.root.txn_id + 1, .unix_us = txn->commit_us, .note = txn->note};
    ns__writeset_body_size(&db->writeset, &bytes, &record->op_count);
    if (!ns__db_grow_record(db, bytes + 1)) return NS_NOMEM;
    ns__writeset_body_encode(&db->writeset, db->record);
    record->body = ns_bytes(db->record, bytes);
    return NS_OK;
}

static ns_status commit_changes(ns_txn *txn, uint64_t *txn_id_out)
{
    struct ns__record record;
    NS_TRY(build_record(txn, &record));
    if (record.op_count == 0) return NS_OK; /* its changes cancelled out */
    ns_status status = ns__db_commit(txn->db, &record);
    if (status == NS_OK || status == NS_UNKNOWN) *txn_id_out = record.txn_id;
    return status;
}

ns_status ns_txn_commit(ns_txn *txn, uint64_t *txn_id_out)
{
    if (txn_id_out != NULL) *txn_id_out = 0;
    NS_TRY(usable(txn));
    ns_db *db = txn->db;
    uint64_t txn_id = txn->view.root.txn_id;
    bool is_changed = txn->mode == NS_WRITE && !ns__writeset_is_empty(&db->writeset);
    if (!is_changed) NS__MARK(empty_commit);
    ns_status status = NS_OK;
    if (txn->failed != NS_OK) {
        status = ns__error(txn->failed, "commit refused: a change in this transaction failed (%s)",
                           ns_status_text(txn->failed));
    } else if (is_changed) {
        status = commit_changes(txn, &txn_id);
    }
    retire(txn);
    if (is_changed) ns__db_after_commit(db);
    ns__slot_free(txn->slot);
    if (status != NS_OK && status != NS_UNKNOWN) {
        ns__error_prefix("commit");
        return status;
    }
    if (txn_id_out != NULL) *txn_id_out = txn_id;
    return status;
}

ns_status ns_txn_reset(ns_txn *txn)
{
    NS_TRY(usable(txn));
    if (txn->mode != NS_READ) return ns__error(NS_INVALID, "only an NS_READ transaction is parked");
    detach_cursors(txn);
    ns__slot_park(txn->slot);
    txn->state = NS__TXN_PARKED;
    return NS_OK;
}

ns_status ns_txn_renew(ns_txn *txn)
{
    NS_TRY(usable(txn));
    if (txn->mode != NS_READ)
        return ns__error(NS_INVALID, "only an NS_READ transaction is renewed");
    detach_cursors(txn);
    start(txn, NS_READ);
    note_time(txn);
    return NS_OK;
}

uint64_t ns_txn_id(const ns_txn *txn)
{
    return usable(txn) == NS_OK ? txn->view.root.txn_id : 0;
}

int64_t ns_txn_time(const ns_txn *txn)
{
    if (usable(txn) != NS_OK) return 0;
    return txn->mode == NS_WRITE ? txn->commit_us : txn->view.root.unix_us;
}

/* ---- checks ---- */

ns_status ns__txn_readable(ns_txn *txn)
{
    if (txn == NULL || txn->state != NS__TXN_ACTIVE) {
        NS_TRY(usable(txn));
        return ns__error(NS_INVALID, "the transaction is parked: renew it first");
    }
    return ns__db_usable(txn->db);
}

static ns_status writable(ns_txn *txn)
{
    NS_TRY(ns__txn_readable(txn));
    if (txn->mode != NS_WRITE) {
        return ns__error(NS_INVALID, "a change needs an NS_WRITE transaction");
    }
    if (txn->failed != NS_OK) {
        return ns__error(NS_INVALID, "an earlier change in this transaction failed: abort it");
    }
    return NS_OK;
}

static ns_status check_slice(ns_slice slice, const char *what)
{
    if (slice.data == NULL && slice.size != 0) {
        return ns__error(NS_INVALID, "the %s is NULL but not empty", what);
    }
    return NS_OK;
}

static ns_status check_bound(const ns_txn *txn, ns_slice key, const char *what)
{
    NS_TRY(check_slice(key, what));
    uint32_t most = ns__key_bytes_max(txn->view.pages->page_size);
    if (key.size > most) {
        return ns__error(NS_TOOBIG, "the %s has %zu bytes, the limit is %u", what, key.size, most);
    }
    return NS_OK;
}

static ns_status check_key(const ns_txn *txn, ns_slice key)
{
    if (key.size == 0) return ns__error(NS_INVALID, "the key is empty");
    return check_bound(txn, key, "key");
}

static ns_status check_value(ns_slice value)
{
    NS_TRY(check_slice(value, "value"));
    if ((uint64_t)value.size > NS__VALUE_BYTES_MAX) {
        return ns__error(NS_TOOBIG, "the value has %zu bytes, the limit is %llu", value.size,
                         (unsigned long long)NS__VALUE_BYTES_MAX);
    }
    return NS_OK;
}

/* A failure that leaves the write set incomplete, or the base unreadable, ends the transaction's
 * chance to commit. */
static ns_status after_change(ns_txn *txn, ns_status status)
{
    if (status == NS_NOMEM || status == NS_CORRUPT || status == NS_IO) txn->failed = status;
    return status;
}

/* ---- reading ---- */

ns_status ns_txn_get_version(ns_txn *txn, ns_keyspace keyspace, ns_slice key, ns_slice *value_out,
                             uint64_t *txn_id_out)
{
    if (value_out != NULL) *value_out = (ns_slice){NULL, 0};
    if (txn_id_out != NULL) *txn_id_out = 0;
    NS_TRY(ns__txn_readable(txn));
    NS_TRY(check_key(txn, key));
    if (value_out == NULL) return ns__error(NS_INVALID, "value_out is NULL");
    txn->gets++;
    return ns__view_get(&txn->view, keyspace, key, value_out, txn_id_out);
}

ns_status ns_txn_get(ns_txn *txn, ns_keyspace keyspace, ns_slice key, ns_slice *value_out)
{
    return ns_txn_get_version(txn, keyspace, key, value_out, NULL);
}

ns_status ns_txn_get_many(ns_txn *txn, ns_keyspace keyspace, size_t n, const ns_slice keys[],
                          ns_slice values[], ns_status statuses[])
{
    NS_TRY(ns__txn_readable(txn));
    if (n == 0) return NS_OK;
    if (keys == NULL || values == NULL || statuses == NULL) {
        return ns__error(NS_INVALID, "ns_txn_get_many: keys, values or statuses is NULL");
    }
    bool is_plain = true;
    txn->gets += n;
    for (size_t i = 0; i < n; i++) {
        values[i] = (ns_slice){NULL, 0};
        statuses[i] = check_key(txn, keys[i]);
        is_plain = is_plain && statuses[i] == NS_OK;
    }
    if (is_plain) return ns__view_get_many(&txn->view, keyspace, n, keys, values, statuses);
    for (size_t i = 0; i < n; i++) {
        if (statuses[i] != NS_OK) continue;
        statuses[i] = ns__view_get(&txn->view, keyspace, keys[i], &values[i], NULL);
    }
    return NS_OK;
}

ns_status ns_txn_state_hash(ns_txn *txn, uint8_t hash_out[16])
{
    if (hash_out != NULL) memset(hash_out, 0, 16);
    NS_TRY(ns__txn_readable(txn));
    if (hash_out == NULL) return ns__error(NS_INVALID, "hash_out is NULL");
    return ns__view_state_hash(&txn->view, &txn->db->alloc, hash_out);
}

/* ---- changing ---- */

static ns_status check_put(ns_txn *txn, ns_keyspace keyspace, ns_slice key, ns_slice value)
{
    NS_TRY(writable(txn));
    NS_TRY(check_key(txn, key));
    NS_TRY(check_value(value));
    txn->puts++;
    return ns__view_has_keyspace(&txn->view, keyspace);
}

ns_status ns_txn_put(ns_txn *txn, ns_keyspace keyspace, ns_slice key, ns_slice value)
{
    NS_TRY(check_put(txn, keyspace, key, value));
    return after_change(txn, ns__writeset_put(&txn->db->writeset, keyspace, key, value));
}

ns_status ns_txn_insert(ns_txn *txn, ns_keyspace keyspace, ns_slice key, ns_slice value)
{
    NS_TRY(check_put(txn, keyspace, key, value));
    ns_slice present;
    ns_status status = ns__view_get(&txn->view, keyspace, key, &present, NULL);
    if (status == NS_OK) return ns__error(NS_EXISTS, "insert: the key is there already");
    if (status != NS_NOTFOUND) return after_change(txn, status);
    return after_change(txn, ns__writeset_put(&txn->db->writeset, keyspace, key, value));
}

/* Is the key in the base, seen through the ranges deleted here? */
static ns_status is_in_base(ns_txn *txn, ns_keyspace keyspace, ns_slice key)
{
    ns_slice from, to, value;
    if (ns__writeset_range_at(&txn->db->writeset, keyspace, key, &from, &to)) return NS_NOTFOUND;
    struct ns__tree tree;
    NS_TRY(ns__view_tree(&txn->view, keyspace, &tree));
    return ns__btree_get(txn->view.pages, &tree, key, &value, NULL, NULL);
}

ns_status ns_txn_del(ns_txn *txn, ns_keyspace keyspace, ns_slice key)
{
    NS_TRY(writable(txn));
    NS_TRY(check_key(txn, key));
    ns_slice value;
    ns_status status = ns__view_get(&txn->view, keyspace, key, &value, NULL);
    if (status == NS_NOTFOUND) return status;
    if (status != NS_OK) return after_change(txn, status);
    status = is_in_base(txn, keyspace, key);
    if (status != NS_OK && status != NS_NOTFOUND) return after_change(txn, status);
    return after_change(txn, ns__writeset_del(&txn->db->writeset, keyspace, key, status == NS_OK));
}

ns_status ns_txn_del_range(ns_txn *txn, ns_keyspace keyspace, ns_slice from, ns_slice to)
{
    NS_TRY(writable(txn));
    NS_TRY(check_bound(txn, from, "start of the range"));
    NS_TRY(check_bound(txn, to, "end of the range"));
    NS_TRY(ns__view_has_keyspace(&txn->view, keyspace));
    if (to.size > 0 && ns__slice_compare(from, to) >= 0) return NS_OK; /* nothing lies in it */
    return after_change(txn, ns__writeset_del_range(&txn->db->writeset, keyspace, from, to));
}

/* ---- notes and keyspaces ---- */

ns_status ns_txn_note(ns_txn *txn, ns_slice note)
{
    NS_TRY(writable(txn));
    NS_TRY(check_slice(note, "note"));
    if (note.size > NS__NOTE_BYTES_MAX) {
        return ns__error(NS_TOOBIG, "the note has %zu bytes, the limit is %u", note.size,
                         NS__NOTE_BYTES_MAX);
    }
    void *copy = ns__arena_copy(&txn->db->writeset.arena, note.data, note.size);
    if (copy == NULL) return after_change(txn, NS_NOMEM);
    txn->note = ns_bytes(copy, note.size);
    return NS_OK;
}

static ns_status check_name(const char *name, ns_slice *name_out)
{
    if (name == NULL || name[0] == '\0') {
        return ns__error(NS_INVALID, "the keyspace's name is %s", name == NULL ? "NULL" : "empty");
    }
    *name_out = ns_str(name);
    if (name_out->size > NS__NAME_BYTES_MAX) {
        return ns__error(NS_TOOBIG, "the keyspace's name has %zu bytes, the limit is %u",
                         name_out->size, NS__NAME_BYTES_MAX);
    }
    return NS_OK;
}

static ns_status create_keyspace(ns_txn *txn, ns_slice name, ns_keyspace *keyspace_out)
{
    ns_keyspace keyspace;
    NS_TRY(ns__view_new_keyspace_id(&txn->view, name, &keyspace));
    NS_TRY(ns__writeset_create(&txn->db->writeset, name, keyspace));
    *keyspace_out = keyspace;
    return NS_OK;
}

ns_status ns_txn_keyspace(ns_txn *txn, const char *name, ns_keyspace *keyspace_out)
{
    if (keyspace_out != NULL) *keyspace_out = 0;
    NS_TRY(ns__txn_readable(txn));
    ns_slice slice;
    NS_TRY(check_name(name, &slice));
    if (keyspace_out == NULL) return ns__error(NS_INVALID, "keyspace_out is NULL");
    ns_status status = ns__view_find_keyspace(&txn->view, slice, keyspace_out, NULL);
    if (status != NS_NOTFOUND || txn->mode != NS_WRITE) return status;
    NS_TRY(writable(txn));
    return after_change(txn, create_keyspace(txn, slice, keyspace_out));
}

ns_status ns_txn_keyspace_drop(ns_txn *txn, const char *name)
{
    NS_TRY(writable(txn));
    ns_slice slice;
    NS_TRY(check_name(name, &slice));
    ns_keyspace keyspace;
    bool is_in_root;
    NS_TRY(ns__view_find_keyspace(&txn->view, slice, &keyspace, &is_in_root));
    return after_change(txn, ns__writeset_drop(&txn->db->writeset, slice, keyspace, is_in_root));
}

ns_status ns_txn_keyspace_list(ns_txn *txn, ns_keyspace_fn each, void *ctx)
{
    NS_TRY(ns__txn_readable(txn));
    if (each == NULL) return ns__error(NS_INVALID, "ns_txn_keyspace_list: each is NULL");
    return ns__view_list_keyspaces(&txn->view, &txn->db->alloc, each, ctx);
}
