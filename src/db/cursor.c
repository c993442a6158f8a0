/* cursor.c: public cursors: argument checks and attachment to their transaction; the moves are the
 * view's. */
#include "db/db.h"

ns_status ns_cursor_open(ns_txn *txn, ns_keyspace keyspace, ns_cursor **cursor_out)
{
    if (cursor_out == NULL) return ns__error(NS_INVALID, "ns_cursor_open: cursor_out is NULL");
    *cursor_out = NULL;
    NS_TRY(ns__txn_readable(txn));
    ns_db *db = txn->db;
    struct ns__view_cursor *at;
    NS_TRY(ns__view_cursor_new(&txn->view, keyspace, &db->alloc, &at));
    ns_cursor *cursor = ns__alloc_zeroed(&db->alloc, sizeof *cursor);
    if (cursor == NULL) {
        ns__view_cursor_free(at);
        return NS_NOMEM;
    }
    cursor->db = db;
    cursor->txn = txn;
    cursor->at = at;
    cursor->next = txn->cursors;
    if (txn->cursors != NULL) txn->cursors->previous = cursor;
    txn->cursors = cursor;
    ns__atomic_add(&db->cursors, 1);
    *cursor_out = cursor;
    return NS_OK;
}

void ns_cursor_close(ns_cursor *cursor)
{
    if (cursor == NULL) return;
    if (cursor->txn != NULL) {
        if (cursor->previous != NULL)
            cursor->previous->next = cursor->next;
        else
            cursor->txn->cursors = cursor->next;
        if (cursor->next != NULL) cursor->next->previous = cursor->previous;
        ns__view_cursor_free(cursor->at);
    }
    ns_db *db = cursor->db;
    ns__alloc_release(&db->alloc, cursor, sizeof *cursor);
    ns__atomic_sub(&db->cursors, 1);
}

static ns_status attached(const ns_cursor *cursor)
{
    if (cursor == NULL) return ns__error(NS_INVALID, "the cursor is NULL");
    if (cursor->txn == NULL) return ns__error(NS_INVALID, "the cursor's transaction has ended");
    return ns__db_usable(cursor->db);
}

static ns_status check(const ns_cursor *cursor, ns_slice key, const char *what)
{
    NS_TRY(attached(cursor));
    if (key.data == NULL && key.size != 0) {
        return ns__error(NS_INVALID, "the %s is NULL but not empty", what);
    }
    uint32_t most = ns__key_bytes_max(cursor->db->pager->file.page_size);
    if (key.size > most) {
        return ns__error(NS_TOOBIG, "the %s has %zu bytes, the limit is %u", what, key.size, most);
    }
    return NS_OK;
}

ns_status ns_cursor_first(ns_cursor *cursor)
{
    NS_TRY(attached(cursor));
    return ns__view_cursor_first(cursor->at);
}

ns_status ns_cursor_last(ns_cursor *cursor)
{
    NS_TRY(attached(cursor));
    return ns__view_cursor_last(cursor->at);
}

ns_status ns_cursor_next(ns_cursor *cursor)
{
    NS_TRY(attached(cursor));
    return ns__view_cursor_next(cursor->at);
}

ns_status ns_cursor_prev(ns_cursor *cursor)
{
    NS_TRY(attached(cursor));
    return ns__view_cursor_prev(cursor->at);
}

ns_status ns_cursor_seek(ns_cursor *cursor, ns_slice key)
{
    NS_TRY(check(cursor, key, "key"));
    return ns__view_cursor_seek(cursor->at, key);
}

ns_status ns_cursor_seek_exact(ns_cursor *cursor, ns_slice key)
{
    NS_TRY(check(cursor, key, "key"));
    if (key.size == 0) return ns__error(NS_INVALID, "the key is empty");
    return ns__view_cursor_seek_exact(cursor->at, key);
}

ns_status ns_cursor_seek_before(ns_cursor *cursor, ns_slice key)
{
    NS_TRY(check(cursor, key, "key"));
    return ns__view_cursor_seek_before(cursor->at, key);
}

ns_status ns_cursor_bounds(ns_cursor *cursor, ns_slice from, ns_slice to)
{
    NS_TRY(check(cursor, from, "lower bound"));
    NS_TRY(check(cursor, to, "upper bound"));
    return ns__view_cursor_bounds(cursor->at, from, to);
}

/* The smallest key that is greater than every key with this prefix: its bytes up to the last that
 * is not 0xff, plus one there. */
ns_status ns_cursor_prefix(ns_cursor *cursor, ns_slice prefix)
{
    NS_TRY(check(cursor, prefix, "prefix"));
    size_t size = prefix.size;
    const uint8_t *bytes = prefix.data;
    while (size > 0 && bytes[size - 1] == 0xff)
        size--;
    if (size == 0) return ns__view_cursor_bounds(cursor->at, prefix, (ns_slice){NULL, 0});
    uint8_t *to = ns__alloc(&cursor->db->alloc, size);
    if (to == NULL) return NS_NOMEM;
    memcpy(to, bytes, size);
    to[size - 1]++;
    ns_status status = ns__view_cursor_bounds(cursor->at, prefix, ns_bytes(to, size));
    ns__alloc_release(&cursor->db->alloc, to, size);
    return status;
}

ns_status ns_cursor_get(const ns_cursor *cursor, ns_slice *key_out, ns_slice *value_out)
{
    if (key_out != NULL) *key_out = (ns_slice){NULL, 0};
    if (value_out != NULL) *value_out = (ns_slice){NULL, 0};
    NS_TRY(attached(cursor));
    ns_slice key, value;
    NS_TRY(ns__view_cursor_get(cursor->at, &key, &value));
    if (key_out != NULL) *key_out = key;
    if (value_out != NULL) *value_out = value;
    return NS_OK;
}

ns_slice ns_cursor_key(const ns_cursor *cursor)
{
    ns_slice key = {NULL, 0};
    if (cursor != NULL && cursor->txn != NULL) {
        (void)!ns__view_cursor_get(cursor->at, &key, NULL);
    }
    return key;
}

ns_slice ns_cursor_value(const ns_cursor *cursor)
{
    ns_slice key, value = {NULL, 0};
    if (cursor != NULL && cursor->txn != NULL) {
        (void)!ns__view_cursor_get(cursor->at, &key, &value);
    }
    return value;
}
