/* northstar.c: NorthstarDB as a peer of itself.
 *
 * A session has one read transaction and one write transaction. A read outside of a snapshot
 * renews the session's read transaction after parking it, as a program does that reads often; the
 * same is done for LMDB. A cursor belongs to a snapshot, is made by its first scan and moved by the
 * next. */
#include <northstar.h>

#include <stdio.h>
#include <stdlib.h>

#include "peers/peer.h"

struct session {
    ns_db *db;
    ns_txn *read, *write;
    ns_cursor *cursor; /* of the snapshot; NULL before its first scan */
    ns_slice wanted[PEER_MANY], values[PEER_MANY];
    ns_status statuses[PEER_MANY];
};

static void check(ns_status status, const char *what)
{
    if (status != NS_OK) peer_die("northstar: %s: %s", what, ns_error_detail());
}

static const char *store_version(void)
{
    static char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", NS_VERSION_MAJOR, NS_VERSION_MINOR, NS_VERSION_PATCH);
    return text;
}

static void *store_open(const struct peer_config *config)
{
    ns_options options = {
        .sync = config->is_durable ? NS_SYNC_FULL : NS_SYNC_OFF,
        .history = config->keeps_history ? NS_HISTORY_DEFAULT : NS_HISTORY_NONE,
        .busy_timeout_ms = UINT32_MAX,
    };
    ns_db *db;
    check(ns_db_open(peer_path(config->dir, "data.ns"), &options, &db), "open");
    return db;
}

static void store_close(void *db)
{
    check(ns_db_close(db), "close");
}

static void store_settle(void *db)
{
    check(ns_db_checkpoint(db), "checkpoint");
}

static uint64_t store_tree_bytes(void *db)
{
    ns_db_stats_t stats;
    check(ns_db_stats(db, &stats, sizeof stats), "stats");
    return stats.tree_bytes;
}

static void *session_open(void *db)
{
    struct session *s = peer_alloc(sizeof *s);
    s->db = db;
    return s;
}

static void snapshot_open(void *session)
{
    struct session *s = session;
    check(ns_txn_begin(s->db, NS_READ, &s->read), "begin");
}

static void snapshot_close(void *session)
{
    struct session *s = session;
    ns_cursor_close(s->cursor);
    s->cursor = NULL;
    ns_txn_abort(s->read);
    s->read = NULL;
}

static void session_close(void *session)
{
    snapshot_close(session);
    free(session);
}

static void snapshot_park(void *session)
{
    struct session *s = session;
    check(ns_txn_reset(s->read), "reset");
}

static void snapshot_renew(void *session)
{
    struct session *s = session;
    check(ns_txn_renew(s->read), "renew");
}

static bool store_get(void *session, const uint8_t *key, struct peer_value *value_out)
{
    struct session *s = session;
    ns_slice value;
    ns_status status = ns_txn_get(s->read, NS_MAIN, ns_bytes(key, PEER_KEY_BYTES), &value);
    if (status == NS_NOTFOUND) return false;
    check(status, "get");
    *value_out = (struct peer_value){value.data, value.size};
    return true;
}

/* The renewed transaction stays until the next call, so that the value lives. */
static bool get_fresh(void *session, const uint8_t *key, struct peer_value *value_out)
{
    struct session *s = session;
    if (s->read == NULL) snapshot_open(s);
    snapshot_park(s);
    snapshot_renew(s);
    return store_get(s, key, value_out);
}

static size_t get_many(void *session, size_t count, const uint8_t *const keys[], uint64_t *sum)
{
    struct session *s = session;
    for (size_t i = 0; i < count; i++)
        s->wanted[i] = ns_bytes(keys[i], PEER_KEY_BYTES);
    check(ns_txn_get_many(s->read, NS_MAIN, count, s->wanted, s->values, s->statuses), "get_many");
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (s->statuses[i] != NS_OK) continue;
        *sum += peer_word(s->values[i].data);
        found++;
    }
    return found;
}

static ns_status first_of(ns_cursor *cursor, const struct peer_range *range)
{
    if (range->from != NULL) return ns_cursor_seek(cursor, ns_bytes(range->from, PEER_KEY_BYTES));
    return range->is_backward ? ns_cursor_last(cursor) : ns_cursor_first(cursor);
}

static uint64_t store_scan(void *session, const struct peer_range *range, uint64_t *sum)
{
    struct session *s = session;
    if (s->cursor == NULL) check(ns_cursor_open(s->read, NS_MAIN, &s->cursor), "cursor");
    uint64_t seen = 0;
    ns_slice key, value;
    ns_status status = first_of(s->cursor, range);
    while (status == NS_OK) {
        check(ns_cursor_get(s->cursor, &key, &value), "cursor");
        *sum += peer_word(key.data) + peer_word(value.data);
        if (++seen == range->limit) return seen;
        status = range->is_backward ? ns_cursor_prev(s->cursor) : ns_cursor_next(s->cursor);
    }
    if (status != NS_NOTFOUND) check(status, "cursor");
    return seen;
}

static void write_begin(void *session)
{
    struct session *s = session;
    check(ns_txn_begin(s->db, NS_WRITE, &s->write), "begin");
}

static void store_put(void *session, const uint8_t *key, const void *value, size_t size)
{
    struct session *s = session;
    check(ns_txn_put(s->write, NS_MAIN, ns_bytes(key, PEER_KEY_BYTES), ns_bytes(value, size)),
          "put");
}

static void store_del(void *session, const uint8_t *key)
{
    struct session *s = session;
    check(ns_txn_del(s->write, NS_MAIN, ns_bytes(key, PEER_KEY_BYTES)), "del");
}

static void write_commit(void *session)
{
    struct session *s = session;
    check(ns_txn_commit(s->write, NULL), "commit");
    s->write = NULL;
}

const struct peer peer_store = {
    .name = "northstar",
    .title = "NorthstarDB",
    .settings = "NS_HISTORY_NONE; not durable: NS_SYNC_OFF; durable: NS_SYNC_FULL (the default)",
    .reason = "The others keep no history, so the main figures keep none either; the default "
              "history is measured beside it. Page checksums are verified and every commit goes "
              "through the log.",
    .version = store_version,
    .open = store_open,
    .close = store_close,
    .settle = store_settle,
    .tree_bytes = store_tree_bytes,
    .session_open = session_open,
    .session_close = session_close,
    .snapshot_open = snapshot_open,
    .snapshot_close = snapshot_close,
    .snapshot_park = snapshot_park,
    .snapshot_renew = snapshot_renew,
    .get = store_get,
    .get_fresh = get_fresh,
    .get_many = get_many,
    .scan = store_scan,
    .write_begin = write_begin,
    .put = store_put,
    .del = store_del,
    .write_commit = write_commit,
};
